"""Tests between systems against scipy, and in cases whose answer is known."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import permutation_test

from eraser_eval.metrics import METRICS
from eraser_eval.significance import effect_size, holm, randomisation_test

MEAN, F1 = METRICS["fpr"], METRICS["iou_f1"]


def p_of(one: np.ndarray, two: np.ndarray, metric: object = MEAN, **more: int) -> float | None:
    return randomisation_test({"m": (metric, one, two)}, **more)["m"]


def test_p_against_scipy() -> None:
    generator = np.random.default_rng(0)
    one, two = generator.normal(0.3, 1, 40), generator.normal(0.0, 1, 40)
    expected = permutation_test(
        (one, two), lambda a, b: a.mean() - b.mean(), permutation_type="samples", n_resamples=20_000, rng=generator
    ).pvalue
    assert p_of(one[:, None], two[:, None], permutations=20_000) == pytest.approx(expected, rel=0.1)


def test_p_of_an_f1_against_every_swap() -> None:
    """Six examples: all 64 swaps by hand; the sampled p is that share, up to the draws."""
    generator = np.random.default_rng(4)
    one, two = generator.random((6, 2)), generator.random((6, 2)) * 0.8

    def f1(rows: np.ndarray) -> float:
        p, r = rows.mean(0)
        return 2 * p * r / (p + r)

    seen = abs(f1(one) - f1(two))
    every = []
    for signs in product([False, True], repeat=6):
        swap = np.array(signs)[:, None]
        every.append(abs(f1(np.where(swap, two, one)) - f1(np.where(swap, one, two))) >= seen - 1e-12)
    assert p_of(one, two, F1, permutations=40_000) == pytest.approx(np.mean(every), abs=0.01)


def test_p_is_uniform_when_nothing_differs() -> None:
    generator = np.random.default_rng(1)
    values = [p_of(*generator.random((2, 25, 1)), permutations=400, seed=seed) for seed in range(200)]
    assert 0.4 < np.mean(values) < 0.6
    assert np.mean(np.array(values) < 0.05) < 0.1


def test_extremes() -> None:
    zeros, ones = np.zeros((30, 1)), np.ones((30, 1))
    assert p_of(zeros, zeros) == 1
    assert p_of(ones, zeros, permutations=999) == 1 / 1000
    assert p_of(np.full((3, 1), np.nan), zeros[:3]) is None
    assert randomisation_test({}) == {}
    with_gap = np.where(np.arange(30)[:, None] == 3, np.nan, ones)
    assert p_of(with_gap, np.where(np.isnan(with_gap), np.nan, zeros), permutations=999) == 1 / 1000


@given(st.lists(st.floats(0.001, 1), min_size=1, max_size=6))
def test_holm_is_monotone_and_between_no_correction_and_bonferroni(p_values: list[float]) -> None:
    corrected = holm(p_values)
    for p, q in zip(p_values, corrected, strict=True):
        assert p <= q <= min(1.0, p * len(p_values)) + 1e-12
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(np.array(corrected)[order]) >= 0).all()


def test_effect_size_of_a_mean_is_cohens_d() -> None:
    generator = np.random.default_rng(2)
    one, two = generator.random((2, 20, 1))
    apart = (one - two)[:, 0]
    assert effect_size(MEAN, one, two) == pytest.approx(apart.mean() / apart.std(ddof=1))
    one[4] = two[4] = np.nan
    apart = np.delete(apart, 4)
    assert effect_size(MEAN, one, two) == pytest.approx(apart.mean() / apart.std(ddof=1))
    assert effect_size(MEAN, one, one) is None
    assert effect_size(MEAN, np.full((5, 1), np.nan), np.full((5, 1), np.nan)) is None


def test_effect_size_of_an_f1_has_the_sign_of_the_difference() -> None:
    generator = np.random.default_rng(3)
    one, two = generator.random((2, 40, 2))
    assert effect_size(F1, one, two * 0.5) > 0.5
    assert effect_size(F1, one * 0.5, two) < -0.5
