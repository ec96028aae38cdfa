"""Training's forward pass: pieces fade instead of vanishing, on packed batches, and what has faded is let go.

A piece that has faded to :data:`GONE` is nothing to any number that comes after it, in float32, and nothing to any
gradient; it leaves the batch, so that training too gets cheaper as more is removed. Legend as in ``removal.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from transformers.utils.generic import ModelOutput

from adapler_explain import backbones, packed_layer, removal
from adapler_explain.removal import Packed

# What soft removal has added to a piece's attention scores when its alive weight is 1e-13.
GONE = -30.0


@dataclass
class SoftOutput(ModelOutput):
    """What a forward pass with soft removal returns; everything is differentiable.

    Attributes:
        logits: ``[batch, classes]``.
        contributions: ``[layers, batch, length]``, the distributions c; 0 for pieces that were let go.
        lengths: ``[layers, batch]``, the real-valued number of pieces alive after each layer's removal, [CLS] included.
    """

    logits: Tensor | None = None
    contributions: Tensor | None = None
    lengths: Tensor | None = None


def soft_pass(model: Any, packed: Packed, sharpness: float, gone: float = GONE, factor: float = 1.0) -> SoftOutput:
    """The soft removal of all layers.

    Args:
        model: an AdapLeR classifier.
        packed: embedded pieces, see :func:`adapler_explain.packed_encoder.enter`.
        sharpness: λ, see :func:`adapler_explain.removal.soft_mask`.
        gone: pieces whose attention scores are lowered by this much are let go; -inf keeps all.
        factor: of the thresholds, see :func:`adapler_explain.removal.at_factor`.

    Source: Modarressi et al. 2022, section 3.2.
    """
    length, reduction = packed.longest, model.adapler
    bias = torch.zeros_like(packed.position, dtype=reduction.eta.dtype)
    alive = (~packed.is_cls).to(bias.dtype)
    layers = backbones.layers(model)
    eta = removal.at_factor(reduction.eta, factor)
    contributions, lengths = [], []
    for index, layer in enumerate(layers):
        logits = reduction.predictors[index](packed.hidden)
        contribution = removal.packed_contributions(logits, packed, alive.masked_fill(packed.is_cls, 1.0))
        scores = removal.packed_scale_cls(contribution, reduction.cls_multiplier(index), packed)
        count = removal.text_sums(alive, packed) + 1
        delta = removal.to_pieces(removal.threshold(eta[index], count), packed)
        faded = alive * removal.soft_mask(scores, delta, sharpness)
        bias = (bias + faded).clamp(min=removal.MASKED)
        alive = alive * faded.exp()
        contributions.append(removal.unpack(contribution, packed, length))
        lengths.append(removal.text_sums(alive, packed) + 1)
        stays = (bias.detach() > gone) | packed.is_cls
        packed = removal.keep(packed, stays)
        index_of = stays.nonzero().squeeze(-1)
        alive, bias = alive.index_select(0, index_of), bias.index_select(0, index_of)
        hidden = packed_layer.through_modules(layer, packed, last=index == len(layers) - 1, bias=bias)
        packed = replace(packed, hidden=hidden)
    return SoftOutput(
        logits=backbones.classify(model, packed.hidden),
        contributions=torch.stack(contributions),
        lengths=torch.stack(lengths),
    )
