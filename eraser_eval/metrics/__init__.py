"""The table of metrics of rationales. A metric is two small functions: statistics of each example, then an aggregate.

Adding a metric is adding its statistics in :mod:`eraser_eval.metrics.plausibility` and a row in :data:`METRICS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Means = tuple[NDArray[np.float64], ...]


def first(means: Means) -> NDArray[np.float64]:
    """The mean itself: the aggregate of a metric that is a mean over examples."""
    return means[0]


def f1_of_means(means: Means) -> NDArray[np.float64]:
    """The harmonic mean of mean precision and mean recall; 0 where both are 0.

    >>> f1_of_means((np.array([0.5]), np.array([1.0]))).round(4).tolist()
    [0.6667]
    """
    precision, recall = means
    total = precision + recall
    return np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)


@dataclass(frozen=True)
class Metric:
    """A metric of rationales over a set of examples.

    Attributes:
        title: for tables and plots.
        columns: the statistics of each example that it needs, see :func:`eraser_eval.metrics.plausibility.statistics`.
        aggregate: from the means of those columns over the examples where they are defined to the metric.
        lower_is_better: the direction.
        meaning: one line for people.
    """

    title: str
    columns: tuple[str, ...]
    aggregate: Callable[[Means], NDArray[np.float64]]
    lower_is_better: bool
    meaning: str


METRICS: dict[str, Metric] = {
    "fpr": Metric(
        "FPR",
        ("fpr",),
        first,
        True,
        "share of the words people did not mark that are in the hard rationale; mean over documents",
    ),
    "fpr_at_gold": Metric(
        "FPR @gold", ("fpr_at_gold",), first, True, "the same for as many top-scored words as people marked"
    ),
    "average_precision": Metric(
        "AP",
        ("average_precision",),
        first,
        False,
        "average precision of the word scores; chance is that of a random order",
    ),
    "auprc": Metric(
        "AUPRC (ERASER)",
        ("auprc",),
        first,
        False,
        "trapezoidal area under the precision-recall curve, as ERASER computes it",
    ),
    "token_f1": Metric(
        "Token F1", ("token_f1",), first, False, "F1 of the words of the hard rationale; mean over documents"
    ),
    "iou_f1": Metric(
        "IOU F1",
        ("iou_precision", "iou_recall"),
        f1_of_means,
        False,
        "F1 of the spans of the hard rationale that overlap a marked span with an IOU of at least 0.5",
    ),
}
