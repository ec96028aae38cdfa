"""What a metric is: a row of the table ``METRICS``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eraser_eval.metrics.aggregates import Means, first


@dataclass(frozen=True)
class Metric:
    """A metric of rationales over a set of examples.

    Attributes:
        title: for tables and plots.
        columns: the statistics of each example that it needs.
        aggregate: from the means of those columns over the examples where they are defined to the metric.
        lower_is_better: the direction.
        meaning: one line for people.
        fixes: what its signature says: unit, budget, how examples are put together.
        differs: how it differs from the official scorer's figure of that name; empty where it does not.
        bounds: least and greatest value.
        shown: whether it has a column in the comparison table of methods.
    """

    title: str
    columns: tuple[str, ...]
    aggregate: Callable[[Means], NDArray[np.float64]]
    lower_is_better: bool
    meaning: str
    fixes: str
    differs: str = ""
    bounds: tuple[float, float] = (0.0, 1.0)
    shown: bool = False


def mean_metric(title: str, column: str, meaning: str, fixes: str, **more: object) -> Metric:
    """A metric that is the mean of one column over the documents where it is defined; higher is better unless said."""
    more = {"lower_is_better": False} | more
    return Metric(title, (column,), first, meaning=meaning, fixes=f"{fixes}|over:documents", **more)  # type: ignore[arg-type]
