"""FLOPs: the authors' formulas for BERT-base, and PyTorch's own counter for everything else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from conftest import random_batch, tiny_model
from families import CONFIGS, batch_for, tiny
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry
from transformers import BertConfig, ElectraConfig, RobertaConfig

from adapler_explain import backbones, flops, forced, packed_encoder, rollout, saliency
from adapler_explain.config import AdaplerBertConfig


def prepacked(rows: torch.Size, *others: object, out_shape: torch.Size, **_: object) -> int:
    """Two operations for each multiply-add of oneDNN's linear map, which PyTorch's counter does not know."""
    return 2 * rows.numel() * out_shape[-1]


def counted(call: Callable[[], object]) -> int:
    known = {torch.ops.mkldnn._linear_pointwise: prepacked}
    in_the_open = torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH)
    with FlopCounterMode(display=False, custom_mapping=known) as counter, in_the_open:
        call()
    return counter.get_total_flops()


class Counter(TorchDispatchMode):
    """Counts what runs, the way back too, of which PyTorch's own counter makes an error."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if func._overloadpacket in flop_registry:
            self.flops += flop_registry[func._overloadpacket](*args, **(kwargs or {}), out_val=made)
        return made


@pytest.mark.parametrize("length", [1, 9, 31])
def test_the_way_back_against_pytorchs_formulas(length: int) -> None:
    model, batch, target = tiny_model(), random_batch([length]), torch.tensor([1])
    config, layers = model.config, model.config.num_hidden_layers
    there = flops.unpruned(config, length)
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        with Counter() as counter:
            saliency.input_x_gradient(model, batch, target)
        assert counter.flops == there + flops.gradient(config, [length] * layers)
        with Counter() as counter:
            saliency.relevance(model, batch, target)
        assert counter.flops == there + flops.relevance(config, length)
        for layer in range(layers):
            with Counter() as counter:
                rollout.attention_x_gradient(model, batch, target, layer)
            assert counter.flops == there + flops.value_gradient(config, length, layer)
        with torch.no_grad():
            alive = model(**batch).alive
        kept = [int(layer.sum()) for layer in alive]
        with Counter() as counter:
            saliency.embedding_gradients(
                model, batch, target, lambda model, packed: forced.logits_with(model, packed, forced.frozen(alive))
            )
        assert counter.flops == flops.decided(config, length, kept) + flops.gradient(config, kept)


@pytest.mark.parametrize("length", [1, 9, 31])
def test_against_pytorchs_counter(length: int) -> None:
    """Eager attention, so that the counter sees every matrix product; it must agree exactly."""
    model = tiny_model(attn_implementation="eager")
    batch = random_batch([length])
    with torch.no_grad():
        assert counted(lambda: model(**batch, prune=False)) == flops.dense(model.config, length)


@pytest.mark.parametrize(
    ("lengths", "gradients"),
    [([1], False), ([9], False), ([31], False), ([12, 1, 31, 9, 9], False), ([1], True), ([9], True), ([31], True)],
)
def test_pruned_against_pytorchs_counter(lengths: list[int], gradients: bool) -> None:
    """What really ran, with oneDNN's maps and with the stock modules: no padding, one query in the last layer.

    With gradients the texts of a batch are padded for their attention, so that it is counted for one text.
    """
    model = tiny_model()
    batch = random_batch(lengths)
    rows = torch.stack([alive.sum(-1) for alive in model(**batch).alive]).T.tolist()
    assert max(lengths) == 1 or sum(row[-1] for row in rows) < sum(lengths)
    expected = sum(flops.pruned(model.config, n, row) for n, row in zip(lengths, rows, strict=True))
    # A text that is down to [CLS] attends to nothing else: its two matrix products of attention do not run.
    alone = 0 if gradients else sum(4 * model.config.hidden_size for row in rows for n in row if n == 1)
    with torch.set_grad_enabled(gradients):
        assert counted(lambda: model(**batch)) == expected - alone


def out_of_reach(config: Any, kept: list[int], last_whole: bool) -> int:
    """FLOPs of pairs that a layer with a sliding window computes and throws away; they are not counted."""
    total = 0
    for index, (n, reach) in enumerate(zip(kept, backbones.shape(config).reaches, strict=True)):
        queries = range(n) if last_whole or index < len(kept) - 1 else range(1)
        if reach is not None:
            total += sum(abs(query - key) > reach for query in queries for key in range(n))
    return 4 * config.hidden_size * total


@pytest.mark.parametrize("family", CONFIGS)
@pytest.mark.parametrize("length", [1, 4, 9, 31])
def test_every_family_against_pytorchs_counter(family: str, length: int) -> None:
    model = tiny(family)
    batch, config, sliding = batch_for(model, [length]), model.config, family == "modernbert"
    rows = [int(alive.sum()) for alive in model(**batch).alive]
    whole = [length] * config.num_hidden_layers
    assert (out_of_reach(config, whole, True) > 0) == (sliding and length > 4)
    with torch.no_grad():
        extra = out_of_reach(config, rows, False)
        assert counted(lambda: model(**batch)) == flops.pruned(config, length, rows) - alone(config, rows) + extra
        extra = out_of_reach(config, whole, False)
        expected = flops.unpruned(config, length) - alone(config, whole) + extra
        assert counted(lambda: packed_encoder.dense_logits(model, **batch)) == expected
        model.set_attn_implementation("eager")
        expected = flops.dense(config, length) + out_of_reach(config, whole, True)
        assert counted(lambda: model(**batch, prune=False)) == expected


def alone(config: Any, kept: list[int]) -> int:
    """FLOPs of the attention of texts that are down to [CLS], which does not run; in sliding windows it does."""
    reaches = backbones.shape(config).reaches
    return sum(4 * config.hidden_size for n, reach in zip(kept, reaches, strict=True) if n == 1 and reach is None)


def test_the_authors_constants_are_for_bert_and_roberta_in_the_shape_of_bert_base() -> None:
    authors = flops.dense(BertConfig(), 100)
    assert flops.dense(RobertaConfig(), 100) == authors
    sizes = {"embedding_size": 768, "hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12}
    assert 0.9 * authors < flops.dense(ElectraConfig(**sizes), 100) < authors


def test_bert_base_by_the_authors_formulas() -> None:
    config = BertConfig(num_labels=2)
    assert flops.dense(config, 100) == 37872 * 100**2 + 170216500 * 100 + 1181953 + 1537 * 2
    kept = [100 - 8 * layer for layer in range(12)]
    expected = 1183537 + 1537 + 6152 * 100 + sum(3156 * n**2 + 14233554 * n for n in kept)
    assert flops.pruned(config, 100, kept) == expected


def test_nothing_removed_saves_in_the_last_layer_and_costs_the_predictors() -> None:
    config, n = tiny_model().config, 30
    width, hidden, wide = config.predictor_width, config.hidden_size, config.intermediate_size
    predictors = 3 * n * 2 * (hidden * width + width)
    saved = (n - 1) * (4 * hidden**2 + 4 * hidden * wide + 4 * hidden * n)
    assert flops.pruned(config, n, [n] * 3) == flops.dense(config, n) + predictors - saved


def test_explanations_of_bert_base_with_and_without_removal_are_counted_alike() -> None:
    """The authors' constants, which count a whole last layer, are for speedups alone."""
    config, n = AdaplerBertConfig(), 128
    predictors = 12 * n * 2 * (768 * config.predictor_width + config.predictor_width)
    assert flops.removing(config, n, [n] * 12) == flops.unpruned(config, n) + predictors
    assert flops.pruned(config, n, [n] * 12) != flops.removing(config, n, [n] * 12)
