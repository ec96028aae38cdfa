"""The model keeps transformers' habits: stock checkpoints load, nothing removed is the stock model, save and load."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from conftest import CLASSES, SHAPE, random_batch, tiny_model
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    BertTokenizer,
)

from adapler_explain.config import AdaplerBertConfig
from adapler_explain.losses import length_loss
from adapler_explain.modeling import AdaplerBertForSequenceClassification
from adapler_explain.stages import add_gradients


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_without_removal_the_logits_are_the_stock_models_to_the_bit(stock_checkpoint: Path, attention: str) -> None:
    options = {"attn_implementation": attention}
    stock = BertForSequenceClassification.from_pretrained(stock_checkpoint, **options).eval()
    ours = AdaplerBertForSequenceClassification.from_pretrained(stock_checkpoint, **options).eval()
    batch = random_batch([20, 7, 1, 32])
    assert torch.equal(stock(**batch).logits, ours(**batch, prune=False).logits)


def test_packed_with_nothing_to_remove_equals_the_stock_model(stock_checkpoint: Path) -> None:
    stock = BertForSequenceClassification.from_pretrained(stock_checkpoint).eval()
    ours = AdaplerBertForSequenceClassification.from_pretrained(stock_checkpoint).eval()
    with torch.no_grad():
        ours.adapler.eta.fill_(1e-30)
    batch = random_batch([20, 7, 1, 32])
    output = ours(**batch)
    assert torch.equal(output.alive[-1], batch["attention_mask"].bool())
    torch.testing.assert_close(output.logits, stock(**batch).logits, atol=1e-5, rtol=0)


def test_only_the_new_parameters_are_missing_from_stock_checkpoints(stock_checkpoint: Path, tmp_path: Path) -> None:
    load = AdaplerBertForSequenceClassification.from_pretrained
    model, info = load(stock_checkpoint, output_loading_info=True)
    assert info["missing_keys"] and all(name.startswith("adapler.") for name in info["missing_keys"])
    assert not info["unexpected_keys"]
    assert torch.equal(model.adapler.eta, torch.full((3,), 0.25)) and torch.equal(model.adapler.theta, torch.ones(2))
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())
    BertModel(BertConfig(**SHAPE)).save_pretrained(tmp_path)
    _, info = load(tmp_path, output_loading_info=True)
    assert all(name.startswith(("adapler.", "classifier.")) for name in info["missing_keys"])


def test_save_and_load_through_the_auto_classes(tmp_path: Path) -> None:
    model = tiny_model()
    model.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").exists()
    config = AutoConfig.from_pretrained(tmp_path)
    assert isinstance(config, AdaplerBertConfig) and config.window_pieces == 20
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert isinstance(again, AdaplerBertForSequenceClassification)
    batch = random_batch([20, 7])
    assert torch.equal(model(**batch).logits, again(**batch).logits)


def test_eval_prunes_and_train_does_not() -> None:
    model, batch = tiny_model(), random_batch([20, 7])
    assert model(**batch).alive is not None
    assert not hasattr(model.train()(**batch), "alive")
    assert model.eval()(**batch, labels=torch.tensor([0, 1])).loss > 0


def test_what_a_tokenizer_gives_goes_in_as_it_is(tokenizer: BertTokenizer) -> None:
    model, texts = tiny_model(), ["the film was good", "bad .", "the end , the end , the end"]
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        together = model(**batch).logits
        alone = torch.cat([model(**tokenizer([text], return_tensors="pt")).logits for text in texts])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_masks_and_token_types_may_be_left_out() -> None:
    model, batch = tiny_model(), random_batch([12, 12])
    batch["token_type_ids"].zero_()
    assert torch.equal(model(**batch).logits, model(input_ids=batch["input_ids"]).logits)


def test_arguments_that_pruning_cannot_serve_are_refused() -> None:
    with pytest.raises(ValueError, match="prune=False"):
        tiny_model()(**random_batch([4]), inputs_embeds=torch.zeros(1, 4, 16))


def test_gradients_flow_through_hard_removal() -> None:
    model, batch = tiny_model(), random_batch([20, 7])
    model(**batch).logits.sum().backward()
    for name in ("bert.embeddings.word_embeddings.weight", "bert.encoder.layer.2.output.dense.weight"):
        assert model.get_parameter(name).grad.abs().sum() > 0


def test_each_group_follows_its_own_loss() -> None:
    """Eta and theta take the gradients of one loss, theta's divided by theta; all other weights those of the other."""
    model, batch = tiny_model(), random_batch([20, 7])
    weights = [p for name, p in model.named_parameters() if name not in ("adapler.eta", "adapler.theta")]
    output = model.forward_soft(**batch, sharpness=10.0)
    task = output.logits.square().sum()
    length = length_loss(output.lengths)
    eta, theta = torch.autograd.grad(task + 3 * length, [model.adapler.eta, model.adapler.theta], retain_graph=True)
    expected = torch.autograd.grad(task, weights, retain_graph=True)
    add_gradients(weights, model.adapler, task, task + 3 * length, [model.adapler.eta, model.adapler.theta])
    torch.testing.assert_close(model.adapler.eta.grad, eta)
    torch.testing.assert_close(model.adapler.theta.grad, theta / model.adapler.theta.detach())
    for parameter, gradient in zip(weights, expected, strict=True):
        assert torch.equal(parameter.grad, gradient)


def test_half_precision_checkpoints_load_in_float32(tmp_path: Path) -> None:
    tiny_model(**CLASSES).half().save_pretrained(tmp_path)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path, dtype=torch.float32).eval()
    assert model(**random_batch([5])).logits.dtype == torch.float32
