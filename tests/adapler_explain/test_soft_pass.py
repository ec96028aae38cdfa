"""Training's forward pass on packed pieces, against the same written out on padded batches with the stock layers."""

from __future__ import annotations

import pytest
import torch
from conftest import random_batch, tiny_model
from torch import Tensor
from torch.nn.functional import cross_entropy

from adapler_explain import losses, packed_encoder, removal
from adapler_explain.modeling import AdaplerBertForSequenceClassification
from adapler_explain.soft_pass import GONE, SoftOutput, soft_pass

LENGTHS = [20, 7, 1, 13, 2]


def padded_soft(model: AdaplerBertForSequenceClassification, batch: dict[str, Tensor], sharpness: float) -> SoftOutput:
    """Soft removal to the letter: nothing is packed, nothing is let go."""
    present = batch["attention_mask"].float()
    is_cls = torch.zeros_like(present)
    is_cls[:, 0] = 1.0
    alive = present * (1 - is_cls)
    mask = (1 - present) * removal.MASKED
    hidden = model.bert.embeddings(input_ids=batch["input_ids"], token_type_ids=batch["token_type_ids"])
    contributions, lengths = [], []
    for index, layer in enumerate(model.bert.encoder.layer):
        c = removal.contributions(model.adapler.predictors[index](hidden), alive + is_cls)
        scores = removal.scale_cls(c, model.adapler.cls_multiplier(index))
        delta = removal.threshold(model.adapler.eta[index], alive.sum(-1, keepdim=True) + 1)
        faded = alive * removal.soft_mask(scores, delta, sharpness)
        mask = (mask + faded).clamp(min=removal.MASKED)
        alive = alive * faded.exp()
        contributions.append(c)
        lengths.append(alive.sum(-1) + 1)
        hidden = layer(hidden, mask[:, None, None, :])
    logits = model.classifier(model.bert.pooler(hidden[:, :1]))
    return SoftOutput(logits=logits, contributions=torch.stack(contributions), lengths=torch.stack(lengths))


def loss_of(model: AdaplerBertForSequenceClassification, output: SoftOutput, mask: Tensor, sharpness: float) -> Tensor:
    torch.manual_seed(3)
    saliency = torch.rand(mask.shape) * mask
    eta, theta = model.adapler.eta, model.adapler.theta
    divergences = losses.contribution_divergences(output.contributions, saliency, mask, eta, theta, sharpness)
    task = cross_entropy(output.logits, torch.arange(len(mask)) % 2)
    return task + 0.1 * losses.contribution_loss(divergences) + 0.01 * losses.length_loss(output.lengths)


def test_a_factor_is_one_of_all_thresholds() -> None:
    model, packed = tiny_model(), packed_encoder.enter(tiny_model(), **random_batch(LENGTHS))
    shaken = soft_pass(model, packed, 75.0, factor=1.3)
    plain = soft_pass(model, packed, 75.0)
    with torch.no_grad():
        model.adapler.eta *= 1.3
    same = soft_pass(model, packed, 75.0)
    assert torch.equal(shaken.lengths, same.lengths) and torch.equal(shaken.logits, same.logits)
    assert (shaken.lengths < plain.lengths).any()


@pytest.mark.parametrize("gone", [-torch.inf, GONE])
@pytest.mark.parametrize("sharpness", [10.0, 75.0, 300.0, 1000.0])
def test_values_and_gradients_are_those_of_the_padded_pass(sharpness: float, gone: float) -> None:
    model, batch = tiny_model(), random_batch(LENGTHS)
    packed = packed_encoder.enter(model, **batch)
    outputs = [padded_soft(model, batch, sharpness), soft_pass(model, packed, sharpness, gone=gone)]
    for name in ("logits", "contributions", "lengths"):
        torch.testing.assert_close(getattr(outputs[1], name), getattr(outputs[0], name), rtol=1e-4, atol=2e-5)
    own = [p for name, p in model.named_parameters() if "position" not in name]
    a, b = (
        torch.cat(
            [g.flatten() for g in torch.autograd.grad(loss_of(model, o, batch["attention_mask"], sharpness), own)]
        )
        for o in outputs
    )
    assert (a - b).norm() <= 5e-4 * a.norm()


def test_what_has_faded_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a sharp λ the layers of training run on as many pieces as those of inference."""
    model, batch = tiny_model(), random_batch(LENGTHS)
    kept = [int(alive.sum()) for alive in model(**batch).alive]
    seen: list[int] = []
    usual = removal.keep

    def watched(packed: removal.Packed, stays: Tensor) -> removal.Packed:
        seen.append(int(stays.sum()))
        return usual(packed, stays)

    monkeypatch.setattr(removal, "keep", watched)
    soft_pass(model, packed_encoder.enter(model, **batch), 1e20)
    assert seen == kept


def test_a_text_gives_in_a_batch_what_it_gives_alone() -> None:
    model, batch = tiny_model(), random_batch(LENGTHS)
    together = model.forward_soft(**batch, sharpness=50.0)
    for row, length in enumerate(LENGTHS):
        single = {name: values[row : row + 1, :length] for name, values in batch.items()}
        alone = model.forward_soft(**single, sharpness=50.0)
        torch.testing.assert_close(alone.logits[0], together.logits[row], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(alone.lengths[:, 0], together.lengths[:, row], rtol=1e-4, atol=1e-5)
