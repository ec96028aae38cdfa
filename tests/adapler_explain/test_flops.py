"""FLOPs: the authors' formulas for BERT-base, and PyTorch's own counter for everything else."""

from __future__ import annotations

import pytest
import torch
from conftest import random_batch, tiny_model
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertConfig

from adapler_explain import flops


def counted(model: torch.nn.Module, batch: dict[str, torch.Tensor], **options: bool) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(**batch, **options)
    return counter.get_total_flops()


@pytest.mark.parametrize("length", [1, 9, 31])
def test_against_pytorchs_counter(length: int) -> None:
    """Eager attention, so that the counter sees every matrix product; it must agree exactly."""
    model = tiny_model(attn_implementation="eager")
    batch = random_batch([length])
    assert counted(model, batch, prune=False) == flops.dense(model.config, length)


@pytest.mark.parametrize("length", [1, 9, 31])
def test_pruned_against_pytorchs_counter(length: int) -> None:
    model = tiny_model()
    batch = random_batch([length])
    kept = [int(alive.sum()) for alive in model(**batch).alive]
    assert length == 1 or kept[-1] < length
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        got = counted(model, batch)
    assert got == flops.pruned(model.config, length, kept)


def test_bert_base_by_the_authors_formulas() -> None:
    config = BertConfig(num_labels=2)
    assert flops.dense(config, 100) == 37872 * 100**2 + 170216500 * 100 + 1181953 + 1537 * 2
    kept = [100 - 8 * layer for layer in range(12)]
    expected = 1183537 + 1537 + 6152 * 100 + sum(3156 * n**2 + 14233554 * n for n in kept)
    assert flops.pruned(config, 100, kept) == expected


def test_nothing_removed_costs_the_predictors_only() -> None:
    config = tiny_model().config
    ratio = flops.dense(config, 30) / flops.pruned(config, 30, [30] * 3)
    assert 0.6 < ratio < 1
