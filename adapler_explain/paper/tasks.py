"""The task table: score and speed of the pruned model beside the fine-tuned one's, a row a task."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import mean
from typing import Any

from adapler_explain.environment import describe, machine
from adapler_explain.frontier import MARGIN
from adapler_explain.loading import model_checksum
from adapler_explain.paper.plan import Task
from adapler_explain.paper.reuse import current
from adapler_explain.task_row import TaskConfig, task_row
from adapler_explain.training import TrainConfig, train
from adapler_explain.tuning import GIVEN, TuneConfig, UnmetError, tune
from eraser_eval.files import write_json
from eraser_eval.grid import Grid
from eraser_eval.task_score import metric_title

# What a task's point may lose of the score, unless it says otherwise.
MAX_DROP = 0.01
# What says where things lay on the machine, and nothing of what they are.
PLACES = ("checkpoint", "reference_model", "data_root", "data_folder", "model", "output_dir", "stages_of", "dataset")


def point_of(max_drop: float = MAX_DROP) -> str:
    """The name of the operating point that loses at most ``max_drop`` of the score on val.

    >>> point_of(), point_of(0.02)
    ('max-drop-0.01', 'max-drop-0.02')
    """
    return f"max-drop-{max_drop:g}"


def name_of(dataset: str) -> str:
    """A data set's name, or that of the folder it is in.

    >>> name_of("sst2"), name_of("data/sample/movies")
    ('sst2', 'movies')
    """
    return Path(dataset).name


def trained(config: TrainConfig) -> Path:
    """The kept model of the run in ``config.output_dir``, whatever version trained it; trained where there is none."""
    kept = Path(config.output_dir) / "adapler"
    return kept if kept.is_dir() else train(config)


def tuned(checkpoint: Path, task: Task, data_root: str | None, device: str) -> dict[str, Any]:
    """The frontier of ``tune`` on val, whose ``chosen`` point, where there is one, is stored as :func:`point_of`.

    What is there of the same model, texts and aim is not made again.
    """
    folder, name = frontier_of(checkpoint.parent, task), point_of(task.max_drop)
    aim = {"name": name, "split": "val", "limit": task.tuned, "max_drop": task.max_drop, "margin": MARGIN}
    found = current(folder / "frontier.json", model_checksum=model_checksum(checkpoint, None), **aim)
    if found is not None:
        stored = found["chosen"] is None or has_point(checkpoint, name, found["chosen"])
        if stored and found["reference"] != GIVEN:
            return found
    # What was measured for another aim is not measured again.
    for points in sorted(checkpoint.parent.glob("tune*/.points.jsonl")):
        if not (folder / points.name).exists():
            folder.mkdir(exist_ok=True)
            shutil.copy2(points, folder)
    # Where no point is as wanted, the frontier is written all the same and says so.
    with suppress(UnmetError):
        tune(
            TuneConfig(
                str(checkpoint),
                task.dataset,
                data_root=data_root,
                max_drop=task.max_drop,
                name=name,
                output_dir=str(folder),
                limit=task.tuned,
                device=device,
                timing=False,
            )
        )
    made: dict[str, Any] = json.loads((folder / "frontier.json").read_text(encoding="utf-8"))
    return made


def frontier_of(run: Path, task: Task) -> Path:
    """The folder of the frontier of ``task`` in its training run."""
    return run / ("tune" + _suffix(task))


def _suffix(task: Task) -> str:
    """Of the files of a task with another aim than the usual, which has the run in common with it."""
    return "" if task.max_drop == MAX_DROP else f"-{task.max_drop:g}"


def has_point(checkpoint: Path, name: str, factor: float) -> bool:
    """Whether ``checkpoint`` has the point ``name`` stored at ``factor``."""
    points = json.loads((checkpoint / "config.json").read_text(encoding="utf-8")).get("operating_points") or {}
    return name in points and points[name]["factor"] == factor


def task_figures(
    task: Task, run: Path, config: TrainConfig, batch_sizes: tuple[int, ...] = (1, 32), time_on: str | None = None
) -> dict[str, Any]:
    """The figures of one task with one seed, at the operating point that was chosen on val.

    What is complete in ``run`` is not made again.

    Args:
        task: the task.
        run: the training run.
        config: how it is trained.
        batch_sizes: windows in a timed batch; empty: nothing is timed.
        time_on: torch device of the clock; None: the one of ``config``.
    """
    checkpoint = trained(config)
    frontier = tuned(checkpoint, task, config.data_root, config.device)
    asked = TaskConfig(
        str(checkpoint),
        task.dataset,
        task.split,
        config.data_root,
        operating_point=point_of(task.max_drop) if frontier["chosen"] else "",
        reference_model=str(run / "fine-tuned"),
        batch_sizes=batch_sizes,
        limit=task.measured,
        device=config.device,
        time_on=time_on,
    )
    written = run / f"measured-{task.split}{_suffix(task)}.json"
    measured = current(
        written,
        model_checksum=frontier["model_checksum"],
        operating_factor=frontier["chosen"] or 1.0,
        batch_sizes=list(batch_sizes),
        limit=task.measured,
    )
    # Older files do not say.
    clocks = (None, machine(describe(time_on or config.device)))
    if measured is None or (batch_sizes and measured.get("timed_on") not in clocks):
        measured = task_row(asked)
        write_json(written, measured)
    settings = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    val = json.loads((run / "adapler" / "val.json").read_text(encoding="utf-8"))
    settings = {key: value for key, value in settings.items() if key not in PLACES}
    found = {key: value for key, value in measured.items() if key not in PLACES}
    named = {"dataset": name_of(task.dataset), "max_drop": task.max_drop}
    return named | found | {"train": settings, "val": val}


def grid(rows: Sequence[Mapping[str, Any]]) -> Grid:
    """The table of :func:`task_figures`, a line a task; several seeds are a mean with the lowest and the highest."""
    sizes = [clock["batch"] for clock in rows[0]["wall_clock"]] if rows else []
    head = ["task", "metric", "fine-tuned", "AdapLeR", "fewer FLOPs", *(f"faster, batch {size}" for size in sizes)]
    drops = [row.get("max_drop", MAX_DROP) for row in rows]
    usual = max(drops, key=drops.count, default=MAX_DROP)
    lines = []
    for dataset, drop in dict.fromkeys((row["dataset"], row.get("max_drop", MAX_DROP)) for row in rows):
        runs = [row for row in rows if (row["dataset"], row.get("max_drop", MAX_DROP)) == (dataset, drop)]
        first = runs[0]
        aim = "" if drop == usual else f", {lost(drop)}"
        part = first["documents"] < first["documents_in_split"]
        size = f"{first['documents']} of {first['documents_in_split']}" if part else f"{first['documents']}"
        speeds = [[clock["speedup"] for clock in run["wall_clock"]] for run in runs]
        kept = [mean(layer) for layer in zip(*(run["kept_per_layer"] for run in runs), strict=True)]
        lines.append(
            [
                f"{first['title']}, {first['split']} ({size}){aim}",
                metric_title(first["metric"]),
                spread([100 * run["fine_tuned"]["score"] for run in runs], ".1f"),
                spread([100 * run["pruned"]["score"] for run in runs], ".1f")
                + ("" if all(run["operating_point"] for run in runs) else " †"),
                spread([run["flops_speedup"] for run in runs], ".2f") + "×",
                *(spread([speed[i] for speed in speeds], ".2f") + "×" for i in range(len(sizes))),
                " ".join(f"{share:.2f}" for share in kept),
            ]
        )
    otherwise = "" if set(drops) <= {usual} else " (or as much as said)"
    meaning = (
        f"Scores times 100, of the fine-tuned and of the pruned model at the thresholds that lose at most {lost(usual)}"
        f"{otherwise} on val; speedups over the fine-tuned stock model. "
        "Several seeds: mean (lowest–highest)."
    )
    if not all(row["operating_point"] for row in rows):
        meaning += " †: no thresholds lose so little; as training left them."
    return Grid([*head, "pieces kept, by layer"], lines, meaning)


def lost(drop: float) -> str:
    """What is lost of a score, in words.

    >>> lost(0.005), lost(0.01), lost(0.02)
    ('half a point', 'one point', '2 points')
    """
    return {0.005: "half a point", 0.01: "one point"}.get(drop, f"{100 * drop:g} points")


def spread(values: Sequence[float], form: str) -> str:
    """A value, or the mean of several with the lowest and the highest.

    >>> spread([1.0, 2.0, 3.0], ".1f"), spread([2.0], ".1f")
    ('2.0 (1.0–3.0)', '2.0')
    """
    around = f" ({min(values):{form}}–{max(values):{form}})" if len(values) > 1 else ""
    return f"{mean(values):{form}}{around}"
