"""Removal of pieces: pure functions of tensors, soft (differentiable, for training) and hard (for inference).

Legend, after Modarressi et al. 2022:
    c   contribution of a piece, a distribution over the pieces of its text that are alive
    s   the same with [CLS] multiplied by its factor: what the removal decision reads
    η   threshold parameter of a layer;  δ = η / n  the threshold, n the number of pieces alive (with [CLS])
    λ   sharpness of soft removal;  β = 0.1  its slack;  m ≤ 0  what soft removal adds to the attention mask
    a   alive weight of a piece in [0, 1]; [CLS] is never counted among the removable ones, so a = 0 there
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from shutil import which
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

MASKED = -1e4
BETA = 0.1


# Distributions are computed in double precision and rounded once, so that a score that equals its threshold does so
# whatever the order of summation: packed, padded and single texts then fall alike.


def _precise(values: Tensor) -> Tensor:
    return values.float() if values.device.type == "mps" else values.double()


def _rounded(values: Tensor, like: Tensor) -> Tensor:
    """``values`` in the type of ``like``, or in float32 where that is a half precision one."""
    return values.to(torch.promote_types(like.dtype, torch.float32))


# ---------------------------------------------------------------- soft removal, on padded batches


def contributions(logits: Tensor, alive: Tensor) -> Tensor:
    """Contributions c ``[batch, length]`` of pieces with predictor ``logits`` and alive weights ``alive`` ([CLS]: 1).

    The softmax over the sequence, times the alive weights, renormalised to sum 1.
    """
    weighted = _precise(logits).masked_fill(alive == 0, -torch.inf).softmax(-1) * alive
    return _rounded(weighted / weighted.sum(-1, keepdim=True), logits)


def scale_cls(distribution: Tensor, factor: Tensor | float) -> Tensor:
    """``distribution`` ``[..., length]`` with its first entry ([CLS]) multiplied by ``factor``, renormalised."""
    precise = _precise(distribution)
    scaled = torch.cat([precise[..., :1] * factor, precise[..., 1:]], dim=-1)
    return _rounded(scaled / scaled.sum(-1, keepdim=True), distribution)


def soft_mask(scores: Tensor, delta: Tensor, sharpness: float) -> Tensor:
    """The mask m ≤ 0 ``[batch, length]`` of soft removal.

    Nearly 0 where a score is above the threshold, steeply negative below it; as ``sharpness`` grows this is hard
    removal.

    Args:
        scores: ``[batch, length]``, s (or c, in the loss).
        delta: ``[batch, 1]``, δ.
        sharpness: λ > 0.

    Source: Modarressi et al. 2022, section 3.2.
    """
    below = (sharpness / delta) * (scores - delta) - BETA / sharpness
    # A text that is down to [CLS] has threshold 1 when eta is 1: the clamp keeps 0 / 0 out.
    above = (scores - 1) * (BETA / sharpness) / (1 - delta).clamp(min=1e-6)
    return torch.minimum(below, above).clamp(min=MASKED, max=0.0)


# ---------------------------------------------------------------- hard removal, on packed batches


@dataclass(frozen=True)
class Packed:
    """The living pieces of a batch of texts, one text after the other, with no padding.

    Attributes:
        hidden: ``[total, hidden]``.
        text: ``[total]``, which text of the batch a piece belongs to; ascending.
        position: ``[total]``, its column in the padded batch; [CLS] is column 0.
        lengths: ``[batch]``, pieces of each text; at least 1, as [CLS] always lives.
        longest: a number that no text exceeds, known without asking the device.
        first: :attr:`bounds`, where they are known.
    """

    hidden: Tensor
    text: Tensor
    position: Tensor
    lengths: Tensor
    longest: int
    first: Tensor | None = None

    @property
    def bounds(self) -> Tensor:
        """Where each text begins, and where the last one ends: ``[batch + 1]``, int32, as GPU kernels want it."""
        return offsets(self.lengths) if self.first is None else self.first

    def places(self, length: int) -> Tensor:
        """``[total]``: where each piece stands among those of the batch padded to ``length``, row after row."""
        return self.position.add(self.text, alpha=length)

    @property
    def is_cls(self) -> Tensor:
        """``[total]``, whether a piece is its text's [CLS]."""
        return self.position == 0

    @property
    def cls_rows(self) -> Tensor:
        """``[batch]``, the row of each text's [CLS], its first."""
        return self.lengths.cumsum(0) - self.lengths


def offsets(lengths: Tensor) -> Tensor:
    """Where each text begins, and where the last one ends: ``[batch + 1]``, int32, on the device of ``lengths``."""
    return pad(lengths.cumsum(0, dtype=torch.int32), (1, 0))


def text_sums(values: Tensor, packed: Packed) -> Tensor:
    """Sums ``[batch]`` of ``values`` ``[total]`` over the pieces of each text."""
    return values.new_zeros(len(packed.lengths)).index_add(0, packed.text, values)


def to_pieces(values: Tensor, packed: Packed) -> Tensor:
    """What each piece's text has of ``values`` ``[batch]``, ``[total]``.

    On a GPU the gradient of ``values[packed.text]`` sorts; this one's adds up.
    """
    return values.index_select(0, packed.text)


def packed_contributions(logits: Tensor, packed: Packed, alive: Tensor | None = None) -> Tensor:
    """Contributions c ``[total]``: the softmax of predictor ``logits`` ``[total]`` over each text's living pieces.

    Soft removal gives alive weights ``[total]`` in (0, 1], [CLS]'s 1, that the softmax is multiplied by before it is
    renormalised.
    """
    precise = _precise(logits)
    highest = precise.new_full((len(packed.lengths),), -torch.inf)
    highest = highest.scatter_reduce(0, packed.text, precise.detach(), reduce="amax")
    weights = (precise - to_pieces(highest, packed)).exp()
    if alive is not None:
        weights = weights * alive
    return _rounded(weights / to_pieces(text_sums(weights, packed), packed), logits)


def packed_scale_cls(distribution: Tensor, factor: Tensor, packed: Packed) -> Tensor:
    """Removal scores s ``[total]``: ``distribution`` with each text's [CLS] times ``factor``, renormalised."""
    precise = _precise(distribution)
    scaled = torch.where(packed.is_cls, precise * factor, precise)
    return _rounded(scaled / to_pieces(text_sums(scaled, packed), packed), distribution)


def at_factor(eta: Tensor, factor: float) -> Tensor:
    """η of every layer, ``[layers]``, at an operating point: times ``factor``, but none passes 1 before all have.

    A threshold of η = 1 is an even share. Above it everything falls where contributions are even, as they are among
    the few pieces that are left in a late layer; so a layer that has come so far waits for the others. At factor 1
    it is ``eta`` itself; with a higher factor no threshold is lower.

    Args:
        eta: ``[layers]``, as trained.
        factor: at least 0.

    Source: this project's; Modarressi et al. 2022 keep η in [0, 1] while they train.
    """
    fixed, scaled = eta.detach(), eta * factor
    bound = torch.maximum(fixed, factor * fixed.min()).clamp(min=1.0)
    # Not torch.minimum: it would halve the gradient of an η that is 1.
    return torch.where(scaled > bound, bound, scaled)


def threshold(eta: Tensor, lengths: Tensor) -> Tensor:
    """The threshold δ = η / n of each text, ``[batch]``."""
    return eta / lengths


@dataclass(frozen=True)
class Decision:
    """Which living pieces stay, and why; each ``[total]``.

    Attributes:
        contributions: c.
        margins: s / δ.
        kept: whether the piece stays: [CLS], and what has at least the threshold.
        counts: ``[batch]``, how many stay of each text, where that is known.
    """

    contributions: Tensor
    margins: Tensor
    kept: Tensor
    counts: Tensor | None = None


def decide(logits: Tensor, factor: Tensor, eta: Tensor, packed: Packed) -> Decision:
    """The removal decision before a layer, from predictor ``logits`` ``[total]``, [CLS]'s ``factor`` and ``eta``.

    Source: Modarressi et al. 2022, section 3.1.
    """
    delta = threshold(eta, packed.lengths)
    if (kernels := _kernels(logits)) is not None:
        decision: Decision = kernels.decide(logits, factor, delta, packed)
        return decision
    contribution = packed_contributions(logits, packed)
    scores = packed_scale_cls(contribution, factor, packed)
    delta = to_pieces(delta, packed)
    return Decision(contribution, scores / delta, (scores >= delta) | packed.is_cls)


def keep(packed: Packed, kept: Tensor, counts: Tensor | None = None) -> Packed:
    """``packed`` with only the pieces where ``kept`` ``[total]`` is True. Order and texts are unchanged.

    ``counts`` ``[batch]`` says how many stay of each text, where that is known. How many stay in all is the one thing
    in a layer that the host must wait for: all that follows has that size.
    """
    if (kernels := _kernels(packed.hidden)) is not None:
        left: Packed = kernels.keep(packed, kept, _counted(kept, packed) if counts is None else counts)
        return left
    index = kept.nonzero().squeeze(-1)
    return replace(
        packed,
        hidden=packed.hidden.index_select(0, index),
        text=packed.text.index_select(0, index),
        position=packed.position.index_select(0, index),
        lengths=_counted(kept, packed),
        longest=min(packed.longest, len(index) - len(packed.lengths) + 1),
        first=None,
    )


def _counted(kept: Tensor, packed: Packed) -> Tensor:
    return text_sums(kept.to(packed.lengths.dtype), packed)


def _kernels(values: Tensor) -> Any:
    """The module of kernels for ``values``: on a GPU, without gradients, where Triton can compile; else None."""
    if not values.is_cuda or values.dtype == torch.float64 or torch.is_grad_enabled() or not _has_triton():
        return None
    from adapler_explain import gpu_removal

    return gpu_removal


@cache
def _has_triton() -> bool:
    # It compiles what launches its kernels with the machine's own compiler, which small images lack.
    compilers = (os.environ.get("CC"), which("gcc"), which("clang"))
    return find_spec("triton") is not None and any(compilers)


def unpack(values: Tensor, packed: Packed, length: int) -> Tensor:
    """``values`` ``[total]`` at their columns of the padded batch, ``[batch, length]``; 0 or False elsewhere."""
    padded = values.new_zeros((len(packed.lengths), length))
    return padded.index_put((packed.text, packed.position), values)
