"""Every defect of a data folder or of a prediction file, in one pass: file, line, id, what is wrong, how to mend it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from eraser_eval.errors import DataError
from eraser_eval.jsonl import DocumentStore, scan_examples, scan_lines
from eraser_eval.records import Example

PROBABILITIES = (
    "classification_scores",
    "comprehensiveness_classification_scores",
    "sufficiency_classification_scores",
)
ALL_OR_NONE = ("classification", *PROBABILITIES, "thresholded_scores")

# What the official scorer lets pass and gives a figure for all the same.
TOLERATED_OFFICIALLY = frozenset({"missing prediction", "unknown annotation", "odd span", "odd probabilities"})


@dataclass(frozen=True)
class Defect:
    """One thing wrong with a file: a kind, and a line of text that names the place and the mend."""

    kind: str
    text: str


@dataclass(frozen=True)
class Context:
    """What a prediction file must fit.

    Attributes:
        examples: by id.
        documents: of the data folder.
        labels: the classes that a prediction may name.
    """

    examples: Mapping[str, Example]
    documents: DocumentStore
    labels: Sequence[str]


def data_defects(path: Path, documents: DocumentStore, labels: tuple[str, ...] | None = None) -> Iterator[Defect]:
    """The defects of a split file and of the documents that it names.

    Raises:
        MissingError: no such file.
    """
    count = 0
    for _, example in scan_examples(path, documents, labels):
        count += 1
        if isinstance(example, DataError):
            yield Defect("annotation", str(example))
    if not count:
        yield Defect("annotation", f"{path}: has no annotations")


def prediction_defects(path: Path, context: Context) -> Iterator[Defect]:
    """The defects of a prediction file.

    Raises:
        MissingError: no such file.
    """
    seen: dict[str, int] = {}
    present = dict.fromkeys(ALL_OR_NONE, 0)
    thresholds: list[float] | None = None
    for number, row in scan_lines(path):
        if isinstance(row, DataError):
            yield Defect("line", str(row))
            continue
        identifier = row.get("annotation_id")
        if not isinstance(identifier, str):
            yield Defect("line", f"{path}:{number}: 'annotation_id' must be a string; give the id of an annotation")
            continue
        where = f"{path}:{number}: {identifier!r}"
        if identifier in seen:
            yield Defect("duplicate", f"{where} stands already in line {seen[identifier]}; remove one")
        elif identifier not in context.examples:
            text = f"{where} is no annotation of this split; remove the line or choose another split"
            yield Defect("unknown annotation", text)
        seen.setdefault(identifier, number)
        for key in ALL_OR_NONE:
            present[key] += row.get(key) is not None
        for defect in _row_defects(row, context):
            yield Defect(defect.kind, f"{where}: {defect.text}")
        own = _thresholds_of(row)
        if own is not None and thresholds is not None and own != thresholds:
            text = f"{where}: thresholds {own} differ from {thresholds} of lines before; give every line the same"
            yield Defect("thresholds", text)
        thresholds = own if thresholds is None else thresholds
    for missing in context.examples.keys() - seen.keys():
        yield Defect("missing prediction", f"{path}: no prediction for {missing!r}; add one")
    for key, count in present.items():
        if 0 < count < len(seen):
            text = f"{path}: {key!r} stands in {count} of {len(seen)} lines; give it in all or in none"
            yield Defect("all or none", text)


def _row_defects(row: Mapping[str, Any], context: Context) -> Iterator[Defect]:
    rationales = row.get("rationales")
    if not isinstance(rationales, list) or not all(isinstance(item, dict) for item in rationales):
        yield Defect("form", "'rationales' must be a list of objects")
        rationales = []
    docids = [item.get("docid") for item in rationales]
    for item in rationales:
        yield from _rationale_defects(item, docids, context)
    label = row.get("classification")
    if label is not None and label not in context.labels:
        yield Defect("classification", f"classification {label!r} is not one of {', '.join(context.labels)}")
    for key in PROBABILITIES:
        yield from _probability_defects(row.get(key), key, context.labels)
    entries = row.get("thresholded_scores") or []
    for entry in entries if isinstance(entries, list) else [entries]:
        if not isinstance(entry, dict) or not _is_number(entry.get("threshold")):
            yield Defect("thresholds", "'thresholded_scores' must be objects with a number 'threshold'")
            continue
        for key in PROBABILITIES[1:]:
            if entry.get(key) is None:
                yield Defect("thresholds", f"threshold {entry['threshold']} lacks {key!r}; add it")
            yield from _probability_defects(entry.get(key), key, context.labels)


def _rationale_defects(item: Mapping[str, Any], docids: list[Any], context: Context) -> Iterator[Defect]:
    docid = item.get("docid")
    try:
        if not isinstance(docid, str):
            raise KeyError(docid)
        document = context.documents.get(docid)
    except KeyError:
        yield Defect("document", f"document {docid!r} is not in {context.documents.folder}; name one that is")
        return
    except DataError as error:
        yield Defect("document", str(error))
        return
    if docids.count(docid) > 1:
        yield Defect("document", f"document {docid!r} stands {docids.count(docid)} times; give each once")
    yield from _span_defects(item.get("hard_rationale_predictions"), docid, len(document.words))
    yield from _score_defects(item, "soft_rationale_predictions", len(document.words), "words")
    yield from _score_defects(item, "soft_sentence_predictions", len(document.sentences), "sentences")


def _span_defects(spans: Any, docid: str, words: int) -> Iterator[Defect]:
    if spans is None:
        return
    if not isinstance(spans, list):
        yield Defect("form", "'hard_rationale_predictions' must be a list")
        return
    good: list[tuple[int, int]] = []
    for span in spans:
        start, end = (span.get(key) if isinstance(span, dict) else None for key in ("start_token", "end_token"))
        if type(start) is not int or type(end) is not int:
            yield Defect("form", f"a span of {docid!r} lacks whole numbers 'start_token' and 'end_token'")
        elif start < 0:
            yield Defect("odd span", f"span {start}:{end} of {docid!r} starts before word 0; mend its start")
        elif end < start:
            yield Defect("odd span", f"span {start}:{end} of {docid!r} is reversed; swap its ends")
        elif end == start:
            yield Defect("odd span", f"span {start}:{end} of {docid!r} is empty; remove it")
        elif end > words:
            yield Defect("span", f"span {start}:{end} of {docid!r} ends beyond its {words} words; cut it")
        else:
            good.append((start, end))
    for (a, b), (c, d) in pairwise(sorted(good)):
        if c < b:
            yield Defect("span", f"spans {a}:{b} and {c}:{d} of {docid!r} overlap; merge them")


def _score_defects(item: Mapping[str, Any], key: str, size: int, unit: str) -> Iterator[Defect]:
    scores, docid = item.get(key), item["docid"]
    if scores is None:
        return
    if not isinstance(scores, list) or not all(_is_number(score) for score in scores):
        yield Defect("scores", f"{key!r} of {docid!r} must be a list of finite numbers")
    elif len(scores) != size:
        yield Defect("scores", f"{key!r}: {len(scores)} scores for the {size} {unit} of {docid!r}; give one for each")


def _probability_defects(values: Any, key: str, labels: Sequence[str]) -> Iterator[Defect]:
    if values is None:
        return
    if not isinstance(values, dict) or not all(_is_number(value) for value in values.values()):
        yield Defect("form", f"{key!r} must map classes to numbers")
        return
    unknown = sorted(values.keys() - set(labels))
    if unknown:
        named = ", ".join(map(repr, unknown))
        yield Defect("odd probabilities", f"{key!r} names {named}, not one of {', '.join(labels)}")
    if not all(0 <= value <= 1 for value in values.values()) or abs(sum(values.values()) - 1) > 1e-3:
        text = f"{key!r} are not probabilities that sum to 1 (sum {sum(values.values()):.4g}); normalise them"
        yield Defect("odd probabilities", text)


def _thresholds_of(row: Mapping[str, Any]) -> list[float] | None:
    entries = row.get("thresholded_scores")
    if not isinstance(entries, list):
        return None
    values = [entry.get("threshold") for entry in entries if isinstance(entry, dict)]
    return sorted(float(value) for value in values if value is not None and _is_number(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
