"""How long, how much memory, where the time goes, and the most that the machine can do."""

from __future__ import annotations

import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.autograd.profiler import profile

from adapler_explain import linear

Work = Callable[[], object]
# Beginnings of the names of PyTorch's operations, by what they do; the first that fits.
KINDS = {
    "matrix products": (
        "mkldnn::_linear", "onednn::qlinear", "quantized::linear", "aten::addmm", "aten::mm", "aten::linear",
        "mkl::_mkl_linear", "aten::_addmm",
    ),
    "attention": (
        "aten::bmm", "aten::baddbmm", "aten::_softmax", "aten::_scaled_dot", "aten::_flash", "aten::_efficient",
        "torch_attn::", "aten::_cudnn_attention",
    ),
    "norms and activations": ("aten::native_layer_norm", "aten::gelu"),
}  # fmt: skip
OTHER, HOST = "everything else", "python and waiting"
UNSEEN = {"where": None, "peak_mb": None}
MOST_ROUNDS = 120
PEAK_SECONDS = 1.0


def seconds(call: Work, device: torch.device) -> float:
    """Wall clock of one call, in seconds."""
    started = time.perf_counter()
    call()
    if device.type == "cuda":
        # Kernels run on after the call returns.
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def interleaved(works: Sequence[Work], device: torch.device, rounds: int, least: float) -> list[list[float]]:
    """Wall clocks in seconds, ``[works][rounds]``: all take turns, so that what slows the machine slows all.

    Args:
        works: warmed up.
        device: that they run on.
        rounds: at least.
        least: rounds go on until the first of ``works`` ran so many seconds, or :data:`MOST_ROUNDS` are done.
    """
    times: list[list[float]] = [[] for _ in works]
    while len(times[0]) < rounds or (sum(times[0]) < least and len(times[0]) < MOST_ROUNDS):
        for taken, work in zip(times, works, strict=True):
            taken.append(seconds(work, device))
    return times


def peak_rate(dtype: str, device: torch.device) -> float:
    """The most floating-point (or int8) operations a second seen in matrix products of an encoder's sizes.

    Args:
        dtype: of torch's floating-point types, or ``int8``.
        device: the int8 rate is known for CPU alone.

    Sizes that would take longer than :data:`PEAK_SECONDS` at the rate seen so far are left out: a processor without
    instructions for the type is a thousand times slower.
    """
    best = 0.0
    for rows, inner, outer in ((512, 768, 3072), (512, 3072, 768), (1024, 1024, 1024), (4096, 1024, 4096)):
        operations = 2 * rows * inner * outer
        if best and operations / best > PEAK_SECONDS:
            continue
        if dtype == "int8":
            ready = linear.Int8([nn.Linear(inner, outer)])
            unsigned = torch.full((rows, inner), 130, dtype=torch.uint8)
            work: Work = lambda: ready.product(unsigned)  # noqa: B023, E731
        else:
            kind: Any = {"dtype": getattr(torch, dtype), "device": device}
            left, right = torch.randn(rows, inner, **kind), torch.randn(inner, outer, **kind)
            work = lambda: left @ right  # noqa: B023, E731
        taken = [seconds(work, device)]
        while len(taken) < 8 and sum(taken) < PEAK_SECONDS:
            taken.append(seconds(work, device))
        best = max(best, operations / min(taken))
    return best


def profiled(call: Work, device: torch.device) -> dict[str, Any]:
    """Where the time of one call goes and the most memory it holds, as PyTorch's profiler sees them.

    Returns:
        ``where``: kind of work to its share of the wall clock, summing to 1 (on CPU; None on other devices);
        ``peak_mb``: megabytes of tensors that the call held at once, beyond its inputs and weights.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        seconds(call, device)
        return {"where": None, "peak_mb": (torch.cuda.max_memory_allocated(device) - before) / 1e6}
    with _silent_stderr(), profile(use_kineto=False, profile_memory=True) as profiler:
        wall = seconds(call, device)
    held = peak = 0
    for event in sorted(profiler.function_events, key=lambda event: event.time_range.end):
        held += event.self_cpu_memory_usage
        peak = max(peak, held)
    spent: dict[str, float] = defaultdict(float)
    for row in profiler.key_averages():
        kind = next((kind for kind, names in KINDS.items() if row.key.startswith(names)), OTHER)
        spent[kind] += row.self_cpu_time_total / 1e6 / wall
    shares = {kind: round(spent[kind], 4) for kind in (*KINDS, OTHER)}
    return {"where": shares | {HOST: round(max(0.0, 1 - sum(shares.values())), 4)}, "peak_mb": peak / 1e6}


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Within the block, nothing reaches standard error: PyTorch's profiler announces itself there from C++."""
    sys.stderr.flush()
    usual = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(usual, 2)
        os.close(usual)
