"""What a whole run says, as tables for charts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from adapler_app.opened import Opened
from adapler_app.reading import OWN
from eraser_eval.metrics import METRICS

SHOWN = ("fpr", "average_precision", "token_f1")
ORDERS = {
    "largest disagreement with people": (["token_f1", "annotation_id"], [True, True]),
    "most false positives": (["false_positives", "annotation_id"], [False, True]),
    "wrong predictions": (["wrong", "token_f1"], [False, True]),
    "as in the file": None,
}


def bars(figures: Mapping[str, Any], titles: Mapping[str, str]) -> pd.DataFrame:
    """Columns ``method``, ``metric`` (with which way is better), ``value``, ``low`` and ``high``; defined ones only."""
    rows = []
    for method, values in figures["methods"].items():
        for name in SHOWN:
            if (values.get(name) or {}).get("value") is not None:
                metric = METRICS[name]
                title = f"{metric.title} ({'lower' if metric.lower_is_better else 'higher'} is better)"
                estimate = {key: values[name][key] for key in ("value", "low", "high")}
                rows.append({"method": titles.get(method, method), "metric": title} | estimate)
    return pd.DataFrame(rows, columns=["method", "metric", "value", "low", "high"])


def layers(figures: Mapping[str, Any]) -> pd.DataFrame:
    """Columns ``layer`` (from 1) and ``share`` of the pieces that it processes."""
    shares = figures["efficiency"]["kept_per_layer"]
    return pd.DataFrame({"layer": range(1, len(shares) + 1), "share": shares})


def trade_off(runs: Iterable[Opened]) -> pd.DataFrame:
    """Speed, accuracy and plausibility of runs: a row for each run's model with removal, one for it without.

    Columns ``run``, ``model``, ``speedup`` (in operations), ``accuracy`` and ``token_f1`` of the kept words (none
    without removal).
    """
    rows = []
    for run in runs:
        figures = run.figures
        plausibility = figures["methods"][OWN].get("token_f1", {}).get("value")
        accuracy = {name: values["accuracy"] for name, values in figures["classification"].items()}
        speedup = figures["efficiency"]["flops_speedup"]
        rows.append([run.name, "AdapLeR", speedup, accuracy["pruned"], plausibility])
        rows.append([run.name, "the same, nothing removed", 1.0, accuracy["unpruned"], None])
        if "reference" in accuracy:
            rows.append([run.name, "reference model", 1.0, accuracy["reference"], None])
    return pd.DataFrame(rows, columns=["run", "model", "speedup", "accuracy", "token_f1"])


def documents(table: pd.DataFrame, method: str, order: str) -> pd.DataFrame:
    """The documents of a run as ``method`` reads them, in an order of ``ORDERS``.

    Columns ``annotation_id``, ``label``, ``predicted``, ``wrong``, ``words``, ``rationale_words``, ``false_positives``,
    ``fpr``, ``token_f1`` and ``average_precision``; a figure that is not defined is last in every order.
    """
    rows = table[table["method"] == method].copy()
    rows["wrong"] = rows["predicted"].notna() & (rows["label"] != rows["predicted"])
    wanted = ["annotation_id", "label", "predicted", "wrong", "words", "rationale_words", "false_positives", "fpr"]
    rows = rows[[*wanted, "token_f1", "average_precision"]]
    by = ORDERS[order]
    if by is not None:
        rows = rows.sort_values(by[0], ascending=by[1], na_position="last", kind="stable")
    return rows.reset_index(drop=True)


def differences(one: pd.DataFrame, two: pd.DataFrame) -> pd.DataFrame:
    """Two methods' documents side by side, where both have them; the largest difference in token F1 first.

    Args:
        one, two: rows of one method each, with the columns of :func:`documents`.

    Columns ``annotation_id``, ``label``, ``predicted A``, ``predicted B``, ``FPR A``, ``FPR B``, ``token F1 A``,
    ``token F1 B`` and ``A − B`` (of token F1).
    """
    names = {"predicted": "predicted", "fpr": "FPR", "token_f1": "token F1"}
    left, right = (
        rows[["annotation_id", "label", *names]].rename(columns={old: f"{new} {side}" for old, new in names.items()})
        for rows, side in ((one, "A"), (two, "B"))
    )
    both = left.merge(right.drop(columns="label"), on="annotation_id", validate="one_to_one")
    both["A − B"] = both["token F1 A"] - both["token F1 B"]
    order = both["A − B"].abs().sort_values(ascending=False, na_position="last", kind="stable").index
    columns = ["annotation_id", "label", *(f"{new} {side}" for new in names.values() for side in "AB"), "A − B"]
    return both.loc[order, columns].reset_index(drop=True)
