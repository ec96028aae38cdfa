"""Methods side by side at one budget of words: by hand, and what holds for every document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_reading import ATTENTION, SENTENCES, TITLES, attention, example_of, own_prediction

from adapler_app.comparison import BUDGETS, annotators, compare, compare_data, figures_table, outcomes, shown, words_of
from adapler_app.reading import OWN
from eraser_eval.records import BoolArray, Document, Example, Prediction, Span, spans_of

# Words 2 and 3 of six are marked; AdapLeR kept 2 and 5; attention ranks 2, 5, 6, 4, 3, 1.
EXAMPLE = example_of(SENTENCES, [Span("d", 1, 3)])
MADE = {OWN: own_prediction(EXAMPLE), "attention": attention(EXAMPLE)}


@pytest.mark.parametrize(
    ("budget", "amount", "expected"),
    [
        ("own", 3, None),
        ("adapler", 0, 2),
        ("gold", 0, 2),
        ("words", 4, 4),
        ("words", 40, 6),
        ("share", 0.5, 3),
        ("share", 0.01, 1),
        ("share", 1.0, 6),
    ],
)
def test_how_many_words_a_budget_grants(budget: str, amount: float, expected: int | None) -> None:
    assert budget in BUDGETS
    assert words_of(budget, amount, EXAMPLE, MADE) == expected


def test_as_many_as_adapler_kept_is_unknown_without_adapler() -> None:
    assert words_of("adapler", 0, EXAMPLE, {"attention": MADE["attention"]}) is None


def test_people_stand_beside_methods_and_keep_their_own_number_of_words() -> None:
    people = annotators(replace(EXAMPLE, annotators=((Span("d", 1, 2),), ())))
    assert list(people) == ["annotator 1", "annotator 2"] and annotators(EXAMPLE) == {}
    rows = compare(EXAMPLE, MADE | people, 4)
    assert [row.mask.sum() for row in rows] == [4, 4, 1, 0]
    titles = [method["title"] for method in compare_data(EXAMPLE, rows, {})["methods"]]
    assert titles[1:3] == ["attention", "annotator 1 (its own number of words)"]


def test_two_words_by_hand() -> None:
    """Attention's two are words 2 and 5: one hit, one of the four others, and the second marked word at rank 5."""
    own, other = compare(EXAMPLE, MADE, 2)
    assert [own.method, other.method] == [OWN, "attention"]
    assert other.mask.tolist() == [False, True, False, False, True, False]
    assert other.figures == {
        "words": 2,
        "true positives": 1,
        "false positives": 1,
        "FPR": 0.25,
        "precision": 0.5,
        "recall": 0.5,
        "token F1": 0.5,
        "average precision": pytest.approx(1 / 2 * 1 + 1 / 2 * 2 / 5),
    }
    # Survival ranks 5, 2, 3, 4, 1, 6: average precision 1/2 · 1/2 + 1/2 · 2/3.
    assert own.figures["average precision"] == pytest.approx(7 / 12)


def test_three_words_by_hand() -> None:
    own, other = compare(EXAMPLE, MADE, 3)
    assert np.flatnonzero(own.mask).tolist() == [1, 2, 4] and np.flatnonzero(other.mask).tolist() == [1, 4, 5]
    assert (own.figures["precision"], own.figures["recall"]) == (pytest.approx(2 / 3), 1.0)
    assert (own.figures["token F1"], other.figures["FPR"]) == (pytest.approx(0.8), 0.5)


def test_their_own_rationales_are_left_as_they_are() -> None:
    own, other = compare(EXAMPLE, MADE, None)
    assert np.flatnonzero(own.mask).tolist() == [1, 4] and np.flatnonzero(other.mask).tolist() == [0]
    assert other.figures["words"] == 1 and other.figures["token F1"] == 0


def test_a_method_without_scores_keeps_its_own_and_one_with_neither_is_left_out() -> None:
    hard = Prediction("d", "POS", spans=(Span("d", 1, 4),))
    soft = replace(MADE["attention"], spans=None)
    made = {"hard": hard, "soft": soft, "neither": Prediction("d", "POS", spans=None)}
    at_two = compare(EXAMPLE, made, 2)
    assert [(row.method, int(row.mask.sum())) for row in at_two] == [("hard", 3), ("soft", 2)]
    assert at_two[0].figures["average precision"] is None
    assert [row.method for row in compare(EXAMPLE, made, None)] == ["hard"]


def test_what_the_component_gets() -> None:
    data = compare_data(EXAMPLE, compare(EXAMPLE, MADE, 2), TITLES)
    assert data["words"] == ["a", "good", "film", "but", "bad", "end"]
    assert data["breaks"] == [3] and data["marked"] is True
    assert [method["title"] for method in data["methods"]] == ["AdapLeR", "Attention"]
    # Hit, miss, false positive.
    assert data["methods"][1]["outcome"] == [0, 1, 3, 0, 2, 0]
    figures = dict(data["methods"][1]["figures"])
    assert (figures["words"], figures["true positives"], figures["FPR"]) == ("2", "1", "0.250")
    assert figures["average precision"] == "0.700"


def test_where_people_marked_nothing_no_figure_is_given_that_needs_marks() -> None:
    example = example_of(SENTENCES)
    data = compare_data(example, compare(example, MADE, 2), {})
    assert data["marked"] is False
    assert data["methods"][1]["outcome"] == [0, 1, 0, 0, 1, 0] and data["methods"][1]["title"] == "attention"
    assert not {"recall", "token F1", "average precision"} & set(dict(data["methods"][1]["figures"]))
    assert dict(data["methods"][1]["figures"])["words"] == "2"


def test_the_table_has_a_row_for_each_method() -> None:
    table = figures_table(compare(EXAMPLE, MADE, 3), TITLES)
    assert table["method"].tolist() == ["AdapLeR", "Attention"]
    assert table["recall"].tolist() == [1.0, 0.5] and table["words"].tolist() == [3, 3]


@pytest.mark.parametrize(
    ("title", "value", "expected"),
    [("words", 12.0, "12"), ("false positives", 0.0, "0"), ("FPR", 0.12345, "0.123"), ("recall", 1.0, "1.000")],
)
def test_figures_as_people_read_them(title: str, value: float, expected: str) -> None:
    assert shown(title, value) == expected


masks = st.integers(1, 30).flatmap(lambda n: st.tuples(*[st.lists(st.booleans(), min_size=n, max_size=n)] * 2))


@settings(deadline=None)
@given(masks)
def test_outcomes_are_the_four_cells_of_the_table(drawn: tuple[list[bool], list[bool]]) -> None:
    mask, gold = (np.array(values) for values in drawn)
    found = np.asarray(outcomes(mask, gold))
    if not gold.any():
        assert found.tolist() == mask.astype(int).tolist()
        return
    assert ((found == 1) | (found == 2)).tolist() == mask.tolist()
    assert ((found == 1) | (found == 3)).tolist() == gold.tolist()


documents = st.lists(st.integers(1, 8), min_size=1, max_size=3)


@settings(deadline=None)
@given(documents, st.data())
def test_every_method_with_scores_chooses_exactly_so_many_words(lengths: list[int], data: st.DataObject) -> None:
    """Ties are the rule; words are of several documents; what is chosen is never worse than what is left."""
    total = sum(lengths)
    scores = data.draw(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=total, max_size=total))
    marks = np.array(data.draw(st.lists(st.booleans(), min_size=total, max_size=total)))
    count = data.draw(st.integers(0, total))
    example = of_lengths(lengths, marks)
    bounds = np.cumsum([0, *lengths])
    soft = {
        document.docid: tuple(scores[a:b])
        for document, a, b in zip(example.documents, bounds[:-1], bounds[1:], strict=True)
    }
    (row,) = compare(example, {"m": Prediction("x", "POS", {}, soft)}, count)
    assert row.mask.sum() == count == row.figures["words"]
    if marks.any():
        assert row.figures["true positives"] == (row.mask & marks).sum()
        assert row.figures["false positives"] == (row.mask & ~marks).sum()
    else:
        assert list(row.figures) == ["words"]
    values = np.array(scores)
    if 0 < count < total:
        assert values[row.mask].min() >= values[~row.mask].max()


def of_lengths(lengths: Sequence[int], marks: BoolArray) -> Example:
    documents = tuple(Document(f"d{number}", (("w",) * length,)) for number, length in enumerate(lengths))
    spans = spans_of(marks, documents)
    return Example("x", documents, "POS", (spans,) if spans else ())


def test_the_ranks_that_the_figures_above_are_worked_from() -> None:
    assert (np.argsort(-np.array(ATTENTION)) + 1).tolist() == [2, 5, 6, 4, 3, 1]
