"""Predictions and gold in, figures out: statistics of each example, then metrics with intervals. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score, f1_score

from eraser_eval.bootstrap import Bootstrap
from eraser_eval.metrics import METRICS
from eraser_eval.metrics.plausibility import chance, statistics
from eraser_eval.records import Example, Prediction

REFERENCE = "adapler"


def per_document(examples: Sequence[Example], predictions: Mapping[str, Sequence[Prediction]]) -> pd.DataFrame:
    """The statistics of every method on every example: one row for each pair, in the order of both.

    Columns: ``method``, ``annotation_id``, ``label`` and ``predicted`` (classes), ``seconds``, and those of
    :func:`eraser_eval.metrics.plausibility.statistics`.

    Args:
        examples: with gold evidence.
        predictions: method to its predictions, one for each example, in any order.

    Raises:
        ValueError: a method lacks an example, or a prediction does not fit its example.
    """
    rows = []
    for method, made in predictions.items():
        by_id = {prediction.id: prediction for prediction in made}
        for example in examples:
            if example.id not in by_id:
                raise ValueError(f"method {method!r} has no prediction for {example.id!r}")
            prediction = by_id[example.id]
            try:
                row: dict[str, Any] = dict(statistics(example, prediction))
            except ValueError as error:
                raise ValueError(f"method {method!r}, {example.id!r}: {error}") from None
            head = {
                "method": method,
                "annotation_id": example.id,
                "label": example.label,
                "predicted": prediction.label,
            }
            rows.append(head | {"seconds": prediction.extra.get("seconds")} | row)
    return pd.DataFrame(rows)


def summary(table: pd.DataFrame, seed: int = 0) -> dict[str, dict[str, Any]]:
    """Every metric of every method with its interval, and its paired difference to ``adapler``.

    Args:
        table: from :func:`per_document`.
        seed: of the bootstrap.

    Returns:
        method to metric to ``value``, ``low``, ``high``; beside them ``difference_to_adapler`` (metric to the same
        three; not for ``adapler`` itself), ``words_per_document`` of the hard rationale and ``seconds_per_document``,
        both means.
    """
    groups = {str(method): group for method, group in table.groupby("method", sort=False)}
    bootstrap = Bootstrap(len(next(iter(groups.values()))), seed)
    figures: dict[str, dict[str, Any]] = {}
    for method, group in groups.items():
        figures[method] = {
            name: bootstrap.estimate(metric, group[list(metric.columns)].to_numpy(float)).as_dict()
            for name, metric in METRICS.items()
        }
        if method != REFERENCE and REFERENCE in groups:
            figures[method]["difference_to_adapler"] = {
                name: bootstrap.difference(
                    metric,
                    group[list(metric.columns)].to_numpy(float),
                    groups[REFERENCE][list(metric.columns)].to_numpy(float),
                ).as_dict()
                for name, metric in METRICS.items()
            }
        figures[method]["words_per_document"] = float(group["rationale_words"].mean())
        figures[method]["seconds_per_document"] = float(group["seconds"].astype(float).mean())
    return figures


def chance_levels(examples: Sequence[Example], budgets: Mapping[str, int]) -> dict[str, float | None]:
    """What words drawn at random get, mean over the examples; ``budgets``: words of each rationale, by id."""
    rows = pd.DataFrame([chance(example, budgets[example.id]) for example in examples])
    return {str(name): None if np.isnan(value) else float(value) for name, value in rows.mean().items()}


def classification(examples: Sequence[Example], predicted: Mapping[str, str | None]) -> dict[str, float]:
    """``accuracy`` and ``macro_f1`` of predicted classes (by example id) over the classes that occur in gold."""
    gold = [example.label for example in examples]
    made = [str(predicted[example.id]) for example in examples]
    labels = sorted(set(gold))
    return {
        "accuracy": float(accuracy_score(gold, made)),
        "macro_f1": float(f1_score(gold, made, labels=labels, average="macro", zero_division=0)),
    }


def efficiency(predictions: Sequence[Prediction]) -> dict[str, Any]:
    """FLOPs speedup (a ratio of sums over documents) and the share of pieces that each layer processes."""
    extras: list[Any] = [prediction.extra for prediction in predictions]
    pieces = sum(extra["pieces"] for extra in extras)
    kept = np.sum([extra["kept_per_layer"] for extra in extras], axis=0)
    return {
        "flops_speedup": sum(e["flops_unpruned"] for e in extras) / sum(e["flops_pruned"] for e in extras),
        "kept_per_layer": [float(share) for share in kept / pieces],
    }
