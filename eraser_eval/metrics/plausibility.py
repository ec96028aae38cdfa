"""Agreement of rationales with the words that people marked: the statistics of each example.

A statistic that is undefined for an example (no word marked, every word marked, nothing predicted of that kind) is NaN
there, and the aggregates leave that example out. All functions take and give flat arrays, see ``corpus.py``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eraser_eval.metrics import CUTOFF, IOU_THRESHOLD
from eraser_eval.metrics.corpus import FloatArray, Gold, IntArray, Made, runs
from eraser_eval.metrics.overlap import best_overlaps
from eraser_eval.metrics.ranking import Areas, areas, top_of_each
from eraser_eval.records import BoolArray, Prediction

THIRDS = ("head", "middle", "tail")


def statistics(
    gold: Gold,
    predictions: Sequence[Prediction],
    iou_thresholds: Sequence[float] = (),
    cutoffs: Sequence[int] = (),
    budgets: FloatArray | None = None,
) -> dict[str, FloatArray]:
    """Every statistic by column name, each ``[examples]``.

    Args:
        gold: the examples.
        predictions: one for each, in the same order.
        iou_thresholds, cutoffs: beside the usual ones.
        budgets: ``[examples]``, the words that a reference system chose; NaN where it has no hard rationale.

    Raises:
        ValueError: a prediction does not fit its example; see :meth:`eraser_eval.metrics.corpus.Made.of`.
    """
    made = Made.of(gold, predictions)
    columns = {"words": gold.lengths.astype(float), "gold_words": gold.total(gold.mask)}
    hard = hard_statistics(gold, made.chosen) | _coverage(gold, made.chosen)
    for threshold in (IOU_THRESHOLD, *iou_thresholds):
        suffix = "" if threshold == IOU_THRESHOLD else f"@{threshold:g}"
        precision, recall = iou_precision_recall(gold, made.spans, threshold)
        hard |= {f"iou_precision{suffix}": precision, f"iou_recall{suffix}": recall}
    columns |= {name: np.where(made.has_rationale, values, np.nan) for name, values in hard.items()}
    soft = soft_statistics(gold, made.scores, sorted({CUTOFF, *cutoffs}))
    if budgets is not None:
        top = hard_statistics(gold, top_of_each(made.scores, gold.lengths, np.nan_to_num(budgets).astype(np.int64)))
        given = ~np.isnan(budgets)
        soft |= {f"{name}_at_reference": np.where(given, top[name], np.nan) for name in ("fpr", "token_f1")}
    columns |= {name: np.where(made.has_scores, values, np.nan) for name, values in soft.items()}
    return columns | _sentence_statistics(gold, predictions)


def hard_statistics(gold: Gold, chosen: BoolArray) -> dict[str, FloatArray]:
    """Counts of the words of the hard rationales and what follows from them.

    Args:
        gold: the examples.
        chosen: ``[words]``, the hard rationales.

    ``fpr`` is FP / (FP + TN), undefined where every word is marked. ``token_f1`` and precision are 0 where nothing was
    chosen; they and recall are undefined where nothing is marked.
    """
    marked, hits, count = gold.total(gold.mask), gold.total(gold.mask & chosen), gold.total(chosen)
    negatives = gold.lengths - marked
    some = marked > 0
    return {
        "rationale_words": count,
        "hits": hits,
        "chosen": count,
        "marked": marked,
        "false_positives": count - hits,
        "negatives": negatives,
        "fpr": _ratio(count - hits, negatives),
        "token_precision": np.where(some, np.nan_to_num(_ratio(hits, count)), np.nan),
        "token_recall": _ratio(hits, marked),
        "token_f1": np.where(some, _ratio(2 * hits, count + marked), np.nan),
    }


def soft_statistics(gold: Gold, scores: FloatArray, cutoffs: Sequence[int]) -> dict[str, FloatArray]:
    """Areas under ranking curves, and figures of the highest-scoring words; of equal scores the earlier word first.

    The areas are undefined unless some words are marked and some are not, as are the figures for as many words as
    people marked.
    """
    marked = gold.total(gold.mask)
    both = (marked > 0) & (marked < gold.lengths)
    columns = _area_columns(areas(gold.mask, scores, gold.lengths), both)
    top = top_of_each(scores, gold.lengths, marked.astype(np.int64))
    at_gold = hard_statistics(gold, top)
    columns |= {"fpr_at_gold": np.where(marked > 0, at_gold["fpr"], np.nan), "token_f1_at_gold": at_gold["token_f1"]}
    precision, recall = iou_precision_recall(gold, runs(gold, top), IOU_THRESHOLD)
    columns |= {"iou_precision_at_gold": precision, "iou_recall_at_gold": recall}
    for cutoff in cutoffs:
        figures = hard_statistics(gold, top_of_each(scores, gold.lengths, np.full(len(marked), cutoff)))
        columns |= {
            f"precision_at_{cutoff}": figures["token_precision"],
            f"recall_at_{cutoff}": figures["token_recall"],
            f"f1_at_{cutoff}": figures["token_f1"],
        }
    return columns


def iou_precision_recall(gold: Gold, spans: IntArray, threshold: float) -> tuple[FloatArray, FloatArray]:
    """Share of predicted spans, and share of gold spans, whose best partner has an IOU of at least ``threshold``.

    The official scorer divides the number of matching predicted spans by the number of gold spans, so that two halves
    of one gold span count twice and recall can pass 1; here a gold span counts once. It also counts empty spans; here
    they are left out. Both undefined where nothing is marked; both 0 where nothing was predicted.

    Source: DeYoung et al. 2020, section 4.1.
    """
    shares = []
    best = best_overlaps(spans, gold.spans)
    for side, overlap in zip((spans, gold.spans), best, strict=True):
        owner = gold.owners[side[:, 0]]
        hits, count = (
            np.bincount(owner, weights=weights, minlength=len(gold.lengths)).astype(np.float64)
            for weights in (overlap >= threshold, np.ones(len(owner)))
        )
        shares.append(np.nan_to_num(_ratio(hits, count)))
    some = np.bincount(gold.owners[gold.spans[:, 0]], minlength=len(gold.lengths)) > 0
    return np.where(some, shares[0], np.nan), np.where(some, shares[1], np.nan)


def _coverage(gold: Gold, chosen: BoolArray) -> dict[str, FloatArray]:
    """Token recall within each third of the example's words; undefined in a third without marked words."""
    third = gold.thirds()
    return {
        f"coverage_{name}": _ratio(
            gold.total(gold.mask & chosen & (third == number)), gold.total(gold.mask & (third == number))
        )
        for number, name in enumerate(THIRDS)
    }


def _sentence_statistics(gold: Gold, predictions: Sequence[Prediction]) -> dict[str, FloatArray]:
    """Areas of the sentence scores; nothing where no prediction has any."""
    given = np.array([bool(prediction.sentence_scores) for prediction in predictions])
    if not given.any():
        return {}
    marked, counts = gold.sentences()
    flat: list[float] = []
    for example, prediction, count in zip(gold.examples, predictions, counts, strict=True):
        row = [score for d in example.documents for score in prediction.sentence_scores.get(d.docid, ())]
        if prediction.sentence_scores and len(row) != count:
            raise ValueError(f"{prediction.id!r}: {len(row)} sentence scores for {count} sentences")
        flat += row or [0.0] * int(count)
    some = np.add.reduceat(marked.astype(np.int64), np.concatenate(([0], np.cumsum(counts)[:-1])))
    columns = _area_columns(areas(marked, np.array(flat), counts), given & (some > 0) & (some < counts))
    return {f"sentence_{name}": values for name, values in columns.items()}


def _area_columns(found: Areas, defined: BoolArray) -> dict[str, FloatArray]:
    names = ("average_precision", "auprc", "roc_auc")
    return {name: np.where(defined, getattr(found, name), np.nan) for name in names}


def _ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    """``part / whole``, NaN where ``whole`` is 0.

    >>> _ratio(np.array([1.0, 0.0]), np.array([2.0, 0.0])).tolist()
    [0.5, nan]
    """
    found: FloatArray = np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
    return found
