"""Two runs beside each other: what differs, by how much, and whether by more than chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from eraser_eval import report, score
from eraser_eval.errors import UsageError
from eraser_eval.runs import Run

# What decides figures, beside the metrics themselves.
SETTINGS = ("dataset", "split", "source", "data_checksum", "model_checksum", "reference_model_checksum", "target")


def compare(one: Run, two: Run, metrics: Sequence[str] = ()) -> dict[str, Any]:
    """Every shared method's figures in both runs, and the paired difference, first minus second, with its test.

    Args:
        one, two: runs of the same documents, or with some in common.
        metrics: names; empty: those of the runs' tables.

    Returns:
        ``settings`` that differ (name to both values), ``documents`` in common, and ``methods``: method to metric to
        ``first``, ``second``, ``value`` (the difference), ``low``, ``high``, ``p``, ``p_holm``, ``effect_size``, ``n``.

    Raises:
        UsageError: they have no method or no document in common.
    """
    shared = [method for method in one.figures["methods"] if method in two.figures["methods"]]
    if not shared:
        raise UsageError(f"{two.folder}: has no method of {one.folder}; give runs with one in common")
    ids = sorted(set(one.table["annotation_id"]) & set(two.table["annotation_id"]))
    if not ids:
        raise UsageError(f"{two.folder}: has no document of {one.folder}; give runs of the same split")
    names = list(metrics) or list(report.shown(one.figures))
    made: dict[str, Any] = {}
    for method in shared:
        tables = []
        for label, run in (("first", one), ("second", two)):
            table = run.table[(run.table["method"] == method) & run.table["annotation_id"].isin(ids)]
            tables.append(table.assign(method=label))
        both = pd.concat(tables, ignore_index=True)
        if set(both["method"]) != {"first", "second"}:
            continue
        figures = score.summary(both, score.Statistics(reference="second"))
        differences = figures["first"]["difference_to_second"]
        made[method] = {
            name: {"first": figures["first"][name]["value"], "second": figures["second"][name]["value"]}
            | differences[name]
            for name in names
            if name in differences
        }
    settings = {
        name: [one.manifest.get(name), two.manifest.get(name)]
        for name in SETTINGS
        if one.manifest.get(name) != two.manifest.get(name)
    }
    return {
        "first": str(one.folder),
        "second": str(two.folder),
        "settings": settings,
        "documents": len(ids),
        "methods": made,
    }
