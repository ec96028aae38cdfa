"""Precision over recall: by hand, and against scikit-learn's curve."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_curve

from eraser_eval.curves import POINTS, interpolated_precision, precision_recall
from eraser_eval.records import Document, Example, Prediction, spans_of


def example(name: str, marks: list[int]) -> Example:
    """An example of ``len(marks)`` words in two documents, the first of one word."""
    documents = (
        Document(f"{name}/1", (("w",),)),
        Document(f"{name}/2", (tuple("w" * (len(marks) - 1)),)),
    )
    spans = spans_of(np.array(marks) > 0, documents)
    return Example(name, documents, "POS", (spans,) if spans else ())


def scored(name: str, scores: list[float]) -> Prediction:
    return Prediction(name, "POS", scores={f"{name}/2": tuple(scores[1:]), f"{name}/1": (scores[0],)})


def test_by_hand() -> None:
    """Ranked: marked, not, marked, not. One word: precision 1, recall 1/2; three words: 2/3 and 1."""
    curve = precision_recall([example("a", [0, 1, 1, 0])], {"m": [scored("a", [2, 4, 3 - 2, 0])]}, points=5)
    assert curve["method"].tolist() == ["m"] * 5
    assert curve["recall"].tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert curve["precision"].tolist() == pytest.approx([1, 1, 1, 2 / 3, 2 / 3])


def test_equal_scores_are_one_threshold() -> None:
    levels = np.array([0.0, 0.5, 1.0])
    gold = np.array([True, False, False, True])
    assert interpolated_precision(gold, np.array([1.0, 1.0, 1.0, 1.0]), levels).tolist() == [0.5, 0.5, 0.5]
    # The first two words come together: half of them are marked.
    assert interpolated_precision(gold, np.array([2.0, 2.0, 0.0, 1.0]), levels) == pytest.approx([2 / 3] * 3)


def test_a_later_threshold_with_more_precision_counts_for_lower_recall() -> None:
    """The best word is not marked, the next two are: 2/3 at recall 1 is the best everywhere."""
    found = interpolated_precision(np.array([False, True, True]), np.array([3.0, 2.0, 1.0]), np.array([0.0, 0.5, 1.0]))
    assert found == pytest.approx([2 / 3] * 3)


def test_the_curve_is_the_mean_over_documents() -> None:
    examples = [example("a", [1, 0]), example("b", [1, 0, 0, 0])]
    made = [scored("b", [0, 1, 2, 3]), scored("a", [1, 0])]
    curve = precision_recall(examples, {"m": made}, points=2)
    assert curve["precision"].tolist() == pytest.approx([(1 + 1 / 4) / 2] * 2)


def test_documents_without_marks_or_marked_throughout_are_left_out() -> None:
    examples = [example("none", [0, 0, 0]), example("all", [1, 1]), example("some", [0, 1])]
    made = [scored("none", [1, 2, 3]), scored("all", [1, 2]), scored("some", [2, 1])]
    curve = precision_recall(examples, {"m": made}, points=2)
    assert curve["precision"].tolist() == [0.5, 0.5]
    assert precision_recall(examples[:2], {"m": made[:2]}).empty


def test_methods_without_scores_have_no_curve() -> None:
    examples = [example("a", [1, 0]), example("b", [0, 1])]
    hard = Prediction("a", "POS")
    curve = precision_recall(examples, {"hard": [hard], "part": [hard, scored("b", [0, 1])]}, points=2)
    assert set(curve["method"]) == {"part"} and curve["precision"].tolist() == [1, 1]
    nothing = precision_recall(examples, {"hard": [hard]})
    assert nothing.empty and list(nothing.columns) == ["method", "recall", "precision"]


def test_predictions_for_other_documents_are_passed_over() -> None:
    curve = precision_recall([example("a", [1, 0])], {"m": [scored("elsewhere", [0, 1]), scored("a", [1, 0])]})
    assert len(curve) == POINTS and set(curve["precision"]) == {1.0}


words = st.integers(2, 30).flatmap(
    lambda n: st.tuples(
        st.lists(st.booleans(), min_size=n, max_size=n).filter(any),
        # Few different values: ties are the rule.
        st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0, 1e-9, 3.0]), min_size=n, max_size=n),
    )
)


@settings(deadline=None)
@given(words, st.integers(2, 51))
def test_as_scikit_learn_says(drawn: tuple[list[bool], list[float]], points: int) -> None:
    gold, scores = (np.array(values) for values in drawn)
    levels = np.linspace(0, 1, points)
    precision, recall, _ = precision_recall_curve(gold, scores)
    # Its last point, precision 1 at recall 0, belongs to no threshold.
    precision, recall = precision[:-1], recall[:-1]
    expected = [precision[recall >= level - 1e-12].max() for level in levels]
    assert interpolated_precision(gold, scores, levels) == pytest.approx(expected)


@settings(deadline=None)
@given(words)
def test_the_curve_falls_and_ends_at_or_above_the_share_of_marked_words(drawn: tuple[list[bool], list[float]]) -> None:
    gold, scores = (np.array(values) for values in drawn)
    curve = interpolated_precision(gold, scores, np.linspace(0, 1, 11))
    assert (np.diff(curve) <= 0).all()
    assert gold.mean() - 1e-12 <= curve[-1] <= curve[0] <= 1
