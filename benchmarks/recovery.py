"""What recovery wins: ``python benchmarks/recovery.py RUN… --json docs/results/recovery.json``, runs of ``train``.

The model that soft removal ended with, and the one that recovery left, at the same thresholds: those that recovery
trained at. Epochs were compared on val; here it is the split that the task is reported on, on which nothing was chosen,
but for SST-2's, whose test labels are not public. The difference is that of the share of documents that are right, mean
over the thresholds, with its 95 % percentile bootstrap interval over documents.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from adapler_explain.classifier import Classifier, all_windows
from adapler_explain.measure import measure
from eraser_eval.bootstrap import Bootstrap, Estimate
from eraser_eval.datasets import limited, load
from eraser_eval.files import write_json, write_text

UNTESTED = ("sst2",)


def right(classifier: Classifier, split: Any, eta: torch.Tensor, factors: Sequence[float]) -> tuple[NDArray[Any], Any]:
    """Whether each document is right at each factor of ``eta``, ``[documents, factors]``, and the speedups."""
    with torch.no_grad():
        classifier.model.adapler.eta.copy_(eta)
    windows = all_windows(classifier, split)
    found = [measure(classifier, split, windows, True, factor) for factor in factors]
    return np.stack([one.predicted == one.gold for one in found], 1), [one.flops_speedup for one in found]


def figures(run: Path, data_root: Path, limit: int) -> dict[str, Any]:
    """A run's row."""
    asked = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    kept = json.loads((run / "adapler" / "val.json").read_text(encoding="utf-8"))
    factors = [factor for factor, _, _ in kept["ladder"]]
    split = limited(load(asked["dataset"], "val" if asked["dataset"] in UNTESTED else "test", data_root), limit)
    before, after = (Classifier.load(run / name) for name in ("soft", "adapler"))
    eta = before.model.adapler.eta.detach().clone()
    (was, speeds), (now, _) = (right(classifier, split, eta, factors) for classifier in (before, after))
    gain = (now.mean(1) - was.mean(1))[:, None]
    values = Bootstrap(len(gain)).means(gain)[:, 0]
    estimate: Estimate = Bootstrap(len(gain)).estimate(values, np.empty(0))
    return {
        "dataset": split.info.title,
        "split": split.name,
        "documents": len(gain),
        "seed": asked["seed"],
        "teacher_power": asked["teacher_power"],
        "version": asked["adapler_explain"],
        "epoch": kept["epoch"],
        "factors": factors,
        "speedups": speeds,
        "before": was.mean(0).tolist(),
        "after": now.mean(0).tolist(),
        "difference": estimate.as_dict(),
    }


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a table."""
    lines = [
        "| task | seed | epoch kept | fewer FLOPs | before | after | difference |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        before, after = (100 * float(np.mean(row[name])) for name in ("before", "after"))
        value, low, high = (100 * row["difference"][name] for name in ("value", "low", "high"))
        kept = "none" if row["epoch"] < 0 else row["epoch"] + 1
        lines.append(
            f"| {row['dataset']}, {row['split']} ({row['documents']}) | {row['seed']} | {kept} "
            f"| {min(row['speedups']):.2f}–{max(row['speedups']):.2f}× | {before:.1f} | {after:.1f} "
            f"| {value:+.1f} [{low:+.1f}, {high:+.1f}] |"
        )
    return "\n".join([*lines, ""])


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=0, help="documents of each, evenly spaced over the split; 0: all")
    parser.add_argument("--json", type=Path, help="write the figures there, and the table beside it")
    asked = parser.parse_args(arguments)
    recovered = [run for run in asked.runs if (run / "soft" / "val.json").is_file()]
    for run in asked.runs:
        if run not in recovered:
            print(f"{run}: trained without recovery, left out", file=sys.stderr)
    rows = [figures(run, asked.data_root, asked.limit) for run in recovered]
    print(markdown(rows), end="")
    if asked.json:
        write_json(asked.json, {"rows": rows})
        write_text(asked.json.with_suffix(".md"), markdown(rows))


if __name__ == "__main__":
    main()
