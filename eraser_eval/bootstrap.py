"""Bootstrap intervals of metrics from the statistics of each example."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from eraser_eval.metrics.metric import Metric

FloatArray = NDArray[np.float64]

RESAMPLES = 10_000
LEVEL = 0.95
INTERVALS = ("percentile", "bca")
BLOCK_WORDS = 2_000_000


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
        examples: how many examples (documents), the unit that is drawn, there are.
        seed: of the draws.
        resamples: how many draws.
        interval: ``percentile``, or ``bca``: bias-corrected and accelerated.

    Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 13 and 14.
    """

    def __init__(self, examples: int, seed: int = 0, resamples: int = RESAMPLES, interval: str = INTERVALS[0]) -> None:
        self.examples, self.seed, self.resamples, self.interval = examples, seed, resamples, interval

    def draws(self) -> Iterator[FloatArray]:
        """How often each example is in each resample, ``[some resamples, examples]``, block after block."""
        generator = np.random.default_rng(self.seed)
        block = max(1, BLOCK_WORDS // self.examples)
        for begin in range(0, self.resamples, block):
            size = min(block, self.resamples - begin)
            drawn = generator.integers(self.examples, size=(size, self.examples))
            drawn += np.arange(size)[:, None] * self.examples
            counts = np.bincount(drawn.ravel(), minlength=size * self.examples)
            yield counts.reshape(size, self.examples).astype(np.float64)

    def means(self, columns: FloatArray) -> FloatArray:
        """The mean of each column over its defined examples: of all examples, then of every resample.

        Args:
            columns: ``[examples, columns]``, NaN where undefined.

        Returns:
            ``[1 + resamples, columns]``, NaN where a resample holds no defined example.
        """
        defined = ~np.isnan(columns)
        known, present = np.where(defined, columns, 0.0), defined.astype(np.float64)
        blocks = [np.ones((1, self.examples)), *([] if self.examples == 0 else self.draws())]
        return np.concatenate([_ratio(weights @ known, weights @ present) for weights in blocks])

    def estimate(self, values: FloatArray, jackknife: FloatArray) -> Estimate:
        """The value and its interval.

        Args:
            values: ``[1 + resamples]``: of all examples, then of every resample.
            jackknife: ``[examples]``: without each example; read by ``bca`` only.
        """
        value, drawn = values[0], values[1:]
        drawn = drawn[~np.isnan(drawn)]
        if np.isnan(value) or not len(drawn):
            return Estimate(None, None, None)
        tails = np.array([(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        if self.interval == "bca":
            tails = _bca_tails(tails, value, drawn, jackknife[~np.isnan(jackknife)])
        low, high = np.quantile(drawn, tails)
        return Estimate(float(value), float(low), float(high))


def point(columns: FloatArray, metric: Metric) -> FloatArray:
    """The metric of all examples, ``[1]``; ``columns`` is ``[examples, metric.columns]``, NaN where undefined."""
    defined = ~np.isnan(columns)
    totals = np.where(defined, columns, 0.0).sum(0, keepdims=True)
    return metric.aggregate(tuple(_ratio(totals, defined.sum(0, keepdims=True).astype(np.float64)).T))


def jackknife(columns: FloatArray, metric: Metric) -> FloatArray:
    """The metric without each of the examples in turn, ``[examples]``; ``columns`` as for :func:`point`."""
    defined = ~np.isnan(columns)
    known = np.where(defined, columns, 0.0)
    return metric.aggregate(tuple(_ratio(known.sum(0) - known, defined.sum(0) - defined.astype(np.float64)).T))


def _ratio(totals: FloatArray, counts: FloatArray) -> FloatArray:
    return np.divide(totals, counts, out=np.full_like(totals, np.nan), where=counts > 0)


def _bca_tails(tails: FloatArray, value: float, drawn: FloatArray, without: FloatArray) -> FloatArray:
    """The quantiles of the resamples that bias correction and acceleration put in the place of ``tails``."""
    below = (np.sum(drawn < value) + np.sum(drawn == value) / 2) / len(drawn)
    bias = norm.ppf(np.clip(below, 0.5 / len(drawn), 1 - 0.5 / len(drawn)))
    apart = without.mean() - without if len(without) else without
    spread = float((apart**2).sum() ** 1.5)
    acceleration = float((apart**3).sum()) / (6 * spread) if spread > 0 else 0.0
    moved = bias + norm.ppf(tails)
    adjusted: FloatArray = norm.cdf(bias + moved / (1 - acceleration * moved))
    return adjusted
