"""Areas under ranking curves, and top words, of many documents at once."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from eraser_eval.records import BoolArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
GROUP_WORDS = 200_000
AREAS = ("auprc", "average_precision", "roc_auc")


@dataclass(frozen=True)
class Areas:
    """Areas under the curves of each document, ``[documents]``.

    Attributes:
        auprc: trapezoids under precision over recall, as ERASER's scorer takes them; not safe with ties. 1/2 for a
            document with no positive word, as scikit-learn's curve then is (0, 1), (1, 0).
        average_precision: the sum of precision times gain in recall; NaN unless both classes occur.
        roc_auc: trapezoids under the ROC curve; NaN unless both classes occur.
    """

    auprc: FloatArray
    average_precision: FloatArray
    roc_auc: FloatArray


def areas(gold: BoolArray, scores: FloatArray, lengths: IntArray) -> Areas:
    """The areas under the curves of documents that stand one after the other.

    Args:
        gold: ``[words]``, which words are positive.
        scores: ``[words]``, finite; equal scores are one threshold.
        lengths: ``[documents]``, words of each; at least 1; they sum to ``words``.

    >>> found = areas(np.array([False, True, False, False]), np.array([0.9, 0.5, 0.1, 0.0]), np.array([4]))
    >>> found.auprc.tolist(), found.average_precision.tolist(), found.roc_auc.round(4).tolist()
    ([0.25], [0.5], [0.6667])
    """
    bounds = np.concatenate(([0], np.cumsum(lengths)))
    # Groups of documents whose arrays stay in the processor's cache.
    cuts = np.unique(np.append(np.searchsorted(bounds, np.arange(0, bounds[-1], GROUP_WORDS)), len(lengths)))
    found = []
    for a, b in pairwise(cuts):
        words = slice(bounds[a], bounds[b])
        found.append(_areas(gold[words], scores[words], lengths[a:b]))
    return Areas(*(np.concatenate([getattr(part, name) for part in found]) for name in AREAS))


def _areas(gold: BoolArray, scores: FloatArray, lengths: IntArray) -> Areas:
    document = np.repeat(np.arange(len(lengths)), lengths)
    order = _descending(scores, lengths, stable=False)
    first = np.concatenate(([0], np.cumsum(lengths)[:-1]))
    hits = np.cumsum(gold[order], dtype=np.int64)
    hits -= np.repeat(hits[first] - gold[order][first], lengths)
    rank = np.arange(len(gold)) - np.repeat(first, lengths) + 1
    positives = np.add.reduceat(gold.astype(np.int64), first)
    # A threshold lies after the last word of each run of equal scores of one document.
    sorted_scores = scores[order]
    last = np.append((sorted_scores[1:] != sorted_scores[:-1]) | (document[1:] != document[:-1]), True)
    owner, tp, taken = document[last], hits[last].astype(float), rank[last].astype(float)
    opening = np.flatnonzero(np.diff(owner, prepend=-1))
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = tp / taken
        recall = np.where(positives[owner] > 0, tp / positives[owner], 1.0)
        fall_out = (taken - tp) / (lengths - positives)[owner]
    before_recall, before_precision = _shifted(recall, opening, 0.0), _shifted(precision, opening, 1.0)
    gain = recall - before_recall
    before_fall_out = _shifted(fall_out, opening, 0.0)
    trapezoids = gain * (precision + before_precision) / 2
    roc = (fall_out - before_fall_out) * (recall + before_recall) / 2
    both = (positives > 0) & (positives < lengths)
    return Areas(
        auprc=np.add.reduceat(trapezoids, opening),
        average_precision=np.where(both, np.add.reduceat(gain * precision, opening), np.nan),
        roc_auc=np.where(both, np.add.reduceat(roc, opening), np.nan),
    )


def top_of_each(scores: FloatArray, lengths: IntArray, counts: IntArray) -> BoolArray:
    """The words with the highest scores of each document, ``[words]``; of equal ones the earlier.

    Args:
        scores: ``[words]`` of documents that stand one after the other.
        lengths: ``[documents]``, words of each.
        counts: ``[documents]``, how many to take of each; all where there are fewer.

    >>> top_of_each(np.array([0.1, 0.9, 0.9, 0.2]), np.array([3, 1]), np.array([1, 2])).tolist()
    [False, True, False, True]
    """
    order = _descending(scores, lengths, stable=True)
    rank = np.arange(len(scores)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    mask = np.zeros(len(scores), dtype=bool)
    mask[order] = rank < np.repeat(counts, lengths)
    return mask


def _descending(scores: FloatArray, lengths: IntArray, stable: bool) -> IntArray:
    """The places of the words from the highest to the lowest score, document after document."""
    order = np.empty(len(scores), dtype=np.int64)
    falling = -scores
    begin = 0
    for length in lengths.tolist():
        end = begin + length
        order[begin:end] = falling[begin:end].argsort(kind="stable" if stable else None)
        order[begin:end] += begin
        begin = end
    return order


def _shifted(values: FloatArray, opening: IntArray, start: float) -> FloatArray:
    """``values`` one place later, with ``start`` at the first threshold of each document."""
    before = np.roll(values, 1)
    before[opening] = start
    return before
