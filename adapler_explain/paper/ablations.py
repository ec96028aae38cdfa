"""Training with one thing changed, each tuned on val: what it does at its own thresholds and at equal speed.

Where people marked words, also how far the predictors agree with them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

from adapler_explain.evaluate import EvalConfig
from adapler_explain.paper.plan import BASE, Task, Variant
from adapler_explain.paper.reuse import explained
from adapler_explain.paper.tasks import spread, trained, tuned
from adapler_explain.training import TrainConfig
from eraser_eval.grid import Grid, Shown
from eraser_eval.task_score import metric_title

SPEEDS = (2.0, 3.0, 4.0)
# Settings that the variants change.
CHANGED = ("teacher", "teacher_power", "gamma", "phi", "theta", "rescale", "jitter", "recovery_epochs")


def variant_figures(variant: Variant, task: Task, base: TrainConfig, run: Path, people: bool) -> dict[str, Any]:
    """What ``variant`` reaches on val, trained from the stages that it shares with the base's run.

    Args:
        variant: what is changed.
        task: what it is trained on.
        base: how the base is trained, and where.
        run: the variant's own run folder.
        people: whether people marked words in val.
    """
    config = base if variant.name == BASE else changed(base, variant, run)
    checkpoint = trained(config)
    found = tuned(checkpoint, task, config.data_root, config.device)
    settings = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    own = next(point for point in found["points"] if point["factor"] == 1)
    chosen = next((point for point in found["points"] if point["factor"] == found["chosen"]), None)
    return {
        "variant": variant.name,
        "title": variant.title,
        "seed": config.seed,
        "metric": found["metric"],
        "reference_score": found["reference_score"],
        "documents": found["documents"],
        "score": own["score"],
        "flops_speedup": own["flops_speedup"],
        "max_drop_speedup": chosen and chosen["flops_speedup"],
        "score_at_speed": {f"{speed:g}": best_at(found["points"], speed) for speed in SPEEDS},
        "agreement": agreement(checkpoint, task, config, run / "explained") if people else None,
        "train": {key: settings.get(key) for key in CHANGED},
    }


def agreement(checkpoint: Path, task: Task, config: TrainConfig, folder: Path) -> float:
    """Average precision of the predictors' word scores, mean over layers, against people's words on val.

    At the thresholds that training ended with; the chance level is in ``metrics.json`` of the run ``folder``.
    """
    figures = explained(
        EvalConfig(
            task.dataset,
            "val",
            config.data_root,
            str(checkpoint),
            methods=("contribution",),
            limit=task.tuned,
            output_dir=str(folder),
            device=config.device,
        )
    )
    return float(figures["methods"]["contribution"]["average_precision"]["value"])


def changed(base: TrainConfig, variant: Variant, run: Path) -> TrainConfig:
    """``base`` as ``variant`` has it, in the folder ``run``, from the stages that both have in common."""
    given: Any = dict(variant.train) | {"phi": base.phi * variant.times_phi}
    return replace(base, output_dir=str(run), stages_of=base.output_dir, **given)


def best_at(points: Sequence[Mapping[str, Any]], speed: float) -> float | None:
    """The best score of a frontier's points that take at least ``speed`` times fewer operations."""
    scores = [point["score"] for point in points if point["factor"] and point["flops_speedup"] >= speed]
    return max(scores, default=None)


def grid(rows: Sequence[Mapping[str, Any]], title: str) -> Grid:
    """The table of :func:`variant_figures`; the best of a column is bold.

    Several seeds of a variant are a mean with the lowest and the highest; a dash where one of them has no figure.
    """
    variants = {row["title"]: [other for other in rows if other["title"] == row["title"]] for row in rows}

    def column(read: Callable[[Mapping[str, Any]], float | None], form: str, unit: str = "") -> list[Shown]:
        found: list[list[float]] = []
        for runs in variants.values():
            values = [value for run in runs if (value := read(run)) is not None]
            found.append(values if len(values) == len(runs) else [])
        best = max((mean(values) for values in found if values), default=None)
        return [
            Shown(spread(values, form) + unit, "bold" if mean(values) == best else "") if values else Shown("–")
            for values in found
        ]

    def at(speed: float) -> Callable[[Mapping[str, Any]], float | None]:
        return lambda row: None if (score := row["score_at_speed"][f"{speed:g}"]) is None else 100 * score

    columns = [
        column(lambda row: 100 * row["score"], ".1f"),
        column(lambda row: row["flops_speedup"], ".2f", "×"),
        column(lambda row: row["max_drop_speedup"], ".2f", "×"),
        *(column(at(speed), ".1f") for speed in SPEEDS),
    ]
    people = any(row["agreement"] is not None for row in rows)
    if people:
        columns.append(column(lambda row: row["agreement"], ".3f"))
    metric = metric_title(rows[0]["metric"])
    head = ["variant", metric, "fewer FLOPs", "fewer FLOPs at 1 point lost"]
    references = [100 * row["reference_score"] for row in next(iter(variants.values()))]
    seeds = max(map(len, variants.values()))
    return Grid(
        [*head, *(f"{metric} at ≥ {speed:g}×" for speed in SPEEDS), *(["AP, people's words"] if people else [])],
        [[name, *cells] for name, *cells in zip(variants, *columns, strict=True)],
        f"Training with one thing changed; {title}, val, {rows[0]['documents']} documents. The fine-tuned model scores "
        f"{spread(references, '.1f')}. First at the thresholds that training ended with, then with all "
        "thresholds scaled by one factor; chosen and reported on val."
        + (" Last: average precision of the predictors' scores for the words that people marked." if people else "")
        + (f" {seeds} seeds: mean (lowest–highest)." if seeds > 1 else ""),
    )
