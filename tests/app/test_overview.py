"""What a whole run says, as tables: by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapler_app.opened import Opened
from adapler_app.overview import ORDERS, bars, differences, documents, layers, trade_off
from eraser_eval.datasets import from_rows
from eraser_eval.metrics import METRICS

SPLIT = from_rows([{"text": "good", "label": "POS"}], "mine")
TITLES = {"adapler": "AdapLeR", "random": "Random"}


def estimate(value: float | None) -> dict[str, float | None]:
    return {
        "value": value,
        "low": None if value is None else value - 0.1,
        "high": None if value is None else value + 0.1,
    }


def figures(**changes: Any) -> dict[str, Any]:
    return {
        "methods": {
            "adapler": {"fpr": estimate(0.1), "average_precision": estimate(0.5), "token_f1": estimate(0.4)},
            "random": {"fpr": estimate(0.2), "average_precision": estimate(None), "token_f1": estimate(0.3)},
            "hard": {"token_f1": estimate(0.2), "words_per_document": 4},
        },
        "classification": {"pruned": {"accuracy": 0.75}, "unpruned": {"accuracy": 0.8}},
        "efficiency": {"kept_per_layer": [0.9, 0.5, 0.25], "flops_speedup": 2.5},
    } | changes


def test_bars_are_of_defined_figures_only_and_say_which_way_is_better() -> None:
    table = bars(figures(), TITLES)
    fpr, ap, f1 = (
        f"{METRICS[name].title} ({way} is better)"
        for name, way in (("fpr", "lower"), ("average_precision", "higher"), ("token_f1", "higher"))
    )
    assert list(zip(table["method"], table["metric"], table["value"], strict=True)) == [
        ("AdapLeR", fpr, 0.1),
        ("AdapLeR", ap, 0.5),
        ("AdapLeR", f1, 0.4),
        ("Random", fpr, 0.2),
        ("Random", f1, 0.3),
        ("hard", f1, 0.2),
    ]
    assert table["low"].tolist() == pytest.approx([value - 0.1 for value in table["value"]])
    assert table["high"].tolist() == pytest.approx([value + 0.1 for value in table["value"]])


def test_no_bars_where_people_marked_nothing() -> None:
    table = bars({"methods": {"adapler": {"fpr": estimate(None)}}}, TITLES)
    assert table.empty and list(table.columns) == ["method", "metric", "value", "low", "high"]


def test_layers_count_from_one() -> None:
    assert layers(figures()).to_dict("list") == {"layer": [1, 2, 3], "share": [0.9, 0.5, 0.25]}


def test_the_trade_off_has_a_row_with_removal_and_one_without() -> None:
    reference = {"pruned": {"accuracy": 0.75}, "unpruned": {"accuracy": 0.8}, "reference": {"accuracy": 0.85}}
    runs = [
        Opened("run a", SPLIT, figures=figures()),
        Opened("run b", SPLIT, figures=figures(methods={"adapler": {}}, classification=reference)),
    ]
    rows = trade_off(runs).astype(object).replace({np.nan: None}).to_numpy().tolist()
    assert rows == [
        ["run a", "AdapLeR", 2.5, 0.75, 0.4],
        ["run a", "the same, nothing removed", 1.0, 0.8, None],
        ["run b", "AdapLeR", 2.5, 0.75, None],
        ["run b", "the same, nothing removed", 1.0, 0.8, None],
        ["run b", "reference model", 1.0, 0.85, None],
    ]
    assert trade_off([]).empty


def row(name: str, label: str, predicted: str | None, false: int, f1: float, method: str = "m") -> dict[str, Any]:
    return {
        "method": method,
        "annotation_id": name,
        "label": label,
        "predicted": predicted,
        "words": 10,
        "rationale_words": 3,
        "false_positives": false,
        "fpr": false / 10,
        "token_f1": f1,
        "average_precision": 0.5,
        "seconds": 0.1,
    }


TABLE = pd.DataFrame(
    [
        row("d", "POS", "POS", 1, 0.5),
        row("b", "POS", "NEG", 2, 0.9),
        row("c", "NEG", "NEG", 2, np.nan),
        row("a", "NEG", "POS", 0, 0.1),
        row("e", "NEG", "NEG", 0, 0.1),
        row("a", "NEG", "NEG", 9, 0.2, method="other"),
    ]
)


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("largest disagreement with people", "aedbc"),
        ("most false positives", "bcdae"),
        ("wrong predictions", "abedc"),
        ("as in the file", "dbcae"),
    ],
)
def test_orders_of_the_documents(order: str, expected: str) -> None:
    assert "".join(documents(TABLE, "m", order)["annotation_id"]) == expected


def test_the_orders_tested_are_all() -> None:
    assert list(ORDERS) == [
        "largest disagreement with people",
        "most false positives",
        "wrong predictions",
        "as in the file",
    ]


def test_documents_of_one_method_with_what_is_wrong() -> None:
    rows = documents(TABLE, "m", "as in the file")
    assert rows["wrong"].tolist() == [False, True, False, True, False]
    assert list(rows.columns) == [
        *("annotation_id", "label", "predicted", "wrong", "words", "rationale_words", "false_positives", "fpr"),
        *("token_f1", "average_precision"),
    ]
    assert documents(TABLE, "other", "as in the file")["false_positives"].tolist() == [9]


def test_a_class_that_was_not_predicted_is_not_wrong() -> None:
    """Added prediction files may say nothing of the class."""
    table = pd.DataFrame([row("a", "POS", None, 0, 0.5), row("b", "POS", "NEG", 0, 0.5)])
    assert documents(table, "m", "wrong predictions")["wrong"].tolist() == [True, False]


def test_differences_by_hand() -> None:
    one = documents(TABLE, "m", "as in the file")
    two = documents(
        pd.DataFrame(
            [
                row("a", "NEG", "NEG", 5, 0.4),
                row("b", "POS", "POS", 0, 0.2),
                row("c", "NEG", "NEG", 1, 0.5),
                row("d", "POS", "NEG", 3, 0.6),
                row("z", "POS", "POS", 3, 0.6),
            ]
        ),
        "m",
        "as in the file",
    )
    found = differences(one, two)
    assert list(found.columns) == [
        *("annotation_id", "label", "predicted A", "predicted B", "FPR A", "FPR B", "token F1 A", "token F1 B"),
        "A − B",
    ]
    # e and z are in one of the two alone; c has no token F1 in A and so is last.
    assert found["annotation_id"].tolist() == ["b", "a", "d", "c"]
    assert found["A − B"].tolist() == pytest.approx([0.7, -0.3, -0.1, np.nan], nan_ok=True)
    assert found.loc[0, ["predicted A", "predicted B", "FPR A", "FPR B"]].tolist() == ["NEG", "POS", 0.2, 0.0]


def test_two_runs_without_a_document_in_common() -> None:
    one = documents(TABLE, "other", "as in the file")
    assert differences(one, one.assign(annotation_id="z")).empty


def test_an_id_that_stands_twice_is_refused() -> None:
    one = documents(TABLE, "m", "as in the file")
    with pytest.raises(ValueError, match="merge"):
        differences(one, pd.concat([one, one], ignore_index=True))


scores = st.dictionaries(st.sampled_from("abcdefgh"), st.one_of(st.just(np.nan), st.floats(0, 1)), max_size=8)


@settings(max_examples=40, deadline=None)
@given(scores, scores)
def test_differences_turn_their_sign_with_the_sides(first: dict[str, float], second: dict[str, float]) -> None:
    one, two = (
        documents(
            pd.DataFrame(
                [row(name, "POS", "POS", 0, f1) for name, f1 in side.items()],
                columns=list(row("a", "POS", "POS", 0, 0.0)),
            ),
            "m",
            "as in the file",
        )
        for side in (first, second)
    )
    forth, back = differences(one, two), differences(two, one)
    assert sorted(forth["annotation_id"]) == sorted(set(first) & set(second))
    turned = back.set_index("annotation_id")["A − B"].reindex(forth["annotation_id"])
    assert forth["A − B"].to_numpy(float) == pytest.approx(-turned.to_numpy(float), nan_ok=True)
    sizes = forth["A − B"].astype(float).abs().fillna(-1)
    assert sizes.is_monotonic_decreasing
