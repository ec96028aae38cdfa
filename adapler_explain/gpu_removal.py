"""Hard removal on a GPU: a kernel that decides and one that closes the ranks, where PyTorch takes dozens.

On a GPU the layers of a pruned encoder are over sooner than their kernels are launched, so that their number is what a
layer costs. What is computed is what ``removal.py`` computes, rounding included; a program of a kernel does a text.
Imported where it is used: Triton comes with PyTorch's builds for GPUs alone.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs
# ruff: noqa: N803

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from adapler_explain.removal import Decision, Packed

# Pieces, and texts, that a program reads at a time.
BLOCK = 512


def decide(logits: Tensor, factor: Tensor, delta: Tensor, packed: Packed) -> Decision:
    """What :func:`removal.decide` finds, in one kernel.

    Args:
        logits: ``[total]``, of the predictor; float32 or a half precision.
        factor: of [CLS]'s contribution, a scalar.
        delta: ``[batch]``, the threshold of each text.
        packed: the pieces.
    """
    made = logits.new_empty((2, len(logits)), dtype=torch.float32)
    kept = torch.empty_like(logits, dtype=torch.bool)
    counts = torch.empty_like(packed.lengths)
    with _on(logits):
        _decide[(len(counts),)](
            logits.contiguous(),
            packed.position.contiguous(),
            packed.bounds,
            factor,
            delta.float(),
            made[0],
            made[1],
            kept.view(torch.uint8),
            counts,
            BLOCK=BLOCK,
        )
    return Decision(made[0], made[1], kept, counts)


def keep(packed: Packed, kept: Tensor, counts: Tensor) -> Packed:
    """What :func:`removal.keep` leaves, in one kernel and one index select; ``counts`` ``[batch]`` says how many."""
    total, texts = len(kept), len(counts)
    rows = packed.position.new_empty((3, total))
    first = packed.lengths.new_empty(texts + 1, dtype=torch.int32)
    with _on(packed.hidden):
        _keep[(texts,)](
            kept.contiguous().view(torch.uint8),
            packed.position.contiguous(),
            packed.bounds,
            counts,
            rows,
            first,
            total,
            BLOCK=BLOCK,
        )
    left = int(first[-1])
    index, position, text = rows[:, :left]
    return replace(
        packed,
        hidden=packed.hidden.index_select(0, index),
        text=text,
        position=position,
        lengths=counts,
        longest=min(packed.longest, left - texts + 1),
        first=first,
    )


def _on(values: Tensor) -> AbstractContextManager[Any]:
    """Within, kernels are launched on the device of ``values``: Triton launches on the current one."""
    return torch.cuda.device(values.device) if values.is_cuda else nullcontext()


# Where a batch's rows begin in memory, and how many there are, would else be compiled for.
@triton.jit(do_not_specialize_on_alignment=["position", "margins"])
def _decide(logits, position, first, factor, delta, contributions, margins, kept, counts, BLOCK: tl.constexpr):
    text = tl.program_id(0)
    begin = tl.load(first + text)
    end = tl.load(first + text + 1)
    steps = tl.arange(0, BLOCK)
    highest = tl.full((BLOCK,), float("-inf"), tl.float64)
    for start in range(begin, end, BLOCK):
        place = start + steps
        found = tl.load(logits + place, mask=place < end, other=float("-inf")).to(tl.float64)
        highest = tl.maximum(highest, found)
    top = tl.max(highest, 0)
    sums = tl.zeros((BLOCK,), tl.float64)
    for start in range(begin, end, BLOCK):
        place = start + steps
        found = tl.load(logits + place, mask=place < end, other=float("-inf")).to(tl.float64)
        sums += tl.exp(found - top)
    whole = tl.sum(sums, 0)
    times = tl.load(factor).to(tl.float64)
    sums = tl.zeros((BLOCK,), tl.float64)
    for start in range(begin, end, BLOCK):
        place = start + steps
        there = place < end
        found = tl.load(logits + place, mask=there, other=float("-inf")).to(tl.float64)
        share = (tl.exp(found - top) / whole).to(tl.float32)
        tl.store(contributions + place, share, mask=there)
        is_cls = tl.load(position + place, mask=there, other=1) == 0
        precise = share.to(tl.float64)
        sums += tl.where(is_cls, precise * times, precise)
    scaled = tl.sum(sums, 0)
    least = tl.load(delta + text)
    staying = tl.zeros((BLOCK,), tl.int32)
    for start in range(begin, end, BLOCK):
        place = start + steps
        there = place < end
        found = tl.load(logits + place, mask=there, other=float("-inf")).to(tl.float64)
        precise = (tl.exp(found - top) / whole).to(tl.float32).to(tl.float64)
        is_cls = tl.load(position + place, mask=there, other=1) == 0
        score = (tl.where(is_cls, precise * times, precise) / scaled).to(tl.float32)
        stays = ((score >= least) | is_cls) & there
        tl.store(margins + place, tl.div_rn(score, least), mask=there)
        tl.store(kept + place, stays.to(tl.uint8), mask=there)
        staying += stays.to(tl.int32)
    tl.store(counts + text, tl.sum(staying, 0).to(tl.int64))


@triton.jit(do_not_specialize=["total"], do_not_specialize_on_alignment=["position", "rows"])
def _keep(kept, position, first, counts, rows, first_left, total, BLOCK: tl.constexpr):
    text = tl.program_id(0)
    steps = tl.arange(0, BLOCK)
    before = tl.zeros((BLOCK,), tl.int32)
    for start in range(0, text, BLOCK):
        other = start + steps
        before += tl.load(counts + other, mask=other < text, other=0).to(tl.int32)
    base = tl.sum(before, 0)
    tl.store(first_left + text, base)
    if text == tl.num_programs(0) - 1:
        tl.store(first_left + text + 1, base + tl.load(counts + text).to(tl.int32))
    begin = tl.load(first + text)
    end = tl.load(first + text + 1)
    for start in range(begin, end, BLOCK):
        place = start + steps
        stays = tl.load(kept + place, mask=place < end, other=0).to(tl.int32)
        to = base + tl.cumsum(stays, 0) - 1
        there = stays == 1
        tl.store(rows + to, place.to(tl.int64), mask=there)
        tl.store(rows + total + to, tl.load(position + place, mask=there, other=0), mask=there)
        tl.store(rows + 2 * total + to, (tl.zeros((BLOCK,), tl.int64) + text), mask=there)
        base += tl.sum(stays, 0)
