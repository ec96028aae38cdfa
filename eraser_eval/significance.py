"""Paired tests between two systems, correction for several of them, and effect sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from eraser_eval.bootstrap import BLOCK_WORDS, jackknife, point
from eraser_eval.metrics.metric import Metric

FloatArray = NDArray[np.float64]
PERMUTATIONS = 10_000
LEVEL = 0.05


def randomisation_test(
    pairs: Mapping[str, tuple[Metric, FloatArray, FloatArray]], seed: int = 0, permutations: int = PERMUTATIONS
) -> dict[str, float | None]:
    """Two-sided p-values of approximate randomisation: how often swapping the systems does as much as their difference.

    Every permutation swaps the two systems' statistics in each example with probability 1/2; p is (1 + permutations
    whose difference is at least as large) / (1 + permutations). None where the difference is undefined.

    Args:
        pairs: name to a metric and the ``[examples, metric.columns]`` statistics of both systems, the same examples.
        seed: of the swaps, which are the same for all metrics.
        permutations: how many.

    Source: Noreen, "Computer-Intensive Methods for Testing Hypotheses", 1989; Yeh, COLING 2000.
    """
    if not pairs:
        return {}
    examples = len(next(iter(pairs.values()))[1])
    one, two = (np.concatenate([pair[side] for pair in pairs.values()], axis=1) for side in (1, 2))
    widths = np.cumsum([0] + [pair[1].shape[1] for pair in pairs.values()])
    observed = _differences(pairs, widths, one, two, np.zeros((1, examples)))[:, 0]
    generator = np.random.default_rng([seed, 1])
    block = max(1, BLOCK_WORDS // examples)
    beyond = np.zeros(len(pairs))
    for begin in range(0, permutations, block):
        swaps = generator.integers(2, size=(min(block, permutations - begin), examples), dtype=np.int8)
        drawn = np.abs(_differences(pairs, widths, one, two, swaps.astype(np.float64)))
        # Sums in another order differ in their last bits.
        beyond += (drawn >= np.abs(observed)[:, None] - 1e-12).sum(1)
    return {
        name: None if np.isnan(observed[number]) else float((1 + beyond[number]) / (1 + permutations))
        for number, name in enumerate(pairs)
    }


def _differences(
    pairs: Mapping[str, tuple[Metric, FloatArray, FloatArray]],
    widths: NDArray[np.int64],
    one: FloatArray,
    two: FloatArray,
    swaps: FloatArray,
) -> FloatArray:
    """Differences of every metric under every swap, ``[metrics, swaps]``."""
    first, second = _swapped(one, two, swaps), _swapped(two, one, swaps)
    rows = []
    for (metric, _, _), begin, end in zip(pairs.values(), widths[:-1], widths[1:], strict=True):
        rows.append(metric.aggregate(tuple(first[:, begin:end].T)) - metric.aggregate(tuple(second[:, begin:end].T)))
    return np.stack(rows)


def _swapped(one: FloatArray, two: FloatArray, swaps: FloatArray) -> FloatArray:
    """Means of the columns of ``one`` where ``swaps`` is 0 and of ``two`` where it is 1, ``[swaps, columns]``."""
    a, b = np.nan_to_num(one), np.nan_to_num(two)
    in_a, in_b = (~np.isnan(one)).astype(np.float64), (~np.isnan(two)).astype(np.float64)
    totals, counts = a.sum(0) + swaps @ (b - a), in_a.sum(0) + swaps @ (in_b - in_a)
    found: FloatArray = np.divide(totals, counts, out=np.full_like(totals, np.nan), where=counts > 0)
    return found


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """p-values corrected for their number by Holm's step-down procedure; None stays None and does not count.

    >>> holm([0.01, 0.04, None, 0.03])
    [0.03, 0.06, None, 0.06]

    Source: Holm, "A Simple Sequentially Rejective Multiple Test Procedure", 1979.
    """
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, place) in enumerate(known):
        highest = max(highest, min(1.0, p * (len(known) - rank)))
        corrected[place] = highest
    return corrected


def effect_size(metric: Metric, one: FloatArray, two: FloatArray) -> float | None:
    """The paired standardised difference d: mean over standard deviation of the jackknife's pseudo-values.

    For a mean over examples the pseudo-values are the examples' differences, and this is Cohen's d for pairs. None
    where it is undefined or every example differs by the same amount.

    Args:
        metric: whose difference it is.
        one, two: ``[examples, metric.columns]``; one minus two.

    Source: Cohen, "Statistical Power Analysis", 1988, section 2.3; Efron and Tibshirani 1993, chapter 11.
    """
    whole = point(one, metric) - point(two, metric)
    if np.isnan(whole[0]):
        return None
    defined = ~np.isnan(np.concatenate([one, two], axis=1)).any(axis=1)
    without = (jackknife(one, metric) - jackknife(two, metric))[defined]
    count = len(without)
    pseudo = count * whole - (count - 1) * without
    spread = float(np.std(pseudo, ddof=1)) if count > 1 else 0.0
    return float(pseudo.mean() / spread) if spread > 1e-12 else None
