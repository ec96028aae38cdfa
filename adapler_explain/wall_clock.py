"""How much sooner a pruned model is done than the stock one, on the same texts, in turn and in one process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from adapler_explain.bench.measure import Work, interleaved
from adapler_explain.classifier import Classifier
from adapler_explain.windows import Window, chunks

PASS_SECONDS = 4.0
FEWEST, MOST = 8, 64


def speedups(
    stock: Classifier,
    pruned: Classifier,
    windows: Sequence[Window],
    batch: int,
    factors: Sequence[float] = (1.0,),
    rounds: int = 5,
    least: float = 4.0,
) -> dict[str, Any]:
    """Wall clock of ``pruned`` at each of ``factors`` of its thresholds beside that of ``stock``.

    Each round runs ``stock``, then ``pruned`` at every factor, over all ``windows``. Cutting and padding is not timed.

    Args:
        stock: runs without removal, on padded batches, as anyone would run it.
        pruned: with AdapLeR's part.
        windows: of both.
        batch: windows in a forward pass.
        factors: of the thresholds.
        rounds, least: see :func:`adapler_explain.bench.measure.interleaved`.

    Returns:
        ``batch``, ``windows``, ``rounds``, ``stock_ms`` and ``ms`` (for each factor), medians for one window, and
        ``speedups``, the ratios of those medians.
    """
    batches = [pruned.batch(group) for group in chunks(windows, batch)]

    def passes(model: Any, **options: Any) -> Work:
        return lambda: [model(**inputs, **options) for inputs in batches]

    works = [passes(stock.model, **stock.dense_options())]
    works += [passes(pruned.model, prune=True, operating_point=factor) for factor in factors]
    with torch.inference_mode():
        for work in works:
            work()
        times = interleaved(works, pruned.device, rounds, least)
    stock_ms, *ms = (1000 * np.median(times, axis=1) / len(windows)).tolist()
    return {
        "batch": batch,
        "windows": len(windows),
        "rounds": len(times[0]),
        "stock_ms": stock_ms,
        "ms": ms,
        "speedups": [stock_ms / taken for taken in ms],
    }


def part(stock: Classifier, pruned: Classifier, windows: Sequence[Window], batch: int) -> list[Window]:
    """As many of ``windows``, evenly spaced, as ``stock`` needs :data:`PASS_SECONDS` for; whole batches if there are.

    They are :data:`FEWEST` to :data:`MOST`, or one batch; the first seconds of work warm up the machine, too.
    """
    few = spread(windows, FEWEST)
    once = speedups(stock, pruned, few, min(batch, FEWEST), rounds=1, least=0.0)["stock_ms"] / 1000
    count = min(max(int(PASS_SECONDS / once), FEWEST), MOST, len(windows))
    return spread(windows, max(count // batch, 1) * batch)


def spread(windows: Sequence[Window], most: int) -> list[Window]:
    """At most ``most`` of ``windows``, evenly spaced.

    >>> spread([1, 2, 3, 4, 5], 2)
    [1, 3]
    """
    count = min(most, len(windows))
    return [windows[i * len(windows) // count] for i in range(count)]
