"""Soft and hard removal: their properties, and that they agree."""

from __future__ import annotations

import pytest
import torch
from conftest import random_batch, tiny_model
from hypothesis import given, settings
from hypothesis import strategies as st

from adapler_explain import removal
from adapler_explain.removal import Packed

LENGTHS = st.lists(st.integers(1, 30), min_size=1, max_size=6)


def packed(lengths: list[int], width: int = 4) -> Packed:
    text = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    position = torch.cat([torch.arange(n) for n in lengths])
    return Packed(torch.randn(len(text), width), text, position, torch.tensor(lengths), max(lengths))


@settings(max_examples=60, deadline=None)
@given(LENGTHS, st.integers(0, 2**16), st.floats(0.001, 5.0))
def test_packed_and_padded_contributions_agree(lengths: list[int], seed: int, factor: float) -> None:
    torch.manual_seed(seed)
    pieces = packed(lengths)
    logits = 4 * torch.randn(len(pieces.text))
    padded = removal.unpack(logits, pieces, max(lengths))
    present = removal.unpack(torch.ones_like(logits), pieces, max(lengths))
    contributions = removal.packed_contributions(logits, pieces)
    expected = removal.contributions(padded, present)
    torch.testing.assert_close(removal.unpack(contributions, pieces, max(lengths)), expected)
    torch.testing.assert_close(removal.text_sums(contributions, pieces), torch.ones(len(lengths)))
    scaled = removal.packed_scale_cls(contributions, torch.tensor(factor), pieces)
    torch.testing.assert_close(
        removal.unpack(scaled, pieces, max(lengths)), removal.scale_cls(expected, torch.tensor(factor))
    )


@settings(max_examples=60, deadline=None)
@given(LENGTHS, st.integers(0, 2**16))
def test_keep_and_unpack(lengths: list[int], seed: int) -> None:
    torch.manual_seed(seed)
    pieces = packed(lengths)
    kept = (torch.rand(len(pieces.text)) < 0.5) | pieces.is_cls
    left = removal.keep(pieces, kept)
    assert left.lengths.sum() == kept.sum() and left.lengths.min() >= 1
    assert torch.equal(left.hidden, pieces.hidden[kept])
    columns = removal.unpack(torch.ones_like(left.text, dtype=torch.bool), left, max(lengths))
    assert torch.equal(columns, removal.unpack(kept, pieces, max(lengths)))


def test_soft_mask_worked_by_hand() -> None:
    scores = torch.tensor([[0.05, 0.1, 0.6, 1.0]])
    mask = removal.soft_mask(scores, torch.tensor([[0.1]]), sharpness=10.0)
    # below: (10 / 0.1)(0.05 − 0.1) − 0.1 / 10 = −5.01; at the threshold: −0.01; above: (s − 1)(0.01) / 0.9
    torch.testing.assert_close(mask, torch.tensor([[-5.01, -0.01, -0.4 * 0.01 / 0.9, 0.0]]))


@settings(max_examples=100, deadline=None)
@given(st.floats(0.01, 0.9), st.floats(0.5, 1e20), st.lists(st.floats(0, 1), min_size=2, max_size=9))
def test_soft_mask_is_bounded_and_rises_with_the_score(delta: float, sharpness: float, scores: list[float]) -> None:
    ordered = torch.tensor(sorted(scores), dtype=torch.float64)[None]
    mask = removal.soft_mask(ordered, torch.tensor([[delta]], dtype=torch.float64), sharpness)
    assert ((mask <= 0) & (mask >= removal.MASKED)).all()
    assert (mask.diff() >= -1e-12).all()


@given(st.lists(st.floats(0.01, 1.0), min_size=1, max_size=12), st.floats(0.0, 50.0), st.floats(0.0, 50.0))
def test_no_threshold_passes_an_even_share_before_all_have(eta: list[float], one: float, other: float) -> None:
    trained = torch.tensor(eta, dtype=torch.float64)
    low, high = (removal.at_factor(trained, factor) for factor in sorted((one, other)))
    assert (low <= high + 1e-12).all()
    torch.testing.assert_close(removal.at_factor(trained, 1.0), trained)
    for factor, found in ((min(one, other), low), (max(one, other), high)):
        if (found > 1 + 1e-12).any():
            torch.testing.assert_close(found, torch.full_like(found, factor * min(eta)))
        below = found < 1 - 1e-12
        torch.testing.assert_close(found[below], trained[below] * factor)


def test_a_threshold_that_was_made_higher_than_an_even_share_stays_so() -> None:
    made = torch.tensor([0.5, 1.5])
    assert removal.at_factor(made, 1.0).tolist() == [0.5, 1.5]
    assert removal.at_factor(made, 1.2).tolist() == pytest.approx([0.6, 1.5])
    assert removal.at_factor(made, 6.0).tolist() == pytest.approx([3.0, 3.0])


def test_a_piece_at_the_threshold_stays_in_hard_and_soft_removal() -> None:
    """All predictors say the same of every piece: with eta = 1 every score equals the threshold 1 / n."""
    model = tiny_model(eta=1.0)
    with torch.no_grad():
        model.adapler.theta.fill_(1.0)
        for parameter in model.adapler.predictors.parameters():
            parameter.zero_()
    batch = random_batch([9, 7, 13, 1, 2, 30])
    with torch.inference_mode():
        hard, soft = model(**batch), model.forward_soft(**batch, sharpness=1e20)
    assert torch.equal(hard.alive[-1], batch["attention_mask"].bool())
    torch.testing.assert_close(hard.logits, soft.logits, atol=1e-5, rtol=0)


def test_texts_that_lose_all_but_cls() -> None:
    model = tiny_model(eta=1.0)
    with torch.no_grad():
        model.adapler.theta.fill_(1e9)
    output = model(**random_batch([9, 5, 1]))
    assert output.alive[-1].sum(-1).tolist() == [1, 1, 1]
    assert torch.isfinite(output.logits).all()


def test_pieces_never_come_back() -> None:
    output = tiny_model()(**random_batch([30, 12, 25]))
    alive = torch.stack(output.alive)
    assert (alive[1:] <= alive[:-1]).all()
    assert 3 < alive[-1].sum() < alive[0].sum() < 67


def test_margins_tell_who_stays() -> None:
    model, batch = tiny_model(), random_batch([30, 12, 25])
    output = model(**batch)
    before = batch["attention_mask"].bool()
    for alive, contributions, margins in zip(output.alive, output.contributions, output.margins, strict=True):
        stays = before & (margins >= 1)
        stays[:, 0] = True
        assert torch.equal(stays, alive)
        torch.testing.assert_close(contributions.sum(-1), torch.ones(3))
        assert (contributions[~before] == 0).all()
        before = alive


def test_left_padding_is_refused() -> None:
    batch = random_batch([4, 4])
    batch["attention_mask"][0, 0] = 0
    with pytest.raises(ValueError, match="pad on the right"):
        tiny_model()(**batch)
