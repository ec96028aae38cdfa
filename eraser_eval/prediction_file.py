"""ERASER's prediction files, both ways."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eraser_eval.errors import DataError
from eraser_eval.jsonl import read_lines
from eraser_eval.records import Erasure, Prediction, Span

ERASED, KEPT = "comprehensiveness_classification_scores", "sufficiency_classification_scores"
# Ours, beyond ERASER's format: the input without words, and shares of sentences instead of words.
EMPTY, BY_WORDS, BY_SENTENCES = "empty_classification_scores", "thresholded_scores", "sentence_thresholded_scores"
PREDICTION_KEYS = {
    "annotation_id",
    "rationales",
    "classification",
    "classification_scores",
    ERASED,
    KEPT,
    EMPTY,
    BY_WORDS,
    BY_SENTENCES,
}


def prediction_row(prediction: Prediction) -> dict[str, Any]:
    """``prediction`` as an object of ERASER's prediction format; extra keys stand after the format's own."""
    rationales = []
    spans = prediction.spans or ()
    named = [*prediction.scores, *prediction.sentence_scores, *(span.docid for span in spans)]
    for docid in dict.fromkeys(named):
        entry: dict[str, Any] = {"docid": docid}
        if prediction.spans is not None:
            hard = [{"start_token": s.start, "end_token": s.end} for s in spans if s.docid == docid]
            entry["hard_rationale_predictions"] = hard
        if docid in prediction.scores:
            entry["soft_rationale_predictions"] = list(prediction.scores[docid])
        if docid in prediction.sentence_scores:
            entry["soft_sentence_predictions"] = list(prediction.sentence_scores[docid])
        rationales.append(entry)
    row: dict[str, Any] = {"annotation_id": prediction.id, "rationales": rationales}
    if prediction.label is not None:
        row["classification"] = prediction.label
    classes = {"classification_scores": prediction.probabilities}
    classes |= {ERASED: prediction.erased, KEPT: prediction.kept, EMPTY: prediction.empty}
    row |= {key: dict(values) for key, values in classes.items() if values}
    for key, erasures in ((BY_WORDS, prediction.erasures), (BY_SENTENCES, prediction.sentence_erasures)):
        if erasures:
            row[key] = [{"threshold": e.fraction, ERASED: dict(e.erased), KEPT: dict(e.kept)} for e in erasures]
    return row | dict(prediction.extra)


def prediction_of(row: Mapping[str, Any]) -> Prediction:
    """The prediction in one object of ERASER's prediction format.

    Raises:
        ValueError: a key is missing or has the wrong form.
    """
    try:
        rationales = row.get("rationales") or []
        _check_types(row, rationales)
        hard = [item for item in rationales if item.get("hard_rationale_predictions") is not None]
        return Prediction(
            id=row["annotation_id"],
            label=row.get("classification"),
            probabilities=row.get("classification_scores") or {},
            scores=_scores_of(rationales, "soft_rationale_predictions"),
            spans=None
            if rationales and not hard
            else tuple(
                Span(item["docid"], span["start_token"], span["end_token"])
                for item in hard
                for span in item["hard_rationale_predictions"]
            ),
            sentence_scores=_scores_of(rationales, "soft_sentence_predictions"),
            erased=row.get(ERASED) or {},
            kept=row.get(KEPT) or {},
            empty=row.get(EMPTY) or {},
            erasures=_erasures_of(row.get(BY_WORDS)),
            sentence_erasures=_erasures_of(row.get(BY_SENTENCES)),
            extra={key: value for key, value in row.items() if key not in PREDICTION_KEYS},
        )
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"not in ERASER's prediction format ({error!r})") from None


def _check_types(row: Mapping[str, Any], rationales: list[Mapping[str, Any]]) -> None:
    if not isinstance(row["annotation_id"], str) or not all(isinstance(item["docid"], str) for item in rationales):
        raise TypeError("annotation_id and docid must be strings")
    for item in rationales:
        for span in item.get("hard_rationale_predictions") or []:
            if type(span["start_token"]) is not int or type(span["end_token"]) is not int:
                raise TypeError("start_token and end_token must be whole numbers")


def _scores_of(rationales: list[Mapping[str, Any]], key: str) -> dict[str, tuple[float, ...]]:
    return {item["docid"]: tuple(map(float, item[key])) for item in rationales if item.get(key) is not None}


def _erasures_of(entries: Any) -> tuple[Erasure, ...]:
    made = (Erasure(float(entry["threshold"]), entry[ERASED], entry[KEPT]) for entry in entries or [])
    return tuple(sorted(made, key=lambda erasure: erasure.fraction))


def prediction_line(prediction: Prediction) -> str:
    """``prediction`` as one line of JSON, ended by a line feed."""
    return json.dumps(prediction_row(prediction), ensure_ascii=False, allow_nan=False) + "\n"


def read_predictions(path: Path) -> list[Prediction]:
    """The predictions of a file in ERASER's format, in file order.

    Raises:
        MissingError: no such file.
        DataError: with file and line, for a row that is broken or an id that stands twice.
    """
    predictions: dict[str, Prediction] = {}
    for number, row in read_lines(path):
        try:
            prediction = prediction_of(row)
        except ValueError as error:
            raise DataError(path, str(error), number) from None
        if prediction.id in predictions:
            raise DataError(path, f"annotation_id {prediction.id!r} stands twice", number)
        predictions[prediction.id] = prediction
    return list(predictions.values())
