"""Contenders timed in one process, interleaved."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch


def timed(rounds: int, **contenders: Callable[[], Any]) -> dict[str, float]:
    """Median seconds of each contender, interleaved, after one round that warms up."""

    def finish() -> None:
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()

    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, run in contenders.items():
            finish()
            started = time.perf_counter()
            run()
            finish()
            if number:
                seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}
