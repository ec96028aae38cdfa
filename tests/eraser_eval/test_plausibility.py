"""Metrics worked by hand, and properties over all of them."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eraser_eval.metrics import METRICS
from eraser_eval.metrics.plausibility import chance, iou_precision_recall, statistics
from eraser_eval.rationale import top_words
from eraser_eval.records import Document, Example, Prediction, Span, mask_of, spans_of

WORDS = 12
DOCUMENT = Document("d", (tuple("abcdefghijkl"),))
MASKS = st.lists(st.booleans(), min_size=WORDS, max_size=WORDS)
SCORES = st.lists(st.integers(-3, 3).map(float), min_size=WORDS, max_size=WORDS)


def example(mask: list[bool]) -> Example:
    return Example("e", (DOCUMENT,), "POS", tuple((span,) for span in spans_of(np.array(mask), [DOCUMENT])))


def prediction(mask: list[bool], scores: list[float]) -> Prediction:
    return Prediction("e", scores={"d": tuple(scores)}, spans=spans_of(np.array(mask), [DOCUMENT]))


def test_worked_by_hand() -> None:
    """Gold 2–5 and 8–10 (5 words); rationale 0–1, 2–4, 9–12 (6 words): 3 hits, 3 false alarms of 7."""
    gold = Example("e", (DOCUMENT,), "POS", ((Span("d", 2, 5),), (Span("d", 8, 10),)))
    scores = tuple(float(score) for score in [9, 0, 8, 7, 1, 0, 0, 0, 2, 6, 5, 4])
    made = Prediction("e", scores={"d": scores}, spans=(Span("d", 0, 1), Span("d", 2, 4), Span("d", 9, 12)))
    figures = statistics(gold, made)
    assert (figures["words"], figures["gold_words"], figures["rationale_words"]) == (12, 5, 6)
    assert figures["fpr"] == pytest.approx(3 / 7)
    assert figures["fpr_at_gold"] == pytest.approx(2 / 7)  # the five best: 0, 2, 3, 9, 10
    assert figures["token_f1"] == pytest.approx(2 * 3 / 11)
    # Ranks of the gold words: 2, 3, 4, then 7 (score 2) and 8 (score 1).
    precisions = [1 / 2, 2 / 3, 3 / 4, 4 / 7, 5 / 8]
    assert figures["average_precision"] == pytest.approx(sum(precisions) / 5)
    # IOU: 0–1 none; 2–4 with 2–5 is 2/3; 9–12 with 8–10 is 1/4.
    assert (figures["iou_precision"], figures["iou_recall"]) == (pytest.approx(1 / 3), pytest.approx(1 / 2))


def test_auprc_by_trapezoids_worked_by_hand() -> None:
    """Four words, one marked and second in rank: points (0, 1), (0, 0), (1, 1/2), … give (0 + 1/2) / 2 = 1/4."""
    document = Document("d", (tuple("abcd"),))
    gold = Example("e", (document,), "POS", ((Span("d", 1, 2),),))
    figures = statistics(gold, Prediction("e", scores={"d": (0.9, 0.5, 0.1, 0.0)}))
    assert figures["auprc"] == pytest.approx(0.25)
    assert figures["average_precision"] == pytest.approx(0.5)


def test_two_halves_of_one_gold_span_count_it_once() -> None:
    halves = (Span("d", 0, 2), Span("d", 2, 4))
    assert iou_precision_recall((Span("d", 0, 4),), halves) == (1.0, 1.0)


def test_empty_spans_mark_nothing() -> None:
    assert iou_precision_recall((Span("d", 0, 4), Span("d", 6, 6)), (Span("d", 0, 4),)) == (1.0, 1.0)


def test_spans_of_other_documents_do_not_meet() -> None:
    assert iou_precision_recall((Span("c", 0, 4),), (Span("d", 0, 4),)) == (0.0, 0.0)


@given(MASKS, MASKS, SCORES)
def test_bounds_and_perfect_predictions(gold: list[bool], chosen: list[bool], scores: list[float]) -> None:
    figures = statistics(example(gold), prediction(chosen, scores))
    for metric in METRICS.values():
        for column in metric.columns:
            assert np.isnan(figures[column]) or 0 <= figures[column] <= 1
    perfect = statistics(example(gold), prediction(gold, [float(marked) for marked in gold]))
    for metric in METRICS.values():
        for column in metric.columns:
            assert np.isnan(perfect[column]) or perfect[column] == pytest.approx(0.0 if metric.lower_is_better else 1.0)


@given(MASKS, SCORES)
def test_ranks_alone_matter_to_soft_metrics(gold: list[bool], scores: list[float]) -> None:
    stretched = [float(np.exp(score) * 7 - 2) for score in scores]
    a = statistics(example(gold), prediction(gold, scores))
    b = statistics(example(gold), prediction(gold, stretched))
    for column in ("average_precision", "auprc", "fpr_at_gold"):
        assert a[column] == pytest.approx(b[column], nan_ok=True)


@given(MASKS, st.integers(1, WORDS))
def test_chance_is_the_mean_over_all_draws_of_one_word_at_a_time(gold: list[bool], budget: int) -> None:
    """The mean over rotations of a block of words is the mean over random draws, for figures linear in the hits."""
    drawn = [np.roll(np.arange(WORDS) < budget, shift) for shift in range(WORDS)]
    figures = [statistics(example(gold), prediction(mask.tolist(), [0.0] * WORDS)) for mask in drawn]
    expected = chance(example(gold), budget)
    for name in ("fpr", "token_f1"):
        assert expected[name] == pytest.approx(np.mean([row[name] for row in figures]), nan_ok=True)
    assert expected["auprc_of_constant"] == pytest.approx(figures[0]["auprc"], nan_ok=True)


@pytest.mark.parametrize(("words", "marked"), [(2, 1), (5, 1), (6, 3), (7, 6)])
def test_chance_of_average_precision_is_the_mean_over_all_orders(words: int, marked: int) -> None:
    document = Document("d", (tuple("abcdefg"[:words]),))
    gold = Example("e", (document,), "POS", ((Span("d", 0, marked),),))
    orders = [tuple(map(float, order)) for order in permutations(range(words))]
    mean = np.mean([statistics(gold, Prediction("e", scores={"d": o}))["average_precision"] for o in orders])
    assert chance(gold, 1)["average_precision"] == pytest.approx(mean)


@given(SCORES, st.integers(0, WORDS))
def test_top_words_takes_the_highest_and_of_equals_the_earliest(scores: list[float], count: int) -> None:
    chosen = top_words(scores, count)
    order = sorted(range(WORDS), key=lambda word: (-scores[word], word))
    assert sorted(np.flatnonzero(chosen).tolist()) == sorted(order[:count])


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (Prediction("e"), "no soft_rationale_predictions"),
        (Prediction("e", scores={"d": (0.0,) * 5}), "5 scores for the 12 words"),
        (Prediction("e", scores={"d": (0.0,) * 12}, spans=(Span("d", 5, 13),)), "not within document"),
        (Prediction("e", scores={"d": (0.0,) * 12}, spans=(Span("x", 0, 1),)), "not within document"),
    ],
)
def test_predictions_that_do_not_fit(made: Prediction, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        statistics(example([True] * WORDS), made)


def test_mask_of_two_documents() -> None:
    documents = [Document("a", (("x",),)), Document("b", (("y", "z"),))]
    assert mask_of([Span("b", 1, 2)], documents).tolist() == [False, False, True]
