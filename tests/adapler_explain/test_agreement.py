"""One batch, four ways: packed, padded wider, one text at a time, and soft removal at λ = 1e20. All must agree."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from conftest import random_batch, tiny_model
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from adapler_explain import packed_encoder, packed_layer
from adapler_explain.modeling import AdaplerBertForSequenceClassification

KINDS = ("random", "ties", "alone", "nothing falls")
TOLERANCE = {"atol": 1e-5, "rtol": 0}


@cache
def model_of(kind: str, seed: int) -> AdaplerBertForSequenceClassification:
    """A random model whose removal is of one kind.

    ``ties``: every contribution equals the threshold exactly in some layers. ``alone``: [CLS] takes nearly all
    contribution, so that texts lose all else.
    """
    model = tiny_model(seed, layer_norm_eps=1e-5)
    with torch.no_grad():
        if kind == "ties":
            for layer in (0, 2):
                model.adapler.predictors[layer].out.weight.zero_()
                model.adapler.predictors[layer].out.bias.zero_()
                model.adapler.eta[layer] = 1.0
            model.adapler.theta[1] = 1.0
        elif kind == "alone":
            model.adapler.theta.fill_(1e6)
            model.adapler.eta[1:] = 1.0
        elif kind == "nothing falls":
            model.adapler.eta.fill_(1e-9)
    return model


@settings(max_examples=1000, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 4),
    lengths=st.lists(st.integers(1, 20), min_size=1, max_size=6),
    wider=st.integers(0, 8),
    pieces=st.integers(0, 10_000),
    block=st.sampled_from([1, 16, 4096]),
)
def test_four_ways_agree(kind: str, seed: int, lengths: list[int], wider: int, pieces: int, block: int) -> None:
    model, usual = model_of(kind, seed), packed_layer.BLOCK_ROWS
    batch = random_batch(lengths, pieces)
    width = max(lengths) + wider
    padded = {key: torch.nn.functional.pad(value, (0, wider)) for key, value in batch.items()}
    try:
        packed_layer.BLOCK_ROWS = block
        with torch.inference_mode():
            packed, wide = model(**batch), model(**padded)
            soft = model.forward_soft(**padded, sharpness=1e20)
            single = [
                model(**{key: value[row : row + 1, :length] for key, value in batch.items()})
                for row, length in enumerate(lengths)
            ]
    finally:
        packed_layer.BLOCK_ROWS = usual
    margins = torch.stack(packed.margins)
    # A score within rounding of its threshold may fall either way; made ties are exact.
    assume(not ((margins - 1).abs() < 1e-5)[margins != 1].any())
    alive = torch.stack(packed.alive)
    assert torch.equal(torch.stack(wide.alive), torch.nn.functional.pad(alive, (0, wider)))
    assert wide.alive[0].shape == (len(lengths), width)
    torch.testing.assert_close(packed.logits, wide.logits, **TOLERANCE)
    torch.testing.assert_close(packed.logits, soft.logits, **TOLERANCE)
    torch.testing.assert_close(alive.sum(-1).to(soft.lengths.dtype), soft.lengths, **TOLERANCE)
    torch.testing.assert_close(packed.logits, torch.cat([one.logits for one in single]), **TOLERANCE)
    for row, (length, one) in enumerate(zip(lengths, single, strict=True)):
        assert torch.equal(alive[:, row, :length], torch.stack(one.alive)[:, 0])
        for ours, theirs in ((packed.contributions, one.contributions), (packed.margins, one.margins)):
            got, expected = torch.stack(ours)[:, row, :length], torch.stack(theirs)[:, 0]
            torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-4)


def test_the_kinds_are_what_they_say() -> None:
    batch = random_batch([20, 9, 1, 13])
    lengths = batch["attention_mask"].sum(-1)
    outputs = {kind: model_of(kind, 0)(**batch) for kind in KINDS}
    for layer, before in ((0, batch["attention_mask"].bool()), (2, outputs["ties"].alive[1])):
        assert (outputs["ties"].margins[layer][before] == 1).all()
    assert torch.equal(outputs["ties"].alive[0].sum(-1), lengths)
    assert 4 < outputs["ties"].alive[1].sum() < lengths.sum()
    assert torch.equal(outputs["alone"].alive[-1].sum(-1), torch.ones_like(lengths))
    assert torch.equal(outputs["nothing falls"].alive[-1].sum(-1), lengths)
    assert 4 < outputs["random"].alive[-1].sum() < lengths.sum()


@pytest.mark.parametrize("lengths", [[1], [12, 12, 12], [20, 1, 7, 7]])
def test_without_removal_packed_logits_are_the_stock_models(lengths: list[int]) -> None:
    model, batch = tiny_model(), random_batch(lengths, width=24)
    stock = model(**batch, prune=False).logits
    with torch.inference_mode():
        torch.testing.assert_close(packed_encoder.dense_logits(model, **batch), stock, **TOLERANCE)
    torch.testing.assert_close(packed_encoder.dense_logits(model, **batch), stock, **TOLERANCE)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_one_text_at_a_time(kind: str) -> None:
    model, lengths = model_of(kind, 1), [15, 1, 20, 6]
    batch = random_batch(lengths)
    weights = list(model.bert.parameters())
    together = torch.autograd.grad(model(**batch).logits[:, 0].sum(), weights, allow_unused=True)
    alone = [
        torch.autograd.grad(
            model(**{key: value[row : row + 1, :length] for key, value in batch.items()}).logits[:, 0].sum(),
            weights,
            allow_unused=True,
        )
        for row, length in enumerate(lengths)
    ]
    for weight, got, *ones in zip(weights, together, *alone, strict=True):
        expected = sum((one for one in ones if one is not None), torch.zeros_like(weight))
        torch.testing.assert_close(torch.zeros_like(weight) if got is None else got, expected, atol=1e-4, rtol=1e-4)


def test_inference_equals_the_pass_with_gradients() -> None:
    """The maps made from the weights and the stock modules give the same."""
    model, batch = tiny_model(), random_batch([20, 9, 1, 13])
    with torch.inference_mode():
        quick = model(**batch)
    slow = model(**batch)
    assert slow.logits.requires_grad and not quick.logits.requires_grad
    torch.testing.assert_close(quick.logits, slow.logits.detach(), **TOLERANCE)
    assert torch.equal(torch.stack(quick.alive), torch.stack(slow.alive))


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu"])
def test_any_activation(activation: str) -> None:
    model, batch = tiny_model(hidden_act=activation, eta=1e-9), random_batch([20, 9, 1, 13])
    with torch.inference_mode():
        torch.testing.assert_close(model(**batch).logits, model(**batch, prune=False).logits, **TOLERANCE)
