"""The figures of one variant on one batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from adapler_explain.bench import measure, subjects
from adapler_explain.bench.runtimes import Call
from adapler_explain.bench.subjects import Inputs
from adapler_explain.bench.variants import VARIANTS

# Rounds from which a percentile is more than the slowest round.
ROUNDS_OF = {95: 20, 99: 100}


@dataclass(frozen=True)
class Run:
    """A variant ready to be timed; one that removes pieces has the ``model`` it runs and perhaps a schedule."""

    variant: str
    call: Call
    model: Any = None
    keep: float | None = None


class Facts:
    """What the rows of one size share.

    Args:
        model: the AdapLeR model; its configuration is every variant's.
        inputs: the batch.
        baseline: median seconds of the stock model.
        peaks: type to the most FLOPs a second.
    """

    def __init__(self, model: Any, inputs: Inputs, baseline: float, peaks: dict[str, float]) -> None:
        self.model, self.inputs, self.baseline, self.peaks = model, inputs, baseline, peaks
        self.lengths = subjects.lengths_of(inputs)
        self.dense = subjects.dense_flops(model.config, inputs)
        self.stock_logits = model(**inputs, prune=False).logits.float()

    def row(self, run: Run, dtype: str, work: measure.Work, logits: Tensor, times: list[float]) -> dict[str, Any]:
        """The row of a variant that gave ``logits`` and took ``times``, in seconds, its products being of ``dtype``."""
        variant = VARIANTS[run.variant]
        done = self._done(run)
        exact = self.stock_logits if run.model is None else run.model(**self.inputs, prune=True).logits.float()
        low, median, high = np.percentile(times, [25, 50, 75]).tolist()
        speedup = self.baseline / median
        shortest, longest = min(self.lengths), max(self.lengths)
        same = variant.same_model
        # Which pieces a random schedule drops depends on the texts beside them.
        comparable = same and not (run.keep and run.variant == "adapler-one-at-a-time")
        change = float((logits - exact).abs().max()) if comparable else None
        return {
            "variant": run.variant,
            "title": variant.title,
            "keep": run.keep,
            "batch": len(self.lengths),
            "length": longest if shortest == longest else f"{shortest}-{longest}",
            "pieces": sum(self.lengths),
            "dtype": dtype,
            "rounds": len(times),
            "ms": 1000 * median,
            "ms_low": 1000 * low,
            "ms_high": 1000 * high,
            "p95": percentile(times, 95),
            "p99": percentile(times, 99),
            "texts_per_second": len(self.lengths) / median,
            "pieces_per_second": sum(self.lengths) / median,
            "speedup": speedup,
            "flops_speedup": self.dense / done if same else None,
            "efficiency": speedup * done / self.dense if run.model is not None else None,
            "share_of_peak": done / median / self.peaks[dtype] if same else None,
            "logit_change": change,
            **(measure.profiled(work, self.model.device) if variant.in_torch else measure.UNSEEN),
        }

    def _done(self, run: Run) -> int:
        """FLOPs that the variant does on the batch."""
        if run.model is not None:
            return subjects.pruned_flops(run.model, self.inputs)
        if VARIANTS[run.variant].cls_only:
            return subjects.unpruned_flops(self.model.config, self.inputs)
        return self.dense


def percentile(times: list[float], which: int) -> float | None:
    """The percentile of ``times``, in milliseconds; None of too few rounds for it to be one."""
    return 1000 * float(np.percentile(times, which)) if len(times) >= ROUNDS_OF[which] else None
