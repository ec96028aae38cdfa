"""The losses of AdapLeR's training.

Legend, after Modarressi et al. 2022:
    S   saliency of a text's pieces, from the fine-tuned model;  Ŝ  S on the pieces still alive, [CLS] times θ, sum 1
    c   contributions;  ã  the loss's own alive weights, [CLS] included;  λ, δ, η, n  as in removal.py
    γ   weight of the contribution loss against the task's;  φ  weight of the length loss against the task's
"""

from __future__ import annotations

import torch
from torch import Tensor

from adapler_explain import removal

FLOOR = 1e-7
TINY = 1e-30


def contribution_divergences(
    contributions: Tensor, saliency: Tensor, attention_mask: Tensor, eta: Tensor, theta: Tensor, sharpness: float
) -> Tensor:
    """Mean over the batch of KL(Ŝ ‖ c) at every layer, ``[layers]``.

    A text whose removable pieces are nearly all gone counts less: its divergence is multiplied by the largest alive
    weight among them. Both arguments of the logarithm are at least 1e-7.

    Args:
        contributions: ``[layers, batch, length]``, c.
        saliency: ``[batch, length]``, S; 0 on padding.
        attention_mask: ``[batch, length]``.
        eta: ``[layers]``.
        theta: ``[layers - 1]``, of layers 1, 2, …
        sharpness: λ.

    Source: Modarressi et al. 2022, section 3.1; the details are the authors' program's.
    """
    alive = attention_mask.to(contributions.dtype)
    # A [CLS] without saliency, when all else is gone, still has a distribution: itself.
    saliency = saliency.clamp(min=TINY)
    before = []
    for c, threshold in zip(contributions, eta, strict=True):
        before.append(alive)
        delta = removal.threshold(threshold, alive.sum(-1, keepdim=True))
        alive = alive * (alive * removal.soft_mask(c, delta, sharpness)).exp()
        alive = torch.cat([torch.ones_like(alive[:, :1]), alive[:, 1:]], dim=-1)
    # Of all layers at once: what a layer's target is depends on no other's.
    alive = torch.stack(before)
    target = saliency * alive
    target = target / target.sum(-1, keepdim=True)
    target = torch.cat([target[:1], removal.scale_cls(target[1:], theta[:, None, None])]).clamp(min=FLOOR)
    divergence = (target * (target.log() - contributions.clamp(min=FLOOR).log())).sum(-1)
    remaining = alive[..., 1:].detach().amax(-1) if alive.shape[-1] > 1 else torch.zeros_like(divergence)
    return (divergence * remaining).mean(-1)


def contribution_loss(divergences: Tensor) -> Tensor:
    """Σ_ℓ (L − ℓ) · divergence of layer ℓ: early layers weigh more. ``divergences`` is ``[layers]``."""
    layers = len(divergences)
    return (divergences * torch.arange(layers, 0, -1, device=divergences.device)).sum()


def length_loss(lengths: Tensor) -> Tensor:
    """Mean over the batch of the pieces processed by all layers together; ``lengths`` is ``[layers, batch]``."""
    return lengths.sum(0).mean()
