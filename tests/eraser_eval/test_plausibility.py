"""Metrics worked by hand, against slow oracles, and properties over the whole table."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import auc, average_precision_score, f1_score, precision_recall_curve, roc_auc_score

from eraser_eval.metrics import METRICS, faithfulness, metrics_for, plausibility
from eraser_eval.metrics.chance import chance_statistics
from eraser_eval.metrics.corpus import Gold, runs
from eraser_eval.rationale import top_words
from eraser_eval.records import Document, Example, Prediction, Span, mask_of, spans_of
from eraser_eval.score import Statistics, per_document, summary

WORDS = 12
DOCUMENT = Document("d", (tuple("abcde"), tuple("fghijkl")))
MASKS = st.lists(st.booleans(), min_size=WORDS, max_size=WORDS)
SCORES = st.lists(st.integers(-3, 3).map(float), min_size=WORDS, max_size=WORDS)


def example(mask: list[bool]) -> Example:
    return Example("e", (DOCUMENT,), "POS", tuple((span,) for span in spans_of(np.array(mask), [DOCUMENT])))


def prediction(mask: list[bool], scores: list[float]) -> Prediction:
    return Prediction("e", scores={"d": tuple(scores)}, spans=spans_of(np.array(mask), [DOCUMENT]))


def statistics(gold: Example, made: Prediction, **more: object) -> dict[str, float]:
    """The statistics of one example."""
    found = plausibility.statistics(Gold.of([gold]), [made], **more)
    return {name: float(values[0]) for name, values in found.items()}


def chance(gold: Example, budget: int, cutoffs: tuple[int, ...] = ()) -> dict[str, float]:
    sizes = (float(len(gold.words)), float(gold.gold_mask.sum()), float(budget))
    found = chance_statistics(*(np.array([size]) for size in sizes), cutoffs)
    return {name: float(values[0]) for name, values in found.items()}


def test_worked_by_hand() -> None:
    """Gold 2–5 and 8–10 (5 words); rationale 0–1, 2–4, 9–12 (6 words): 3 hits, 3 false alarms of 7."""
    gold = Example("e", (DOCUMENT,), "POS", ((Span("d", 2, 5),), (Span("d", 8, 10),)))
    scores = tuple(float(score) for score in [9, 0, 8, 7, 1, 0, 0, 0, 2, 6, 5, 4])
    sentences = {"d": (0.1, 0.2)}
    spans = (Span("d", 0, 1), Span("d", 2, 4), Span("d", 9, 12))
    made = Prediction("e", scores={"d": scores}, spans=spans, sentence_scores=sentences)
    figures = statistics(gold, made, iou_thresholds=(0.2, 0.7), cutoffs=(3,))
    expected = {
        "words": 12,
        "gold_words": 5,
        "rationale_words": 6,
        "hits": 3,
        "fpr": 3 / 7,
        "token_precision": 3 / 6,
        "token_recall": 3 / 5,
        "token_f1": 2 * 3 / 11,
        # The five best words are 0, 2, 3, 9, 10: two false alarms, three hits; their runs 0–1, 2–4, 9–11.
        "fpr_at_gold": 2 / 7,
        "token_f1_at_gold": 3 / 5,
        "iou_precision_at_gold": 1 / 3,
        "iou_recall_at_gold": 1 / 2,
        # IOU: 0–1 none; 2–4 with 2–5 is 2/3; 9–12 with 8–10 is 1/4.
        "iou_precision": 1 / 3,
        "iou_recall": 1 / 2,
        "iou_precision@0.2": 2 / 3,
        "iou_recall@0.2": 2 / 2,
        "iou_precision@0.7": 0,
        "iou_recall@0.7": 0,
        # The three best words are 0, 2, 3; the ten best leave out the last two of the five that score 0.
        "precision_at_3": 2 / 3,
        "recall_at_3": 2 / 5,
        "f1_at_3": 2 * 2 / 8,
        "precision_at_10": 5 / 10,
        "recall_at_10": 5 / 5,
        "f1_at_10": 2 * 5 / 15,
        # Ranks of the gold words: 2, 3, 4, then 7 (score 2) and 8 (score 1).
        "average_precision": (1 / 2 + 2 / 3 + 3 / 4 + 4 / 7 + 5 / 8) / 5,
        # Unmarked words below each gold word: 6, 6, 6, then 4 and 4, of 7.
        "roc_auc": (6 + 6 + 6 + 4 + 4) / 35,
        # Thirds are words 0–3, 4–7, 8–11: gold 2, 3 | 4 | 8, 9; chosen 2, 3 | none | 9.
        "coverage_head": 1,
        "coverage_middle": 0,
        "coverage_tail": 1 / 2,
    }
    assert {name: figures[name] for name in expected} == pytest.approx(expected)
    # Both sentences hold gold words: there is nothing to rank.
    assert np.isnan(figures["sentence_average_precision"])


def test_auprc_by_trapezoids_worked_by_hand() -> None:
    """Four words, one marked and second in rank: points (0, 1), (0, 0), (1, 1/2), … give (0 + 1/2) / 2 = 1/4."""
    document = Document("d", (tuple("abcd"),))
    gold = Example("e", (document,), "POS", ((Span("d", 1, 2),),))
    figures = statistics(gold, Prediction("e", scores={"d": (0.9, 0.5, 0.1, 0.0)}))
    assert figures["auprc"] == pytest.approx(0.25)
    assert figures["average_precision"] == pytest.approx(0.5)


def test_sentences_worked_by_hand() -> None:
    """Four sentences of which the second holds a marked word and ranks second."""
    document = Document("d", (("a", "b"), ("c",), ("d", "e"), ("f",)))
    gold = Example("e", (document,), "POS", ((Span("d", 2, 3),),))
    figures = statistics(gold, Prediction("e", sentence_scores={"d": (0.9, 0.5, 0.1, 0.0)}))
    assert figures["sentence_average_precision"] == pytest.approx(1 / 2)
    assert figures["sentence_auprc"] == pytest.approx(1 / 4)
    assert figures["sentence_roc_auc"] == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="2 sentence scores for 4 sentences"):
        statistics(gold, Prediction("e", sentence_scores={"d": (0.9, 0.5)}))


def test_spans_worked_by_hand() -> None:
    def iou(gold: tuple[Span, ...], made: tuple[Span, ...]) -> tuple[float, float]:
        documents = (Document("c", (tuple("abcdefgh"),)), Document("d", (tuple("abcdefgh"),)))
        groups = tuple((span,) for span in gold)
        row = statistics(Example("e", documents, "POS", groups), Prediction("e", spans=made))
        return row["iou_precision"], row["iou_recall"]

    halves = (Span("d", 0, 2), Span("d", 2, 4))
    assert iou((Span("d", 0, 4),), halves) == (1.0, 1.0)  # two halves of one gold span count it once
    assert iou((Span("d", 0, 4), Span("d", 6, 6)), (Span("d", 0, 4),)) == (1.0, 1.0)  # empty spans mark nothing
    assert iou((Span("c", 0, 4),), (Span("d", 0, 4),)) == (0.0, 0.0)  # spans of other documents do not meet
    assert iou((Span("c", 0, 4),), ()) == (0.0, 0.0)
    assert np.isnan(iou((), (Span("c", 0, 4),))).all()


def test_a_kind_of_prediction_that_is_not_there_has_no_figures() -> None:
    gold = example([True] * 3 + [False] * 9)
    hard = statistics(gold, Prediction("e", spans=(Span("d", 0, 3),)))
    soft = statistics(gold, Prediction("e", spans=None, scores={"d": (0.0,) * WORDS}))
    assert hard["token_f1"] == 1
    assert np.isnan([hard["average_precision"], hard["fpr_at_gold"], hard["precision_at_10"]]).all()
    assert np.isnan([soft["token_f1"], soft["fpr"], soft["iou_recall"], soft["coverage_head"]]).all()
    assert soft["token_f1_at_gold"] == 1


@given(MASKS, MASKS, SCORES)
def test_against_scikit_learn_and_sets(gold: list[bool], chosen: list[bool], scores: list[float]) -> None:
    figures = statistics(example(gold), prediction(chosen, scores))
    if any(gold):
        assert figures["token_f1"] == pytest.approx(f1_score(gold, chosen, zero_division=0))
    if any(gold) and not all(gold):
        precision, recall, _ = precision_recall_curve(gold, scores)
        assert figures["auprc"] == pytest.approx(auc(recall, precision))
        assert figures["average_precision"] == pytest.approx(average_precision_score(gold, scores))
        assert figures["roc_auc"] == pytest.approx(roc_auc_score(gold, scores))
        top = top_words(scores, sum(gold))
        assert figures["token_f1_at_gold"] == pytest.approx(f1_score(gold, top))
        assert figures["fpr_at_gold"] == pytest.approx((top & ~np.array(gold)).sum() / (WORDS - sum(gold)))


@given(st.lists(st.tuples(MASKS, MASKS, SCORES), min_size=1, max_size=5))
def test_many_examples_at_once_are_each_by_itself(rows: list[tuple[list[bool], list[bool], list[float]]]) -> None:
    """Examples of one and of two documents, in one go and one by one."""
    other = Document("x", (tuple("mno"),))
    examples, predictions = [], []
    for number, (gold, chosen, scores) in enumerate(rows):
        documents = (DOCUMENT, other) if number % 2 else (DOCUMENT,)
        evidence = tuple((span,) for span in spans_of(np.array(gold), [DOCUMENT]))
        examples.append(Example(f"{number}", documents, "POS", evidence))
        soft = {"d": tuple(scores)} | ({"x": (0.0, 1.0, 2.0)} if number % 2 else {})
        predictions.append(Prediction(f"{number}", scores=soft, spans=spans_of(np.array(chosen), [DOCUMENT])))
    together = plausibility.statistics(Gold.of(examples), predictions)
    for number, pair in enumerate(zip(examples, predictions, strict=True)):
        single = statistics(*pair)
        assert {name: values[number] for name, values in together.items()} == pytest.approx(single, nan_ok=True)


SHARE = st.floats(0.01, 0.99)


@given(MASKS, MASKS, SCORES, st.lists(SHARE, min_size=4, max_size=4))
@settings(max_examples=50)
def test_bounds_and_perfect_predictions(
    gold: list[bool], chosen: list[bool], scores: list[float], shares: list[float]
) -> None:
    table = metrics_for((0.1, 0.9), (1, 3))
    whole, erased, kept, empty = ({"A": share, "B": 1 - share} for share in shares)
    row = {"label": "A", "probabilities": whole, "erased": erased, "kept": kept, "empty": empty}
    made = Prediction(**(prediction(chosen, scores).__dict__ | row))
    columns = per_document([example(gold)], {"adapler": [made]}, (0.1, 0.9), (1, 3))
    figures = summary(columns, Statistics(resamples=100, metrics=table))["adapler"]
    for name, metric in table.items():
        for value in (figures[name]["value"], figures[name]["low"]) if name in figures else ():
            assert value is None or metric.bounds[0] - 1e-12 <= value <= metric.bounds[1] + 1e-12, name
    perfect = statistics(example(gold), prediction(gold, [float(marked) for marked in gold]))
    for name, metric in METRICS.items():
        best = 0.0 if metric.lower_is_better else 1.0
        if set(metric.columns) <= perfect.keys() and "_at_1" not in name and name != "fpr_pooled":
            value = float(metric.aggregate(tuple(np.array([perfect[column]]) for column in metric.columns))[0])
            # Where people marked nothing, no span can match.
            assert np.isnan(value) or value == pytest.approx(best) or not any(gold), name


@given(MASKS, SCORES)
def test_ranks_alone_matter_to_soft_metrics(gold: list[bool], scores: list[float]) -> None:
    stretched = [float(np.exp(score) * 7 - 2) for score in scores]
    a = plausibility.soft_statistics(Gold.of([example(gold)]), np.array(scores), [3])
    b = plausibility.soft_statistics(Gold.of([example(gold)]), np.array(stretched), [3])
    assert {name: float(values[0]) for name, values in a.items()} == pytest.approx(
        {name: float(values[0]) for name, values in b.items()}, nan_ok=True
    )


@given(st.lists(st.tuples(MASKS, SCORES), min_size=2, max_size=4), st.randoms())
@settings(max_examples=25)
def test_the_order_of_documents_and_the_names_of_classes_do_not_matter(
    rows: list[tuple[list[bool], list[float]]], random: object
) -> None:
    def figures(order: list[int], names: dict[str, str]) -> dict:
        examples, made = [], []
        for number in order:
            gold, scores = rows[number]
            evidence = tuple((span,) for span in spans_of(np.array(gold), [DOCUMENT]))
            examples.append(Example(f"{number}", (DOCUMENT,), names["A"], evidence))
            classes = [{names["A"]: share, names["B"]: 1 - share} for share in (0.7, 0.4, 0.6)]
            row = {"label": names["A"], "probabilities": classes[0], "erased": classes[1], "kept": classes[2]}
            spans = spans_of(np.array(scores) > 0, [DOCUMENT])
            made.append(Prediction(f"{number}", scores={"d": tuple(scores)}, spans=spans, **row))
        found = summary(per_document(examples, {"adapler": made}), Statistics(resamples=100))["adapler"]
        return {name: found[name]["value"] for name in METRICS if name in found}

    order = list(range(len(rows)))
    shuffled = order[:]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    first = figures(order, {"A": "A", "B": "B"})
    assert first == pytest.approx(figures(shuffled, {"A": "zebra", "B": "ape"}))


@pytest.mark.parametrize("marked", [1, 3, 6])
def test_chance_is_the_mean_over_all_choices(marked: int) -> None:
    document = Document("d", (tuple("abcdef"),))
    gold = Example("e", (document,), "POS", ((Span("d", 0, marked),),))
    for budget in (1, 2, 6):
        rows = []
        for words in combinations(range(6), budget):
            mask = np.isin(np.arange(6), words)
            scores = {"d": tuple(map(float, mask))}
            rows.append(
                statistics(gold, Prediction("e", scores=scores, spans=spans_of(mask, [document])), cutoffs=(budget,))
            )
        expected = chance(gold, budget, (budget,))
        for name in ("fpr", "token_f1", "token_precision", "token_recall", "hits", "false_positives"):
            assert expected[name] == pytest.approx(np.mean([row[name] for row in rows]), nan_ok=True), name
        for name in (f"precision_at_{budget}", f"recall_at_{budget}", f"f1_at_{budget}"):
            assert expected[name] == pytest.approx(np.mean([row[name] for row in rows])), name
    constant = statistics(gold, Prediction("e", scores={"d": (0.0,) * 6}))
    assert chance(gold, 1)["auprc_of_constant"] == pytest.approx(constant["auprc"], nan_ok=True)


@pytest.mark.parametrize(("words", "marked"), [(2, 1), (5, 1), (6, 3), (7, 6)])
def test_chance_of_rank_metrics_is_the_mean_over_all_orders(words: int, marked: int) -> None:
    document = Document("d", (tuple("abcdefg"[:words]),))
    gold = Example("e", (document,), "POS", ((Span("d", 0, marked),),))
    orders = np.array(list(permutations(range(words))), dtype=float)
    flat = Gold.of([gold] * len(orders))
    found = plausibility.soft_statistics(flat, orders.ravel(), [])
    for name in ("average_precision", "auprc", "roc_auc", "fpr_at_gold", "token_f1_at_gold"):
        assert chance(gold, 1)[name] == pytest.approx(found[name].mean()), name


@given(MASKS)
def test_runs_are_the_spans_of_a_mask(mask: list[bool]) -> None:
    other = Document("x", (tuple("mno"),))
    gold = Gold.of([example(mask), Example("f", (DOCUMENT, other), "POS")])
    whole = np.array([*mask, *mask, True, False, True])
    expected = [(0, s.start, s.end) for s in spans_of(np.array(mask), [DOCUMENT])]
    expected += [(1, s.start, s.end) for s in spans_of(np.array(mask), [DOCUMENT])] + [(2, 0, 1), (2, 2, 3)]
    assert runs(gold, whole).tolist() == [list(span) for span in expected]


@given(SCORES, st.integers(0, WORDS))
def test_top_words_takes_the_highest_and_of_equals_the_earliest(scores: list[float], count: int) -> None:
    chosen = top_words(scores, count)
    order = sorted(range(WORDS), key=lambda word: (-scores[word], word))
    assert sorted(np.flatnonzero(chosen).tolist()) == sorted(order[:count])


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (Prediction("e", scores={"x": (0.0,)}), "no soft_rationale_predictions for document 'd'"),
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


def test_every_metric_names_columns_that_exist() -> None:
    whole = {"A": 0.9, "B": 0.1}
    erasures = tuple(faithfulness.Erasure(share, whole, whole) for share in (0.1, 1.0))
    row = {"probabilities": whole, "erased": whole, "kept": whole, "empty": {"A": 0.5, "B": 0.5}}
    more = {"erasures": erasures, "sentence_erasures": erasures, "sentence_scores": {"d": (0.1, 0.2)}}
    made = Prediction("e", "A", scores={"d": (0.0,) * WORDS}, **row, **more)
    columns = per_document([example([True] * 3 + [False] * 9)], {"m": [made]}, budgets={"e": 3})
    for name, metric in METRICS.items():
        assert set(metric.columns) <= set(columns.columns), name
        assert metric.fixes.startswith("unit:") and "|over:" in metric.fixes
