"""Teachers: worked by hand, beside independent computations, and properties over the whole table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import families
import numpy as np
import pytest
import torch
from conftest import random_batch, tiny_model
from torch import Tensor

from adapler_explain import backbones, packed_encoder, saliency, teachers
from adapler_explain.classifier import Classifier
from adapler_explain.rollout import mean_attentions, roll
from adapler_explain.teachers import TEACHERS, Teacher, Texts, saliency_of, taught

GOLD = torch.tensor([1, 0, 1])


def texts(lengths: list[int], width: int | None = None) -> Texts:
    """Random texts; in the first one pieces 2 and 3 are marked."""
    inputs = random_batch(lengths, width=width)
    ids = inputs["input_ids"]
    marked = torch.zeros_like(ids, dtype=torch.bool)
    marked[0, 2:4] = True
    return Texts(inputs, GOLD[: len(lengths)], marked, torch.where(ids == 2, 2, 0))


def row(batch: Texts, index: int, length: int) -> Texts:
    """One text of ``batch``, without padding."""
    cut = (slice(index, index + 1), slice(length))
    inputs = {name: values[cut] for name, values in batch.inputs.items()}
    return Texts(inputs, batch.gold[cut[0]], batch.marked[cut], batch.baseline[cut])


@pytest.fixture
def untrue(monkeypatch: pytest.MonkeyPatch) -> Callable[[Tensor], None]:
    """Puts a teacher ``untrue`` that gives fixed values into the table."""

    def install(values: Tensor) -> None:
        monkeypatch.setitem(TEACHERS, "untrue", Teacher(lambda *_: values, "Untrue"))

    return install


@pytest.mark.parametrize("name", TEACHERS)
def test_every_teacher_is_at_least_0_finite_and_0_on_padding(name: str) -> None:
    batch = texts([9, 6, 1], width=11)
    values = taught(tiny_model(), batch, name)
    assert values.shape == (3, 11)
    assert values.isfinite().all() and (values >= 0).all() and (values.sum(-1) > 0).all()
    assert not values[batch.inputs["attention_mask"] == 0].any()
    assert not values.requires_grad


@pytest.mark.parametrize("name", TEACHERS)
def test_a_text_is_taught_alike_alone_and_in_a_batch(name: str) -> None:
    model, lengths = tiny_model(), [9, 6, 1]
    batch = texts(lengths, width=11)
    together = taught(model, batch, name)
    for index, length in enumerate(lengths):
        alone = taught(model, row(batch, index, length), name)[0]
        torch.testing.assert_close(alone, together[index, :length], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", TEACHERS)
def test_gold_class_and_marks_are_read_by_those_that_say_so(name: str) -> None:
    model, batch = tiny_model(), texts([9])
    usual = taught(model, batch, name)
    other_class = taught(model, replace(batch, gold=1 - batch.gold), name)
    assert torch.equal(usual, other_class) == (name == "attention-rollout")
    other_marks = taught(model, replace(batch, marked=~batch.marked), name)
    assert torch.equal(usual, other_marks) != TEACHERS[name].supervised


def test_what_is_not_finite_counts_as_0_and_a_text_of_zeros_is_even(untrue: Callable[[Tensor], None]) -> None:
    batch = texts([3, 2])
    untrue(torch.tensor([[torch.nan, 2.0, torch.inf], [0.0, 0.0, 0.0]]))
    assert taught(None, batch, "untrue").tolist() == [[0.0, 2.0, 0.0], [0.5, 0.5, 0.0]]


def hooked(model: Any, inputs: dict[str, Tensor], target: Tensor) -> tuple[Tensor, Tensor]:
    """Embeddings and gradients of the stock pass over the padded batch."""
    kept: list[Tensor] = []

    def keep(_module: Any, _arguments: Any, output: Tensor) -> Tensor:
        kept.append(output.detach().requires_grad_())
        return kept[0]

    handle = backbones.embedding_layer(model).register_forward_hook(keep)
    chosen = model(**inputs, prune=False).logits.gather(-1, target[:, None]).sum()
    handle.remove()
    return kept[0].detach(), torch.autograd.grad(chosen, kept[0])[0]


@pytest.mark.parametrize("family", families.CONFIGS)
def test_packed_gradients_are_those_of_the_stock_pass(family: str) -> None:
    model = families.tiny(family)
    inputs = families.batch_for(model, [12, 7, 1], width=14)
    found = saliency.embedding_gradients(model, inputs, GOLD)
    present = inputs["attention_mask"][..., None]
    for ours, stock in zip(found, hooked(model, inputs, GOLD), strict=True):
        torch.testing.assert_close(ours, stock * present, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", TEACHERS)
@pytest.mark.parametrize("family", families.CONFIGS)
def test_every_teacher_knows_every_family(family: str, name: str) -> None:
    model = families.tiny(family)
    inputs = families.batch_for(model, [12, 7, 1], width=14)
    ids = inputs["input_ids"]
    batch = Texts(inputs, GOLD, ids > 60, torch.where(ids == 2, 2, model.config.pad_token_id))
    together = taught(model, batch, name)
    assert together.isfinite().all() and (together >= 0).all()
    alone = taught(model, row(batch, 1, 7), name)[0]
    torch.testing.assert_close(alone, together[1, :7], rtol=1e-3, atol=1e-4)


def test_input_x_gradient_of_a_linear_model_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logit 1 is the sum over pieces of (2, 3) · h, so that S of h = (1, 1) is ‖(2, 3)‖."""
    monkeypatch.setattr(packed_encoder, "enter", lambda model, *inputs: model.packed)
    weights = torch.tensor([[0.0, 0.0], [2.0, 3.0]])
    monkeypatch.setattr(packed_encoder, "logits_of", lambda _, packed: packed.hidden.sum(0)[None] @ weights.T)
    model: Any = torch.nn.Module()
    places = torch.arange(2)
    model.packed = saliency.Packed(torch.tensor([[1.0, 1.0], [0.0, 2.0]]), places * 0, places, torch.tensor([2]), 2)
    inputs = {"input_ids": places[None], "attention_mask": places[None]}
    found = saliency.input_x_gradient(model, inputs, torch.tensor([1]))
    torch.testing.assert_close(found, torch.tensor([[13**0.5, 6.0]]))


def test_integrated_gradients_are_complete() -> None:
    """They sum to the logit's way from the baseline; a single step is too coarse for that."""
    model, batch = tiny_model(initializer_range=0.2), texts([12, 7, 3])

    def logits(ids: Tensor) -> Tensor:
        return packed_encoder.dense_logits(model, **batch.inputs | {"input_ids": ids}).gather(-1, GOLD[:, None])[:, 0]

    way = logits(batch.inputs["input_ids"]) - logits(batch.baseline)
    fine, coarse = (
        saliency.integrated_gradients(model, batch.inputs, GOLD, batch.baseline, steps).sum(-1)
        for steps in (teachers.STEPS, 1)
    )
    torch.testing.assert_close(fine, way, rtol=1e-3, atol=1e-4)
    assert (coarse - way).abs().max() > 0.1 * way.abs().max()


def test_rollout_by_hand() -> None:
    """Half identity, half attention in each layer; the last has [CLS]'s row alone."""
    first, second = torch.tensor([[[0.5, 0.5], [0.0, 1.0]]]), torch.tensor([[[0.0, 1.0], [1.0, 0.0]]])
    assert roll([first, second]).tolist() == [[0.375, 0.625]]
    assert roll([first, second[:, :1]]).tolist() == [[0.375, 0.625]]


@pytest.mark.parametrize("family", families.CONFIGS)
def test_attention_is_that_of_the_stock_model(family: str) -> None:
    model = families.tiny(family)
    inputs = families.batch_for(model, [12, 7])
    means = mean_attentions(model, inputs)
    model.set_attn_implementation("eager")
    with torch.no_grad():
        stock = model(**inputs, prune=False, output_attentions=True).attentions
    layers = len(stock)
    assert [mean.shape for mean in means] == [(2, 12, 12)] * (layers - 1) + [(2, 1, 12)]
    for mean, weights in zip(means, stock, strict=True):
        for text, length in enumerate((12, 7)):
            expected = weights.mean(1)[text, : mean.shape[1]][:length]
            torch.testing.assert_close(mean[text, :length], expected, rtol=1e-3, atol=1e-5)


def test_human_marks_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """[CLS] keeps its fifth of gradient × input; 0.9 of the rest goes to the two marked pieces, 0.1 as that has it."""
    base = torch.tensor([[2.0, 1.0, 3.0, 4.0], [1.0, 3.0, 0.0, 0.0]])
    monkeypatch.setattr(teachers, "input_x_gradient", lambda *_: base)
    batch = texts([4, 2])
    found = TEACHERS["human"].function(None, batch)
    expected = torch.tensor([[0.2, 0.01, 0.03 + 0.36, 0.04 + 0.36], [0.25, 0.75, 0.0, 0.0]])
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", TEACHERS)
def test_saliency_of_windows(checkpoint: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = Classifier.load(checkpoint)
    words = ["the", "film", "was", "not", "good", "."]
    marked_words = np.array([False, False, False, True, True, False])
    windows = [window for count in (1, 6, 30) for window in classifier.windows(words * count)]
    marked = [marked_words[np.array(w.words) % 6] & (np.array(w.words) >= 0) for w in windows]
    golds = [index % 2 for index in range(len(windows))]
    found = saliency_of(classifier, windows, golds, marked, name)
    assert [len(values) for values in found] == [len(window) for window in windows]
    monkeypatch.setattr(teachers, "GROUP_PIECES", 1)
    for together, alone in zip(found, saliency_of(classifier, windows, golds, marked, name), strict=True):
        torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-5)
    if name == "human":
        assert all(values[mask].min() > values[1:][~mask[1:]].max() for values, mask in zip(found, marked, strict=True))
