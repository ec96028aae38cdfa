"""Relevance propagation: each rule by hand, values unchanged, and nothing lost on the way through stock encoders."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import families
import pytest
import torch
from conftest import CLASSES, SHAPE, random_batch, tiny_model
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    PreTrainedConfig,
    RobertaConfig,
)
from transformers.activations import ACT2FN

from adapler_explain import packed_encoder
from adapler_explain.propagation import Propagation
from adapler_explain.saliency import entered, input_x_gradient, relevance, spread, target_gradients

CONFIGS = [
    BertConfig(**SHAPE | CLASSES),
    BertConfig(**SHAPE | CLASSES | {"hidden_act": "silu"}),
    BertConfig(**SHAPE | CLASSES | {"hidden_act": "gelu_new"}),
    RobertaConfig(**SHAPE | CLASSES | {"pad_token_id": 0}),
    DistilBertConfig(vocab_size=70, dim=16, n_layers=3, n_heads=2, hidden_dim=24, initializer_range=0.4, **CLASSES),
    ElectraConfig(**SHAPE | CLASSES | {"embedding_size": 8}),
    ModernBertConfig(
        **SHAPE | CLASSES | {"pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3, "local_attention": 8},
        classifier_pooling="cls",
    ),
]


def gradient(output: Tensor, values: Tensor) -> list[float]:
    return torch.autograd.grad(output.sum(), values, retain_graph=True)[0].tolist()


def test_the_deviation_of_a_norm_is_constant() -> None:
    values = torch.tensor([1.0, 3.0], requires_grad=True)
    with Propagation():
        first = F.layer_norm(values, (2,), weight=torch.tensor([2.0, 1.0]), bias=torch.tensor([5.0, 0.0]), eps=0.0)
    assert first.tolist() == [3.0, 1.0]
    # Deviation 1: the first output is 5 + 2 · (a - b) / 2, the second (b - a) / 2.
    assert gradient(first[0], values) == [1.0, -1.0]


def assert_one_activation(function: Any) -> Tensor:
    """Its values are its own, and its slopes times its input are them; the values it was asked for."""
    values = torch.tensor([-2.0, 0.0, 1e-7, 1.5], requires_grad=True)
    with Propagation():
        output = function(values)
    torch.testing.assert_close(output, function(values))
    slopes = torch.tensor(gradient(output, values))
    assert slopes.isfinite().all()
    torch.testing.assert_close(slopes * values, function(values))
    return values


@pytest.mark.parametrize(
    "function",
    [
        *(F.gelu, F.relu, F.silu, F.mish, F.hardswish, F.leaky_relu, F.relu6),
        *(torch.tanh, torch.relu, Tensor.tanh, Tensor.relu),
    ],
)
def test_an_activation_is_its_input_times_a_constant(function: Any) -> None:
    assert_one_activation(function)


COMPOSED = (
    *("gelu_new", "gelu_fast", "gelu_accurate", "quick_gelu", "gelu_10", "relu2"),
    *("gelu_python", "gelu_python_tanh"),
)


@pytest.mark.parametrize("name", COMPOSED)
def test_an_activation_of_several_functions_is_one(name: str) -> None:
    module = ACT2FN[name]
    values = assert_one_activation(module)
    # Afterwards it has its own gradient again.
    own = torch.tensor(gradient(module(values), values))
    assert not torch.allclose(own * values, module(values))


def test_another_thread_keeps_its_own_gradients() -> None:
    module, values = ACT2FN["gelu_new"], torch.tensor([-2.0, 1.5], requires_grad=True)
    own = gradient(module(values), values)
    with Propagation(), ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: gradient(module(values), values)).result() == own
        assert gradient(module(values), values) != own


def test_relevance_flows_through_the_values_of_attention() -> None:
    query, key, value = (torch.randn(1, 2, 3, 4, requires_grad=True) for _ in range(3))
    mask = torch.tensor([[0.0, 0.0, -torch.inf]])
    with Propagation():
        output = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    torch.testing.assert_close(output, F.scaled_dot_product_attention(query, key, value, attn_mask=mask))
    slopes = torch.autograd.grad(output.sum(), (query, key, value), allow_unused=True)
    assert slopes[:2] == (None, None)
    torch.testing.assert_close((slopes[2] * value).sum(), output.sum())


def test_attention_with_dropout_is_refused() -> None:
    rows = torch.ones(1, 1, 2, 4)
    with Propagation(), pytest.raises(ValueError, match="eval"):
        F.scaled_dot_product_attention(rows, rows, rows, dropout_p=0.1)


def test_a_softmax_written_out_is_constant() -> None:
    values = torch.tensor([1.0, 2.0], requires_grad=True)
    with Propagation():
        assert not values.softmax(-1).requires_grad
        assert not F.softmax(values, -1).requires_grad


def test_a_gate_shares_its_relevance_and_a_weight_takes_none() -> None:
    one, two = torch.tensor([3.0], requires_grad=True), torch.tensor([5.0], requires_grad=True)
    weight = nn.Parameter(torch.tensor([2.0]))
    with Propagation():
        gated, weighted = one * two, one * weight
    assert gated.tolist() == [15.0]
    assert (gradient(gated, one), gradient(gated, two)) == ([2.5], [1.5])
    assert gradient(weighted, one) == [2.0]


def test_outside_the_block_gradients_are_the_usual_ones() -> None:
    model, inputs, target = tiny_model(), random_batch([9]), torch.tensor([1])
    before = input_x_gradient(model, inputs, target)
    relevance(model, inputs, target)
    torch.testing.assert_close(input_x_gradient(model, inputs, target), before, rtol=0, atol=0)


@pytest.mark.parametrize(
    "config", CONFIGS, ids=lambda config: f"{config.model_type}-{config.to_dict().get('hidden_act')}"
)
def test_stock_encoders_conserve_relevance(config: PreTrainedConfig) -> None:
    """Relevance of the embeddings and of every bias after them sums to the logit."""
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(config, attn_implementation="eager").double().eval()
    embeddings = next(module for name, module in model.named_modules() if name.endswith("embeddings"))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_()
    biases = [
        parameter
        for name, parameter in model.named_parameters()
        if name.endswith("bias") and ".embeddings." not in name
    ]
    kept: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        kept.append(output.detach().requires_grad_())
        return kept[0]

    batch = random_batch([9, 5])
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    stock = model(**inputs).logits[0, 1]
    embeddings.register_forward_hook(keep)
    with Propagation():
        logit = model(**inputs).logits[0, 1]
    torch.testing.assert_close(logit, stock)
    leaves = [*kept, *biases]
    gradients = torch.autograd.grad(logit, leaves, allow_unused=True)
    total = sum((leaf * slope).sum() for leaf, slope in zip(leaves, gradients, strict=True) if slope is not None)
    torch.testing.assert_close(total, logit, rtol=1e-9, atol=1e-9)


def without_biases() -> Any:
    model = tiny_model()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
    return model


def test_without_biases_relevances_sum_to_the_logit() -> None:
    model, inputs, target = without_biases(), random_batch([12, 4, 1]), torch.tensor([1, 0, 1])
    logits = packed_encoder.dense_logits(model, **inputs).gather(-1, target[:, None])[:, 0]
    torch.testing.assert_close(relevance(model, inputs, target).sum(-1), logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", families.CONFIGS)
def test_with_biases_the_rest_is_theirs(family: str) -> None:
    model, target = families.tiny(family), torch.tensor([1, 0])
    inputs = families.batch_for(model, [12, 7])
    biases = [parameter for name, parameter in model.named_parameters() if name.endswith("bias")]
    packed = entered(model, inputs)
    with Propagation(), torch.enable_grad():
        logits = packed_encoder.logits_of(model, packed).gather(-1, target[:, None])
    slopes = torch.autograd.grad(logits.sum(), biases, allow_unused=True)
    theirs = sum((b * slope).sum() for b, slope in zip(biases, slopes, strict=True) if slope is not None)
    total = relevance(model, inputs, target).sum() + theirs
    torch.testing.assert_close(total, packed_encoder.dense_logits(model, **inputs).gather(-1, target[:, None]).sum())


def test_relevance_differs_from_gradient_times_input() -> None:
    model, inputs, target = tiny_model(), random_batch([12]), torch.tensor([1])
    packed = entered(model, inputs)
    plain = spread((packed.hidden * target_gradients(model, packed, target)).sum(-1), packed)
    assert (relevance(model, inputs, target) - plain).abs().max() > 0.01
