"""Precision over recall, averaged over documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from eraser_eval.metrics.corpus import FloatArray
from eraser_eval.records import BoolArray, Example, Prediction

POINTS = 51


def precision_recall(
    examples: Sequence[Example], predictions: Mapping[str, Sequence[Prediction]], points: int = POINTS
) -> pd.DataFrame:
    """The mean precision–recall curve of each method: columns ``method``, ``recall`` and ``precision``.

    At each of ``points`` levels of recall from 0 to 1: the mean, over documents, of the best precision that a threshold
    on the document's scores reaches with at least that recall. A document counts where some words are marked and some
    are not, and the method scores its words.

    Args:
        examples: with gold evidence.
        predictions: method to its predictions, in any order.
        points: levels of recall.
    """
    levels = np.linspace(0.0, 1.0, points)
    gold = {e.id: e for e in examples if 0 < e.gold_mask.sum() < len(e.words)}
    tables = []
    for method, made in predictions.items():
        curves = [
            interpolated_precision(
                gold[p.id].gold_mask,
                np.concatenate([np.asarray(p.scores[d.docid], float) for d in gold[p.id].documents]),
                levels,
            )
            for p in made
            if p.id in gold and p.scores
        ]
        if curves:
            precision = np.mean(curves, axis=0)
            tables.append(pd.DataFrame({"method": method, "recall": levels, "precision": precision}))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["method", "recall", "precision"])


def interpolated_precision(gold: BoolArray, scores: FloatArray, levels: FloatArray) -> FloatArray:
    """The best precision of a threshold on ``scores`` with at least each recall of ``levels``.

    Args:
        gold: ``[words]``, at least one of them marked.
        scores: ``[words]``; equal scores are one threshold.
        levels: of recall, in [0, 1].

    Source: Manning, Raghavan and Schütze, "Introduction to Information Retrieval", 2008, section 8.4.

    >>> interpolated_precision(np.array([1, 0, 1, 0]) > 0, np.array([4.0, 3.0, 2.0, 1.0]), np.array([0.5, 1.0])).round(
    ...     3
    ... ).tolist()
    [1.0, 0.667]
    """
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(gold[order])
    last = np.append(np.diff(scores[order]) != 0, True)
    recall, precision = hits[last] / hits[-1], (hits / np.arange(1, len(gold) + 1))[last]
    best = np.maximum.accumulate(precision[::-1])[::-1]
    found: FloatArray = best[np.searchsorted(recall, levels - 1e-12)]
    return found
