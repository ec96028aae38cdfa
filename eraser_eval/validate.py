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
from eraser_eval.prediction_file import BY_SENTENCES, BY_WORDS, EMPTY, ERASED, KEPT
from eraser_eval.records import Example

PROBABILITIES = ("classification_scores", ERASED, KEPT, EMPTY)
THRESHOLDED = (BY_WORDS, BY_SENTENCES)
RATIONALES = ("hard_rationale_predictions", "soft_rationale_predictions", "soft_sentence_predictions")
ALL_OR_NONE = ("classification", *PROBABILITIES, *THRESHOLDED)

# What the official scorer lets pass and gives a figure for all the same.
TOLERATED_OFFICIALLY = frozenset(
    {"missing prediction", "unknown annotation", "odd span", "odd probabilities", "odd document", "odd rationales"}
)
# What a file that covers a part of the split may lack.
TOLERATED_IN_PART = frozenset({"missing prediction", "unknown annotation"})


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


def prediction_defects(path: Path, context: Context, rows: list[dict[str, Any]] | None = None) -> Iterator[Defect]:
    """The defects of a prediction file.

    Args:
        path: the file.
        context: what it must fit.
        rows: where to put the file's objects, so that a caller need not read them again.

    Raises:
        MissingError: no such file.
    """
    seen: dict[str, int] = {}
    present = dict.fromkeys((*ALL_OR_NONE, *RATIONALES), 0)
    count = 0
    thresholds: dict[str, list[float]] = {}
    for number, row in scan_lines(path):
        if isinstance(row, DataError):
            yield Defect("line", str(row))
            continue
        if rows is not None:
            rows.append(row)
        identifier = row.get("annotation_id")
        if not isinstance(identifier, str):
            yield Defect("line", f"{path}:{number}: 'annotation_id' must be a string; give the id of an annotation")
            continue
        where = f"{path}:{number}: {identifier!r}"
        for defect in _id_defects(identifier, seen, context):
            yield Defect(defect.kind, f"{where} {defect.text}")
        seen.setdefault(identifier, number)
        known = identifier in context.examples
        for defect in (*_row_defects(row, context), *_threshold_defects(row, thresholds)):
            # What a line says of an annotation of another split is never read.
            yield Defect(defect.kind if known else "unknown annotation", f"{where}: {defect.text}")
        if not known:
            continue
        count += 1
        for key in present:
            present[key] += _has(row, key)
    for missing in [identifier for identifier in context.examples if identifier not in seen]:
        yield Defect("missing prediction", f"{path}: no prediction for {missing!r}; add one")
    for key, times in present.items():
        if 0 < times < count:
            text = f"{path}: {key!r} stands in {times} of {count} lines; give it in all or in none"
            yield Defect("odd rationales" if key in RATIONALES else "all or none", text)


def _has(row: Mapping[str, Any], key: str) -> bool:
    """Whether a line has ``key``, at its top or in a rationale; no rationales are an empty hard one."""
    if key not in RATIONALES:
        return row.get(key) is not None
    items = row.get("rationales")
    items = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    if not items:
        return key == RATIONALES[0]
    return any(item.get(key) is not None for item in items)


def _id_defects(identifier: str, seen: Mapping[str, int], context: Context) -> Iterator[Defect]:
    if identifier in seen:
        yield Defect("duplicate", f"stands already in line {seen[identifier]}; remove one")
    elif identifier not in context.examples:
        yield Defect("unknown annotation", "is no annotation of this split; remove the line or choose another split")


def _threshold_defects(row: Mapping[str, Any], first: dict[str, list[float]]) -> Iterator[Defect]:
    """Thresholds that are not those of the lines before; ``first`` remembers them."""
    for key, own in _thresholds_of(row).items():
        before = first.setdefault(key, own)
        if len(set(own)) < len(own):
            yield Defect("thresholds", f"{key!r} has a threshold twice; give each once")
        if own != before:
            yield Defect("thresholds", f"{key!r} {own} differ from {before} of lines before; give every line the same")


def _row_defects(row: Mapping[str, Any], context: Context) -> Iterator[Defect]:
    rationales = row.get("rationales")
    if not isinstance(rationales, list) or not all(isinstance(item, dict) for item in rationales):
        yield Defect("form", "'rationales' must be a list of objects")
        rationales = []
    docids = [docid for item in rationales if isinstance(docid := item.get("docid"), str)]
    example = context.examples.get(row["annotation_id"])
    if example is not None:
        yield from _belonging_defects(rationales, docids, example)
    for item in rationales:
        yield from _rationale_defects(item, docids, context)
    label = row.get("classification")
    if label is not None and label not in context.labels:
        yield Defect("classification", f"classification {label!r} is not one of {', '.join(context.labels)}")
    for key in PROBABILITIES:
        yield from _probability_defects(row.get(key), key, context.labels)
    yield from _class_defects(row)
    for name in THRESHOLDED:
        entries = row.get(name) or []
        for entry in entries if isinstance(entries, list) else [entries]:
            if not isinstance(entry, dict) or not _is_number(entry.get("threshold")):
                yield Defect("thresholds", f"{name!r} must be objects with a number 'threshold'")
                continue
            if not 0 <= entry["threshold"] <= 1:
                text = f"threshold {entry['threshold']} of {name!r} is no share of the words; give one from 0 to 1"
                yield Defect("odd probabilities", text)
            for key in (ERASED, KEPT):
                if entry.get(key) is None:
                    yield Defect("thresholds", f"threshold {entry['threshold']} lacks {key!r}; add it")
                yield from _probability_defects(entry.get(key), key, context.labels)


def _belonging_defects(rationales: list[Any], docids: list[Any], example: Example) -> Iterator[Defect]:
    """Documents that are not the annotation's, and those of its documents that have no scores though others have."""
    own = [document.docid for document in example.documents]
    for docid in docids:
        if isinstance(docid, str) and docid not in own:
            text = f"document {docid!r} is none of the annotation's ({', '.join(own)}); remove it"
            yield Defect("odd document", text)
    for key in ("soft_rationale_predictions", "soft_sentence_predictions"):
        scored = [item.get("docid") for item in rationales if item.get(key) is not None]
        for docid in own:
            if scored and docid not in scored:
                yield Defect("odd document", f"{key!r} stands for other documents but not for {docid!r}; add it")


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
    yield from _span_defects(item.get("hard_rationale_predictions"), docid, len(document))
    yield from _score_defects(item, "soft_rationale_predictions", len(document), "words")
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
    if not isinstance(scores, list) or not _are_numbers(scores):
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


def _class_defects(row: Mapping[str, Any]) -> Iterator[Defect]:
    """Probabilities that do not name the classes that ``classification_scores`` names."""
    classes = row.get(PROBABILITIES[0])
    entries = [entry for name in THRESHOLDED for entry in row.get(name) or [] if isinstance(row.get(name), list)]
    for holder in (row, *(entry for entry in entries if isinstance(entry, dict))):
        for key in PROBABILITIES[1:]:
            other = holder.get(key)
            if isinstance(classes, dict) and isinstance(other, dict) and other.keys() != classes.keys():
                text = f"{key!r} does not name the classes of 'classification_scores'; give each a probability"
                yield Defect("odd probabilities", text)


def _thresholds_of(row: Mapping[str, Any]) -> dict[str, list[float]]:
    found = {}
    for name in THRESHOLDED:
        entries = row.get(name)
        if isinstance(entries, list):
            values = [entry.get("threshold") for entry in entries if isinstance(entry, dict)]
            found[name] = sorted(float(value) for value in values if value is not None and _is_number(value))
    return found


def _are_numbers(values: list[Any]) -> bool:
    """Whether all are finite numbers; a finite sum has finite terms, so that most lists need no look at each."""
    try:
        if set(map(type, values)) <= {float, int} and math.isfinite(sum(values)):
            return True
    except OverflowError:
        return False
    return all(map(_is_number, values))


def _is_number(value: Any) -> bool:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False
