"""Areas and overlaps of many documents at once, against scikit-learn and sets, one document at a time."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_auc_score

from eraser_eval.metrics.overlap import best_overlaps
from eraser_eval.metrics.ranking import areas

DOCUMENT = st.lists(st.tuples(st.booleans(), st.integers(-4, 4)), min_size=1, max_size=12)
SPAN = st.tuples(st.integers(0, 2), st.integers(0, 9), st.integers(0, 5)).map(lambda s: (s[0], s[1], s[1] + s[2]))


@given(st.lists(DOCUMENT, min_size=1, max_size=6))
def test_areas_are_scikit_learns_in_every_document(documents: list[list[tuple[bool, int]]]) -> None:
    gold = [np.array([marked for marked, _ in document]) for document in documents]
    scores = [np.array([float(score) for _, score in document]) for document in documents]
    found = areas(np.concatenate(gold), np.concatenate(scores), np.array([len(mask) for mask in gold]))
    for number, (mask, values) in enumerate(zip(gold, scores, strict=True)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            precision, recall, _ = precision_recall_curve(mask, values)
        assert found.auprc[number] == pytest.approx(auc(recall, precision))
        if mask.all() or not mask.any():
            assert np.isnan(found.average_precision[number]) and np.isnan(found.roc_auc[number])
        else:
            assert found.average_precision[number] == pytest.approx(average_precision_score(mask, values))
            assert found.roc_auc[number] == pytest.approx(roc_auc_score(mask, values))


@given(st.lists(SPAN, max_size=8), st.lists(SPAN, max_size=8))
def test_best_overlaps_are_those_of_sets(predicted: list[tuple], gold: list[tuple]) -> None:
    def iou(a: tuple, b: tuple) -> float:
        x, y = set(range(a[1], a[2])), set(range(b[1], b[2]))
        return len(x & y) / len(x | y) if a[0] == b[0] and x | y else 0.0

    best_predicted, best_gold = best_overlaps(predicted, gold)
    assert best_predicted.tolist() == pytest.approx([max((iou(a, b) for b in gold), default=0) for a in predicted])
    assert best_gold.tolist() == pytest.approx([max((iou(a, b) for a in predicted), default=0) for b in gold])
