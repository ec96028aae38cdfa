"""What erasing does, worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eraser_eval.metrics.faithfulness import area, statistics
from eraser_eval.records import Erasure, Prediction


def classes(share: float) -> dict[str, float]:
    return {"A": share, "B": 1 - share}


def figures(**more: object) -> dict[str, float]:
    made = Prediction("e", "A", classes(0.8), **more)
    return {name: float(values[0]) for name, values in statistics([made]).items()}


def test_erased_and_kept_worked_by_hand() -> None:
    row = figures(erased=classes(0.3), kept=classes(0.7), empty=classes(0.4))
    assert row["comprehensiveness"] == pytest.approx(0.5)
    assert row["sufficiency"] == pytest.approx(0.1)
    before, after = -(0.8 * math.log(0.8) + 0.2 * math.log(0.2)), -(0.3 * math.log(0.3) + 0.7 * math.log(0.7))
    assert row["comprehensiveness_entropy"] == pytest.approx(before - after)
    assert row["comprehensiveness_kl"] == pytest.approx(0.3 * math.log(0.3 / 0.8) + 0.7 * math.log(0.7 / 0.2))
    assert row["sufficiency_kl"] == pytest.approx(0.7 * math.log(0.7 / 0.8) + 0.3 * math.log(0.3 / 0.2))
    # 0.8 falls to 0.4 without any word: 0.5 / 0.4 is cut to 1, and 0.1 of 0.4 is lost.
    assert row["normalised_comprehensiveness"] == 1
    assert row["normalised_sufficiency"] == pytest.approx(1 - 0.1 / 0.4)


def test_shares_worked_by_hand() -> None:
    """Falls of 0.1, 0.2, 0.5 at 10, 20, 100 % erased: mean 0.8/3; area (0.1 · 0.15 + 0.8 · 0.35) / 0.9."""
    erasures = tuple(
        Erasure(fraction, classes(0.8 - fall), classes(0.8)) for fraction, fall in ((0.1, 0.1), (0.2, 0.2), (1.0, 0.5))
    )
    row = figures(erasures=erasures, kept=classes(0.6), sentence_erasures=erasures[:1])
    assert row["comprehensiveness_aopc"] == pytest.approx(0.8 / 3)
    assert row["comprehensiveness_area"] == pytest.approx((0.1 * 0.15 + 0.8 * 0.35) / 0.9)
    assert (row["comprehensiveness@0.1"], row["comprehensiveness@1"]) == pytest.approx((0.1, 0.5))
    assert row["sufficiency_aopc"] == row["sufficiency_area"] == pytest.approx(0)
    assert row["comprehensiveness_aopc_sentences"] == pytest.approx(0.1)
    # The share 1 erases everything: it is the input without words.
    assert row["normalised_sufficiency"] == pytest.approx(1 - 0.2 / 0.5)


def test_what_is_not_in_the_file_is_undefined() -> None:
    assert figures() == {}
    assert "normalised_comprehensiveness" not in figures(erased=classes(0.3), empty=classes(0.9))
    found = statistics([Prediction("a", "A", classes(0.8), erased=classes(0.3)), Prediction("b")])
    assert np.isnan(found["comprehensiveness"]).tolist() == [False, True]


def test_a_class_without_probability_is_named() -> None:
    with pytest.raises(ValueError, match="'e': class 'A' has no probability"):
        statistics([Prediction("e", "A", classes(0.8), erased={"B": 1.0})])


@given(st.floats(-1, 1), st.lists(st.floats(0, 1), min_size=2, max_size=6, unique=True))
def test_the_area_under_a_constant_is_the_constant(fall: float, fractions: list[float]) -> None:
    fractions = sorted(fractions)
    if fractions[-1] - fractions[0] > 1e-6:
        assert area(fractions, [fall] * len(fractions)) == pytest.approx(fall, abs=1e-9)
