"""HateXplain's official files (repository hate-alert/HateXplain) turned into a folder in ERASER's format.

Evidence is the union of what the annotators marked, as in the conversion that HateXplain itself publishes
(``Explainability_Calculation_NB.ipynb``). That one leaves ``normal`` posts out; here they stand without evidence.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from eraser_eval.datasets.load import SPLITS
from eraser_eval.datasets.table import DATASETS
from eraser_eval.errors import DataError, MissingError, UsageError
from eraser_eval.records import BoolArray, Document, spans_of

DATASET_URL = "https://raw.githubusercontent.com/hate-alert/HateXplain/master/Data/dataset.json"
DIVISIONS_URL = "https://raw.githubusercontent.com/hate-alert/HateXplain/master/Data/post_id_divisions.json"
LABELS = DATASETS["hatexplain"].labels
QUERY = "What is the class?"


def convert(dataset_json: Path, divisions_json: Path, folder: Path) -> None:
    """Write ``docs.jsonl``, ``annotators.jsonl`` and the split files into ``folder``, all or nothing.

    The division is the official one; posts outside it are passed over. The class is what more than half of the
    annotators gave. What each person marked is in ``annotators.jsonl``, see :func:`eraser_eval.jsonl.scan_examples`. A
    ``normal`` post has no evidence and no annotators.

    A document is the words joined by a space. A word that holds white space becomes as many words, all marked as it
    was, and an empty one is left out, so that offsets always count what a reader of the document counts. A rationale
    whose length is not that of the post cannot be placed and is left out, as readers of these data do.

    Args:
        dataset_json: HateXplain's ``Data/dataset.json``.
        divisions_json: HateXplain's ``Data/post_id_divisions.json``.
        folder: made by this; it may exist if it is empty.

    Raises:
        UsageError: ``folder`` is there and not empty.
        MissingError: a file is not there.
        DataError: a file is broken; names the file and the post or split.
    """
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise UsageError(f"{folder}: exists and is not an empty folder; remove it or give another")
    posts = _object(dataset_json)
    documents: dict[str, str] = {}
    people: list[dict[str, Any]] = []
    rows: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    for identifier, split in _division(divisions_json).items():
        if identifier not in posts:
            raise DataError(divisions_json, f"{split}: post {identifier!r} is not in {dataset_json}")
        try:
            document, row, marks = _converted(identifier, posts[identifier])
        except ValueError as error:
            raise DataError(dataset_json, f"post {identifier!r}: {error}; fetch the file again") from None
        documents[identifier] = " ".join(document.words)
        rows[split].append(row)
        people += [{"annotation_id": identifier, "annotators": marks}] if marks else []
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.", suffix=".tmp") as temporary:
        made = Path(temporary) / folder.name
        made.mkdir()
        _write(made / "docs.jsonl", [{"docid": docid, "document": documents[docid]} for docid in sorted(documents)])
        _write(made / "annotators.jsonl", people)
        for split, annotations in rows.items():
            _write(made / f"{split}.jsonl", annotations)
        os.replace(made, folder)


def _object(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise MissingError(f"{path}: no such file")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(path, f"not JSON in UTF-8 ({error}); fetch the file again") from None
    if not isinstance(value, dict):
        raise DataError(path, f"expected a JSON object, found {type(value).__name__}; fetch the file again")
    return value


def _division(path: Path) -> dict[str, str]:
    """Post id to split, in the order of the file within each split."""
    content = _object(path)
    division: dict[str, str] = {}
    for split in SPLITS:
        identifiers = content.get(split)
        if not _strings(identifiers) or not identifiers or "" in identifiers:
            raise DataError(path, f"{split}: expected a list of post ids; fetch the file again")
        for identifier in identifiers:
            if identifier in division:
                raise DataError(path, f"{split}: post {identifier!r} stands already in {division[identifier]}")
            division[identifier] = split
    return division


def _converted(identifier: str, post: Any) -> tuple[Document, dict[str, Any], list[Any]]:
    """A post as a document, an annotation and each person's spans; ValueError says what is wrong with it."""
    fields: Any = post if isinstance(post, dict) else {}
    words, annotators, rationales = (fields.get(key) for key in ("post_tokens", "annotators", "rationales"))
    if not _strings(words):
        raise ValueError("'post_tokens' must be a list of strings")
    if not isinstance(rationales, list) or not all(_marks(marks) for marks in rationales):
        raise ValueError("'rationales' must be a list of lists of 0 and 1")
    people = annotators if isinstance(annotators, list) else []
    votes = [person.get("label") if isinstance(person, dict) else None for person in people]
    if not votes or not all(vote in LABELS for vote in votes):
        raise ValueError(f"'annotators' must be a list of objects whose 'label' is one of {', '.join(LABELS)}")
    label, most = Counter(votes).most_common(1)[0]
    if 2 * most <= len(votes):
        raise ValueError("no class has more than half of the annotators, yet the post is in the division")
    document = Document(identifier, (tuple(part for word in words for part in word.split()),))
    parts = [len(word.split()) for word in words]
    masks = [np.repeat(np.array(marks) == 1, parts) for marks in rationales if len(marks) == len(words)]
    given = [mask for mask in masks if mask.any() and label != "normal"]
    union = np.logical_or.reduce(given) if given else np.zeros(len(document.words), dtype=bool)
    row = {
        "annotation_id": identifier,
        "classification": label,
        "docids": [identifier],
        "evidences": [_spans(union, document, start_sentence=-1, end_sentence=-1)],
        "query": QUERY,
        "query_type": None,
    }
    return document, row, [_spans(mask, document) for mask in given]


def _spans(mask: BoolArray, document: Document, **more: int) -> list[dict[str, Any]]:
    """The runs of marked words in ERASER's form; with ``more`` keys, their text also."""
    spans: list[dict[str, Any]] = []
    for span in spans_of(mask, [document]):
        text = {"text": " ".join(document.words[span.start : span.end])} if more else {}
        spans.append({"docid": span.docid, "start_token": span.start, "end_token": span.end, **more, **text})
    return spans


def _strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _marks(value: Any) -> bool:
    """Whether ``value`` is a rationale: 0 and 1, or -1 where HateXplain's own code writes that there is none."""
    return isinstance(value, list) and all(type(mark) is int and -1 <= mark <= 1 for mark in value)


def _write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8", newline="\n")
