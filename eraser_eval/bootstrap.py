"""Bootstrap intervals of metrics from the statistics of each example."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eraser_eval.metrics import Metric

RESAMPLES = 10_000
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A value with a 95 % bootstrap interval; all None where no example defines it."""

    value: float | None
    low: float | None
    high: float | None

    def as_dict(self) -> dict[str, float | None]:
        """``value``, ``low`` and ``high``."""
        return {"value": self.value, "low": self.low, "high": self.high}


class Bootstrap:
    """Resamples of a set of examples, the same for every metric and method, so that differences are paired.

    Args:
        examples: how many examples there are.
        seed: of the draws.
        resamples: how many draws.

    Intervals are percentile intervals with the example (document) as the unit.
    Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
    """

    def __init__(self, examples: int, seed: int = 0, resamples: int = RESAMPLES) -> None:
        generator = np.random.default_rng(seed)
        self.weights: NDArray[np.float64] = generator.multinomial(
            examples, np.full(examples, 1 / examples), size=resamples
        ).astype(np.float64)

    def estimate(self, metric: Metric, columns: NDArray[np.float64]) -> Estimate:
        """The metric and its interval; ``columns`` is ``[examples, len(metric.columns)]``, NaN where undefined."""
        return _interval(self._values(metric, columns))

    def difference(self, metric: Metric, columns: NDArray[np.float64], other: NDArray[np.float64]) -> Estimate:
        """The metric of ``columns`` minus that of ``other`` on the same examples, with its paired interval."""
        return _interval(self._values(metric, columns) - self._values(metric, other))

    def _values(self, metric: Metric, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        weights = np.vstack([np.ones(len(columns)), self.weights])
        defined = ~np.isnan(columns)
        totals, counts = weights @ np.where(defined, columns, 0.0), weights @ defined
        means = np.divide(totals, counts, out=np.full_like(totals, np.nan), where=counts > 0)
        return metric.aggregate(tuple(means.T))


def _interval(values: NDArray[np.float64]) -> Estimate:
    """The estimate whose first value is of all examples and whose others are of resamples."""
    value, drawn = values[0], values[1:]
    drawn = drawn[~np.isnan(drawn)]
    if np.isnan(value) or not len(drawn):
        return Estimate(None, None, None)
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(float(value), float(low), float(high))
