"""The figures of the benchmark's own scorer, figure for figure, from the rows of its files.

This is for comparison with published numbers. Its peculiarities are kept: a predicted span that passes the IOU
threshold counts, so that two halves of one gold span give a recall of 2; a document without evidence has an AUPRC of
1/2; empty gold spans count among the gold ones; the first instance decides which figures are computed. The safe
definitions are in :mod:`eraser_eval.metrics.plausibility`.

Source: DeYoung et al., "ERASER", ACL 2020, and the behaviour of the program released with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import entropy
from sklearn.metrics import accuracy_score, classification_report

from eraser_eval.metrics.overlap import best_overlaps
from eraser_eval.metrics.ranking import areas
from eraser_eval.prediction_file import ERASED, KEPT
from eraser_eval.records import Document

Row = Mapping[str, Any]
Key = tuple[str, str]
Spans = dict[Key, set[tuple[int, int]]]
Documents = Callable[[str], Document]

IOU_THRESHOLDS = (0.5,)
AOPC_THRESHOLDS = (0.01, 0.05, 0.1, 0.2, 0.5)


def official_scores(
    instances: Sequence[Row],
    annotations: Sequence[Row],
    documents: Documents,
    iou_thresholds: Sequence[float] = IOU_THRESHOLDS,
    aopc_thresholds: Sequence[float] = AOPC_THRESHOLDS,
) -> dict[str, Any]:
    """The content of the official score file.

    Args:
        instances: rows of a prediction file.
        annotations: rows of the split's annotations.
        documents: from a document's id to the document.
        iou_thresholds: of the span scores.
        aopc_thresholds: which of the instances' thresholds enter the AOPC.

    Raises:
        ValueError: the official program gives no figure for these rows.
    """
    scores: dict[str, Any] = {}
    first = (instances[0].get("rationales") or [{}])[0]
    if first.get("hard_rationale_predictions"):
        scores |= hard_scores(instances, annotations, iou_thresholds)
    for field, unit, name in (
        ("soft_rationale_predictions", "token", "token_soft_metrics"),
        ("soft_sentence_predictions", "sentence", "sentence_soft_metrics"),
    ):
        if first.get(field) is not None:
            scores[name] = soft_scores(instances, annotations, documents, field, unit)
    if instances[0].get("classification") is not None:
        scores["classification_scores"] = classification_scores(instances, annotations, aopc_thresholds)
    return scores


def hard_scores(
    instances: Sequence[Row], annotations: Sequence[Row], iou_thresholds: Sequence[float]
) -> dict[str, Any]:
    """``iou_scores``, ``rationale_prf`` (spans that match exactly) and ``token_prf`` of hard rationales."""
    gold = _keyed(
        (row["annotation_id"], item["docid"], item["start_token"], item["end_token"])
        for row, item in _evidence(annotations)
    )
    predicted = _keyed(
        (row["annotation_id"], rationale["docid"], span["start_token"], span["end_token"])
        for row in instances
        for rationale in row["rationales"]
        for span in rationale.get("hard_rationale_predictions") or []
    )
    if not predicted or not gold:
        raise ValueError("the official scorer divides by zero: no predicted span, or no gold one, in the whole file")
    return {
        "iou_scores": _iou_scores(gold, predicted, iou_thresholds),
        "rationale_prf": _prf(
            {key: (len(gold.get(key, set()) & predicted.get(key, set())), len(predicted.get(key, ())),
             len(gold.get(key, ()))) for key in gold.keys() | predicted.keys()}
        ),
        "token_prf": _prf(_token_counts(gold, predicted)),
    }  # fmt: skip


def soft_scores(
    instances: Sequence[Row], annotations: Sequence[Row], documents: Documents, field: str, unit: str
) -> dict[str, float]:
    """``auprc`` (all documents), ``average_precision`` and ``roc_auc_score`` (documents of both classes), as means."""
    marks: dict[Key, list[tuple[int, int]]] = {}
    for row, item in _evidence(annotations):
        marks.setdefault((row["annotation_id"], item["docid"]), []).append(
            (item.get(f"start_{unit}", -1), item.get(f"end_{unit}", -1))
        )
    scores: dict[Key, Sequence[float]] = {
        (row["annotation_id"], rationale["docid"]): rationale.get(field)
        for row in instances
        for rationale in row["rationales"]
    }
    truth = []
    for (identifier, docid), values in scores.items():
        document = documents(docid)
        if values is None:
            raise ValueError(f"{identifier!r} has no {field!r} for {docid!r}, though the first line has")
        size = len(document) if unit == "token" else len(document.sentences)
        if len(values) != size:
            raise ValueError(f"{identifier!r}: {len(values)} scores for the {size} {unit}s of {docid!r}")
        mask = np.zeros(size, dtype=bool)
        for start, end in marks.get((identifier, docid), []):
            mask[np.arange(start, end)] = True
        truth.append(mask)
    lengths = np.array([len(mask) for mask in truth])
    found = areas(np.concatenate(truth), np.concatenate([np.asarray(v, float) for v in scores.values()]), lengths)
    return {
        "auprc": float(found.auprc.mean()),
        "average_precision": _mean(found.average_precision),
        "roc_auc_score": _mean(found.roc_auc),
    }


def classification_scores(
    instances: Sequence[Row], annotations: Sequence[Row], aopc_thresholds: Sequence[float] | None
) -> dict[str, Any]:
    """Accuracy and report of the predicted classes, and the faithfulness figures where the first instance has them."""
    by_id = {row["annotation_id"]: row for row in instances}
    labels = sorted({row["classification"] for row in annotations})
    truth = [row["classification"] for row in annotations]
    made = [by_id[row["annotation_id"]]["classification"] for row in annotations]
    figures: dict[str, Any] = {
        "accuracy": float(accuracy_score(truth, made)),
        "prf": classification_report(
            truth, made, output_dict=True, labels=labels, target_names=labels, zero_division=0.0
        ),
        "aopc_thresholds": None,
    }
    if set(made) <= set(labels):
        figures["prf"]["accuracy"] = figures["accuracy"]
    for name, key in (("comprehensiveness", ERASED), ("sufficiency", KEPT)):
        present = key in instances[0]
        figures[name] = float(np.mean([_drop(row, row[key]) for row in instances])) if present else None
        figures[f"{name}_entropy"] = float(np.mean([_entropy_drop(r, r[key]) for r in instances])) if present else None
        figures[f"{name}_kl"] = float(np.mean([_divergence(row, row[key]) for row in instances])) if present else None
        figures[f"{name}_aopc"] = figures[f"{name}_aopc_points"] = None
    if "thresholded_scores" in instances[0]:
        thresholds = list(aopc_thresholds) if aopc_thresholds is not None else _all_thresholds(instances)
        figures["aopc_thresholds"] = thresholds
        for name, key in (("comprehensiveness", ERASED), ("sufficiency", KEPT)):
            drops = np.array([_drops_at(row, key, thresholds) for row in instances])
            figures[f"{name}_aopc"] = float(drops.mean())
            figures[f"{name}_aopc_points"] = drops.mean(axis=0).tolist()
    return figures


def f1(a: float, b: float) -> float:
    """The harmonic mean of precision and recall; 0 where one of them is 0."""
    return 2 * a * b / (a + b) if a and b else 0.0


def _evidence(annotations: Sequence[Row]) -> Iterable[tuple[Row, Row]]:
    return ((row, item) for row in annotations for group in row["evidences"] or [] for item in group)


def _keyed(spans: Iterable[tuple[str, str, int, int]]) -> Spans:
    keyed: Spans = {}
    for identifier, docid, start, end in spans:
        keyed.setdefault((identifier, docid), set()).add((start, end))
    return keyed


def _iou_scores(gold: Spans, predicted: Spans, thresholds: Sequence[float]) -> list[dict[str, Any]]:
    keys = {key: number for number, key in enumerate(gold.keys() | predicted.keys())}
    flat = [[(keys[key], *span) for key, spans in side.items() for span in spans] for side in (predicted, gold)]
    best, _ = best_overlaps(*flat)
    owner = np.array([span[0] for span in flat[0]])
    sizes = [np.array([len(side.get(key, ())) for key in keys]) for side in (predicted, gold)]
    scores = []
    for threshold in thresholds:
        hits = np.bincount(owner, weights=best >= threshold, minlength=len(keys))
        result: dict[str, Any] = {"threshold": threshold}
        p, r = (hits.sum() / size.sum() for size in sizes)
        result["micro"] = {"p": float(p), "r": float(r), "f1": float(f1(r, p))}
        p, r = ((hits[size > 0] / size[size > 0]).mean() for size in sizes)
        result["macro"] = {"p": float(p), "r": float(r), "f1": float(f1(r, p))}
        scores.append(result)
    return scores


def _token_counts(gold: Spans, predicted: Spans) -> dict[Key, tuple[int, int, int]]:
    counts = {}
    for key in gold.keys() | predicted.keys():
        a, b = (_covered(side.get(key, set())) for side in (predicted, gold))
        size = min(len(a), len(b))
        if a.any() or b.any():
            counts[key] = (int((a[:size] & b[:size]).sum()), int(a.sum()), int(b.sum()))
    return counts


def _covered(spans: set[tuple[int, int]]) -> Any:
    mask = np.zeros(max((end for _, end in spans), default=0), dtype=bool)
    for start, end in spans:
        mask[start:end] = True
    return mask


def _prf(counts: Mapping[Key, tuple[int, int, int]]) -> dict[str, dict[str, float]]:
    """Micro and macro figures from (hits, predicted, gold) of every key."""
    hits, predicted, gold = np.array(list(counts.values()), dtype=float).reshape(-1, 3).T
    if not predicted.sum() or not gold.sum():
        raise ValueError("the official scorer divides by zero: no predicted word, or no gold one, in the whole file")
    p, r = hits.sum() / predicted.sum(), hits.sum() / gold.sum()
    ps, rs = (np.divide(hits, n, out=np.zeros_like(hits), where=n > 0) for n in (predicted, gold))
    f1s = [f1(a, b) for a, b in zip(ps, rs, strict=True)]
    return {
        "instance_micro": {"p": float(p), "r": float(r), "f1": float(f1(p, r))},
        "instance_macro": {"p": float(ps.mean()), "r": float(rs.mean()), "f1": float(np.mean(f1s))},
    }


def _mean(values: Any) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")


def _drop(row: Row, other: Mapping[str, float]) -> float:
    label = row["classification"]
    return float(row["classification_scores"][label] - other[label])


def _entropy_drop(row: Row, other: Mapping[str, float]) -> float:
    return float(entropy(list(row["classification_scores"].values())) - entropy(list(other.values())))


def _divergence(row: Row, other: Mapping[str, float]) -> float:
    labels = list(row["classification_scores"])
    return float(entropy([other[label] for label in labels], [row["classification_scores"][label] for label in labels]))


def _all_thresholds(instances: Sequence[Row]) -> list[float]:
    return sorted({item["threshold"] for row in instances for item in row["thresholded_scores"]})


def _drops_at(row: Row, key: str, thresholds: Sequence[float]) -> list[float]:
    items = sorted((i for i in row["thresholded_scores"] if i["threshold"] in thresholds), key=lambda i: i["threshold"])
    if len(items) != len(thresholds):
        raise ValueError(
            f"{row['annotation_id']!r} does not have the AOPC thresholds {', '.join(map(str, thresholds))}"
        )
    return [_drop(row, item[key]) for item in items]
