"""The task table: train, tune and measure AdapLeR on every task, by the commands that a user would give.

Run by ``make tasks``. A run that is complete is not run again; one that was cut off goes on. Writes
``docs/results/tasks.json`` (every figure of every run), ``tasks.md`` (the table in README.md) and
``tasks/<task>-frontier.csv``, ``.png`` and ``.pdf`` (score over speedup on val).
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

from eraser_eval.files import write_json, write_text

POINT = "max-drop-0.01"
# What says where things lay on the machine, and nothing of what they are.
PLACES = ("checkpoint", "reference_model", "data_root", "data_folder", "model", "output_dir")


@dataclass(frozen=True)
class Row:
    """One task of the table.

    Attributes:
        dataset: a known data set.
        train: options of ``train`` beside the recipe.
        split: what is reported.
        measured, tuned: most documents of that split, and of val for tuning; 0: all.
        seeds: a run for each.
    """

    dataset: str
    train: Mapping[str, object] = field(default_factory=dict)
    split: str = "test"
    measured: int = 0
    tuned: int = 0
    seeds: tuple[int, ...] = (0,)


# Small runs, for two cores: parts of train, fewer epochs, and of a long text one window of 256 pieces.
SHORT = {"fine-tune-epochs": 2, "epochs": 2}
LONG = {"window-pieces": 256, "windows-per-document": 1, "batch-size": 16}
ROWS = (
    Row("movies", LONG | {"fine-tune-epochs": 5, "saliency-epochs": 2, "epochs": 4}),
    Row("sst2", {"limit": 20000, "fine-tune-epochs": 2, "epochs": 3}, split="val"),
    Row("mrpc"),
    Row("hatexplain", {"limit": 3000} | SHORT, tuned=600),
    Row("ag_news", {"limit": 2500, "val-limit": 500} | SHORT, measured=2000, tuned=500),
    Row("imdb", LONG | {"limit": 1200, "val-limit": 300, "fine-tune-epochs": 2, "epochs": 3}, measured=500, tuned=300),
)


def command(*words: object) -> None:
    """Run a command of adapler-explain; its error ends this program."""
    subprocess.run([sys.executable, "-m", "adapler_explain.cli", *map(str, words)], check=True)


def run_row(row: Row, seed: int, data: str, model: str, runs: Path) -> dict[str, Any]:
    """The figures of one task with one seed, at the operating point that was chosen on val."""
    run = runs / f"{row.dataset}-{seed}"
    source = ("--dataset", row.dataset, "--data-root", data)
    figures = run / f"measured-{row.split}.json"
    if not figures.is_file():
        options = [word for name, value in row.train.items() for word in (f"--{name}", value)]
        command("train", *source, "--model", model, "--output-dir", run, "--seed", seed, *options)
        kept = run / "adapler"
        point = tuned_point(kept, source, row.tuned)
        wanted = ("--operating-point", point) if point else ()
        command("measure", kept, *source, "--split", row.split, "--limit", row.measured, *wanted, "--json", figures)
    settings = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    measured: dict[str, Any] = json.loads(figures.read_text(encoding="utf-8"))
    val = json.loads((run / "adapler" / "val.json").read_text(encoding="utf-8"))
    train = {key: value for key, value in settings.items() if key not in PLACES}
    return {key: value for key, value in measured.items() if key not in PLACES} | {"train": train, "val": val}


def tuned_point(checkpoint: Path, source: Sequence[str], limit: int) -> str:
    """The name of the stored point that loses at most one point on val; empty where none does."""
    words = ["tune", checkpoint, *source, "--max-drop", 0.01, "--name", POINT, "--limit", limit]
    ended = subprocess.run([sys.executable, "-m", "adapler_explain.cli", *map(str, words)], check=False)
    if ended.returncode not in (0, 2):
        raise SystemExit(ended.returncode)
    return POINT if ended.returncode == 0 else ""


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table, a line a task; several seeds are a mean with the lowest and the highest."""
    head = [
        "task",
        "metric",
        "fine-tuned",
        "AdapLeR",
        "fewer FLOPs",
        "faster, batch 1",
        "batch 32",
        "pieces kept, by layer",
    ]
    lines = [" | ".join(head), " | ".join(["---", "---", *["---:"] * 5, "---"])]
    for dataset in dict.fromkeys(row["dataset"] for row in rows):
        runs = [row for row in rows if row["dataset"] == dataset]
        first = runs[0]
        part = first["documents"] < first["documents_in_split"]
        size = f"{first['documents']} of {first['documents_in_split']}" if part else f"{first['documents']}"
        speeds = [[clock["speedup"] for clock in run["wall_clock"]] for run in runs]
        kept = [mean(layer) for layer in zip(*(run["kept_per_layer"] for run in runs), strict=True)]
        cells = [
            f"{first['title']}, {first['split']} ({size})",
            {"f1": "F1"}.get(first["metric"], first["metric"]),
            spread([100 * run["fine_tuned"]["score"] for run in runs], ".1f"),
            spread([100 * run["pruned"]["score"] for run in runs], ".1f"),
            spread([run["flops_speedup"] for run in runs], ".2f") + "×",
            *(spread([speed[i] for speed in speeds], ".2f") + "×" for i in range(len(speeds[0]))),
            " ".join(f"{share:.2f}" for share in kept),
        ]
        lines.append(" | ".join(cells))
    return "".join(f"| {line} |\n" for line in lines)


def spread(values: Sequence[float], form: str) -> str:
    """A value, or the mean of several with the lowest and the highest.

    >>> spread([1.0, 2.0, 3.0], ".1f"), spread([2.0], ".1f")
    ('2.0 (1.0–3.0)', '2.0')
    """
    around = f" ({min(values):{form}}–{max(values):{form}})" if len(values) > 1 else ""
    return f"{mean(values):{form}}{around}"


def main() -> None:
    """Run all tasks, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", help="only these")
    parser.add_argument("--data-root", required=True)
    parser.add_argument("--model", required=True, help="the pretrained encoder")
    parser.add_argument("--runs", type=Path, default=Path("runs/tasks"))
    parser.add_argument("--output-dir", type=Path, default=Path("docs/results"))
    parser.add_argument("--collect", action="store_true", help="run nothing; make the table of what is complete")
    asked = parser.parse_args()
    rows = []
    for row in ROWS:
        for seed in row.seeds:
            complete = (asked.runs / f"{row.dataset}-{seed}" / f"measured-{row.split}.json").is_file()
            if complete or not (asked.collect or (asked.tasks and row.dataset not in asked.tasks)):
                rows.append(run_row(row, seed, asked.data_root, asked.model, asked.runs))
    write_json(asked.output_dir / "tasks.json", {"rows": rows})
    write_text(asked.output_dir / "tasks.md", markdown(rows))
    for task in ROWS:
        for ending in ("csv", "png", "pdf"):
            frontier = asked.runs / f"{task.dataset}-{task.seeds[0]}" / "tune" / f"frontier.{ending}"
            target = asked.output_dir / "tasks" / f"{task.dataset}-frontier.{ending}"
            if frontier.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(frontier, target)
    print(markdown(rows), end="")


if __name__ == "__main__":
    main()
