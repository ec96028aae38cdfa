"""Predictions and gold in, figures out: statistics of each example, then metrics with intervals. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score

from eraser_eval import bootstrap, significance
from eraser_eval.method import COSTS, Method, jackknifed, resampled
from eraser_eval.metrics import CUTOFF, METRICS, faithfulness, plausibility
from eraser_eval.metrics.chance import chance_statistics
from eraser_eval.metrics.corpus import Gold
from eraser_eval.metrics.metric import Metric
from eraser_eval.records import Example, Prediction

REFERENCE = "adapler"
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Statistics:
    """How intervals and tests are made.

    Attributes:
        reference: the method that the others are compared with.
        seed: of the draws.
        resamples: of the bootstrap and of the randomisation tests.
        interval: ``percentile`` or ``bca``.
        metrics: the table of metrics; those that nothing defines are left out of the figures.
        apart: methods that are measured against other gold than the reference, so that nothing is compared.
    """

    reference: str = REFERENCE
    seed: int = 0
    resamples: int = bootstrap.RESAMPLES
    interval: str = bootstrap.INTERVALS[0]
    metrics: Mapping[str, Metric] = field(default_factory=lambda: METRICS)
    apart: tuple[str, ...] = ()


def per_document(
    examples: Sequence[Example],
    predictions: Mapping[str, Sequence[Prediction]],
    iou_thresholds: Sequence[float] = (),
    cutoffs: Sequence[int] = (),
    budgets: Mapping[str, int] | None = None,
) -> pd.DataFrame:
    """The statistics of every method on every example: one row for each pair, in the order of both.

    Columns: ``method``, ``annotation_id``, ``label`` and ``predicted`` (classes), ``seconds``, ``forward``,
    ``backward`` and ``flops`` (what the explanation cost), and those of
    :func:`eraser_eval.metrics.plausibility.statistics` and :func:`eraser_eval.metrics.faithfulness.statistics`.

    Args:
        examples: with gold evidence.
        predictions: method to its predictions, in any order. A method may lack examples: then it has no row for them.
        iou_thresholds, cutoffs: beside the usual ones.
        budgets: example id to the words that the reference system chose; None: nothing is measured at them.

    Raises:
        ValueError: a prediction does not fit its example, or a method has none for any example.
    """
    whole = Gold.of(examples)
    tables = []
    for method, made in predictions.items():
        by_id = {prediction.id: prediction for prediction in made}
        covered = [example for example in examples if example.id in by_id]
        if not covered:
            raise ValueError(f"method {method!r} has no prediction for any example")
        gold = whole if len(covered) == len(examples) else Gold.of(covered)
        chosen = [by_id[example.id] for example in covered]
        words = None if budgets is None else np.array([budgets.get(example.id, np.nan) for example in covered])
        try:
            columns = plausibility.statistics(gold, chosen, iou_thresholds, cutoffs, words)
            columns |= faithfulness.statistics(chosen)
        except ValueError as error:
            raise ValueError(f"method {method!r}, {error}") from None
        head = {
            "method": method,
            "annotation_id": [example.id for example in covered],
            "label": [example.label for example in covered],
            "predicted": [prediction.label for prediction in chosen],
            "seconds": [_seconds(prediction) for prediction in chosen],
        } | {name: [_cost(prediction, name) for prediction in chosen] for name in COSTS}
        tables.append(pd.DataFrame(head | columns))
    return pd.concat(tables, ignore_index=True)


def summary(
    tables: pd.DataFrame | Sequence[pd.DataFrame], settings: Statistics | None = None
) -> dict[str, dict[str, Any]]:
    """Every metric of every method with its interval, and its paired difference to the reference method.

    Several tables are several runs (seeds) of the same methods: values are means over runs, and the bootstrap draws
    runs and, within them, documents (the same documents in every run).

    Args:
        tables: from :func:`per_document`.
        settings: of intervals and tests.

    Returns:
        method to metric to ``value``, ``low``, ``high`` and ``n``, the documents where it is defined; beside them
        ``difference_to_<reference>`` (metric to the same, on the documents where both are defined, with ``p`` of a
        randomisation test, ``p_holm``, corrected for the number of methods, and ``effect_size``, all three for single
        runs only; not for the reference itself), ``documents``, ``runs``, and the means ``words_per_document`` of the
        hard rationale, ``seconds_per_document`` and, where they are known, ``forward_per_document``, ``backward_`` and
        ``flops_``. A metric that is infinite for a document has no value, and
        ``infinite`` counts those documents.

    Raises:
        ValueError: the runs of a method do not cover the same documents.
    """
    settings = settings or Statistics()
    runs = [tables] if isinstance(tables, pd.DataFrame) else list(tables)
    metrics = {
        name: metric
        for name, metric in settings.metrics.items()
        if all(column in runs[0] and runs[0][column].notna().any() for column in metric.columns)
    }
    methods = {
        str(method): Method.of(
            [run[run["method"] == method] for run in runs if (run["method"] == method).any()], metrics
        )
        for method in dict.fromkeys(method for run in runs for method in run["method"])
    }
    figures = {name: _own_figures(method, metrics, settings) for name, method in methods.items()}
    reference = methods.get(settings.reference)
    others = [name for name in methods if name != settings.reference and name not in settings.apart]
    if reference is not None:
        found = {name: _differences(methods[name], reference, metrics, settings) for name in others}
        for metric in metrics:
            corrected = significance.holm([found[name][metric]["p"] for name in others])
            for name, p in zip(others, corrected, strict=True):
                found[name][metric]["p_holm"] = p
        for name in others:
            figures[name][f"difference_to_{settings.reference}"] = found[name]
    return figures


def _own_figures(method: Method, metrics: Mapping[str, Metric], settings: Statistics) -> dict[str, Any]:
    draws = bootstrap.Bootstrap(len(method.ids), settings.seed, settings.resamples, settings.interval)
    values = resampled(method, metrics, draws, 0)
    figures: dict[str, Any] = {}
    for name, metric in metrics.items():
        estimate = draws.estimate(values[name], jackknifed(method, metric))
        infinite = sum(method.infinite[column] for column in metric.columns)
        more = {"infinite": infinite} if infinite else {}
        figures[name] = estimate.as_dict() | {"n": method.count(metric)} | more
    return figures | {
        "documents": len(method.ids),
        "runs": len(method.columns),
        "words_per_document": method.means["rationale_words"],
        "seconds_per_document": method.means["seconds"],
        **{f"{name}_per_document": method.means[name] for name in COSTS if method.means.get(name) is not None},
    }


def _differences(
    method: Method, reference: Method, metrics: Mapping[str, Metric], settings: Statistics
) -> dict[str, dict[str, float | None]]:
    """Method minus reference, on the documents that both cover."""
    known = set(reference.ids)
    common = [identifier for identifier in method.ids if identifier in known]
    if not common:
        return {name: dict.fromkeys(("value", "low", "high", "n", "p", "p_holm", "effect_size")) for name in metrics}
    one, two = method.restricted(common), reference.restricted(common)
    one, two = one.where_defined(two), two.where_defined(one)
    draws = bootstrap.Bootstrap(len(common), settings.seed, settings.resamples, settings.interval)
    first, second = resampled(one, metrics, draws, 0), resampled(two, metrics, draws, 1)
    # Which runs would be swapped is not defined for several; their interval draws them.
    single = len(one.columns) == len(two.columns) == 1
    pairs = {
        name: (metric, one.of_metric(metric, one.columns[0]), two.of_metric(metric, two.columns[0]))
        for name, metric in metrics.items()
        if single
    }
    p_values = significance.randomisation_test(pairs, settings.seed, settings.resamples)
    effects = {name: significance.effect_size(*pair) for name, pair in pairs.items()}
    return {
        name: draws.estimate(first[name] - second[name], jackknifed(one, metric) - jackknifed(two, metric)).as_dict()
        | {"n": one.count(metric), "p": p_values.get(name), "p_holm": None, "effect_size": effects.get(name)}
        for name, metric in metrics.items()
    }


def chance_levels(
    examples: Sequence[Example], budgets: Mapping[str, int], metrics: Mapping[str, Metric] = METRICS
) -> dict[str, float | None]:
    """What words drawn at random get for each metric that has a closed form, and ``auprc_of_constant``.

    Args:
        examples: with gold evidence.
        budgets: words of each hard rationale, by example id; where there is none, only figures of scores have a level.
        metrics: the table of metrics.
    """
    gold = Gold.of(examples)
    budget = np.array([budgets.get(example.id, np.nan) for example in examples], dtype=float)
    place = gold.thirds()
    thirds = {name: gold.total(gold.mask & (place == number)) for number, name in enumerate(plausibility.THIRDS)}
    cutoffs = {int(name.removeprefix("f1_at_")) for name in metrics if name.removeprefix("f1_at_").isdigit()}
    columns = chance_statistics(
        gold.lengths.astype(float), gold.total(gold.mask), budget, tuple(sorted({CUTOFF, *cutoffs})), thirds
    )
    levels = {
        name: bootstrap.point(np.stack([columns[column] for column in metric.columns], axis=1), metric)[0]
        for name, metric in metrics.items()
        if all(column in columns for column in metric.columns)
    }
    levels["auprc_of_constant"] = bootstrap.point(columns["auprc_of_constant"][:, None], METRICS["auprc"])[0]
    return {name: None if np.isnan(value) else float(value) for name, value in levels.items()}


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


def _cost(prediction: Prediction, name: str) -> float | None:
    """What our prediction files say that an explanation cost."""
    costs = prediction.extra.get("cost")
    value = costs.get(name) if isinstance(costs, Mapping) else None
    return float(value) if isinstance(value, int | float) and 0 <= value < np.inf else None


def _seconds(prediction: Prediction) -> float | None:
    """What our prediction files say that an explanation took; other files may hold anything under that name."""
    value = prediction.extra.get("seconds")
    return value if isinstance(value, float) and 0 <= value < np.inf else None
