"""Explanations by attention weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from adapler_explain.explainers.request import PieceScores, Request
from adapler_explain.windows import chunks


def last_layer(request: Request) -> list[PieceScores]:
    """Attention of [CLS] to each piece in the last layer, mean over the heads; sums to 1 in a window."""
    return _explain(request, lambda attentions: attentions[-1].mean(1)[:, 0])


def rollout(request: Request) -> list[PieceScores]:
    """Attention rollout from [CLS]: head means plus identity, rows normalised, multiplied through the layers.

    Source: Abnar and Zuidema, "Quantifying Attention Flow in Transformers", ACL 2020, section 3.
    """
    return _explain(request, roll)


def roll(attentions: tuple[Tensor, ...]) -> Tensor:
    """The [CLS] row ``[batch, length]`` of the rollout of ``[batch, heads, length, length]``, first layer first."""
    row: Tensor | None = None
    for attention in reversed(attentions):
        mixed = attention.mean(1) + torch.eye(attention.shape[-1], device=attention.device)
        mixed = mixed / mixed.sum(-1, keepdim=True)
        row = mixed[:, :1] if row is None else row @ mixed
    assert row is not None
    return row[:, 0]


def _explain(request: Request, read: Any) -> list[PieceScores]:
    classifier = request.classifier
    scores: list[PieceScores] = []
    with eager_attention(classifier.model), torch.inference_mode():
        for windows in chunks(request.windows, request.batch_size):
            output = classifier.forward(windows, output_attentions=True, **classifier.dense_options())
            values = read(output.attentions).double().cpu().numpy()
            scores += [row[: len(window)] for row, window in zip(values, windows, strict=True)]
    return scores


@contextmanager
def eager_attention(model: Any) -> Iterator[None]:
    """Within the block, the model computes its attention weights in the open, so that they can be returned."""
    usual = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(usual)
