"""A prediction file and a data folder in, a score file out: what stands behind ``score`` and ``validate``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eraser_eval.errors import DataError, UsageError
from eraser_eval.jsonl import DocumentStore, read_examples, read_lines
from eraser_eval.metrics.official import AOPC_THRESHOLDS, IOU_THRESHOLDS, official_scores
from eraser_eval.validate import TOLERATED_OFFICIALLY, Context, Defect, data_defects, prediction_defects


def find_defects(data_dir: Path, split: str, results: Path | None = None) -> list[Defect]:
    """Every defect of a split and, where given, of a prediction file for it.

    The predictions are checked against the annotations only when those have no defect.

    Raises:
        MissingError: a file or the folder is not there.
    """
    documents, path = DocumentStore(data_dir), data_dir / f"{split}.jsonl"
    defects = list(data_defects(path, documents))
    if results is not None and not defects:
        defects = list(prediction_defects(results, _context(path, documents)))
    return defects


def official_score_file(
    data_dir: Path,
    split: str,
    results: Path,
    iou_thresholds: Sequence[float] = IOU_THRESHOLDS,
    aopc_thresholds: Sequence[float] = AOPC_THRESHOLDS,
    strict: bool = False,
) -> dict[str, Any]:
    """What the official scorer writes for ``results``; see :func:`eraser_eval.metrics.official.official_scores`.

    Args:
        data_dir: folder with the documents and ``<split>.jsonl``.
        split: name of the split.
        results: prediction file.
        iou_thresholds: of the span scores.
        aopc_thresholds: which of the instances' thresholds enter the AOPC.
        strict: demand predicted classes.

    Raises:
        MissingError: a file or the folder is not there.
        DataError: the data or the predictions have a defect that the official program stops at, or it gives no figure.
        UsageError: ``strict`` without predicted classes.
    """
    documents, path = DocumentStore(data_dir), data_dir / f"{split}.jsonl"
    context = _context(path, documents)
    defects = [d for d in prediction_defects(results, context) if d.kind not in TOLERATED_OFFICIALLY]
    if defects:
        more = f" (and {len(defects) - 1} more; see 'adapler-explain validate')" if len(defects) > 1 else ""
        raise DataError(results, f"{defects[0].text.removeprefix(f'{results}:')}{more}")
    instances = [row for _, row in read_lines(results)]
    if not instances:
        raise DataError(results, "has no predictions")
    if strict and instances[0].get("classification") is None:
        raise UsageError("--strict: the predictions have no 'classification'; add it or leave --strict out")
    annotations = [row for _, row in read_lines(path)]
    try:
        return official_scores(instances, annotations, documents.get, iou_thresholds, aopc_thresholds)
    except KeyError as error:
        raise DataError(results, f"lacks {error.args[0]!r}, which the official scorer needs") from None
    except ValueError as error:
        raise DataError(results, str(error)) from None


def _context(path: Path, documents: DocumentStore) -> Context:
    examples = {example.id: example for example in read_examples(path, documents)}
    labels = tuple(sorted({example.label for example in examples.values()}))
    return Context(examples, documents, labels)
