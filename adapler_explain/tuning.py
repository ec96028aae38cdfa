"""The budget: which factor of the thresholds gives the wanted score or speed, without training.

    <output>/frontier.json, .csv, .png, .pdf    what was measured at every factor
    <output>/.points.jsonl                      the same as it comes: no factor of a model is measured twice

The wanted point goes into the checkpoint's ``config.json``, under its name in ``operating_points``.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from adapler_explain import __version__
from adapler_explain.bench.subjects import stock_of
from adapler_explain.classifier import Classifier
from adapler_explain.environment import describe
from adapler_explain.frontier import MARGIN, Frontier, Point
from adapler_explain.measure import fine_tuned_beside, measure, opened
from adapler_explain.tuning_results import write_frontier
from adapler_explain.wall_clock import part, speedups
from adapler_explain.windows import Window
from eraser_eval.datasets import Split
from eraser_eval.errors import UsageError
from eraser_eval.files import exclusive, write_text

MAX_DROP = 0.01
# What a reference score is of, where it was given.
GIVEN = "--reference-score"
TIMED_BATCH = 32
TIMED_SECONDS = 1.0


class UnmetError(UsageError):
    """No point is as wanted."""


@dataclass(frozen=True)
class TuneConfig:
    """What is tuned and to what.

    Attributes:
        checkpoint: folder of an AdapLeR model, which is given the point.
        dataset, split, data_root, limit: the texts, see :class:`adapler_explain.evaluate.EvalConfig`.
        max_drop: the fastest point is wanted that loses at most so much of the reference score; None, without
            ``speedup``: :data:`MAX_DROP`.
        margin: nor must thresholds up to this share lower and higher, on the mean: the fastest of many points owes its
            score to luck in part, and where scores fall steeply, the edge of val is not that of other texts.
        speedup: the best-scoring point is wanted that takes at least so many times fewer FLOPs.
        reference_score: None: the fine-tuned model's on the same texts, as training left it in the checkpoint or, for
            other texts than training's, of ``fine-tuned`` in the training run; where there is neither, the model's own
            with nothing removed.
        name: of the point; None: ``max-drop-<number>`` or ``speedup-<number>``.
        output_dir: of the frontier; None: ``tune`` in the training run, else ``runs/tune-<name>``.
        device: torch device.
        timing: also measure the wall clock.
    """

    checkpoint: str
    dataset: str
    split: str = "val"
    data_root: str | None = None
    max_drop: float | None = None
    margin: float = MARGIN
    speedup: float | None = None
    reference_score: float | None = None
    name: str | None = None
    output_dir: str | None = None
    limit: int = 0
    device: str = "cpu"
    timing: bool = True


def tune(config: TuneConfig) -> tuple[Path, dict[str, Any]]:
    """The folder of the frontier and the content of its ``frontier.json``, after the wanted point is stored.

    Raises:
        UsageError: an option cannot be used, or no point is as wanted: then nothing is stored, and what was stored
            under the name is gone.
        MissingError: the checkpoint or the data is not there.
        DataError: the data is broken.
    """
    name = check(config)
    classifier, split, windows = opened(
        config.checkpoint, config.dataset, config.split, config.data_root, config.limit, config.device
    )
    folder = Path(config.output_dir or default_folder(config, name))
    with exclusive(folder):
        known = {"model": classifier.checksum, "data": split.checksum, "documents": len(split.examples)}
        known |= {"adapler_explain": __version__, "device": config.device}
        frontier = Frontier(
            remembered(
                lambda factor: Point.of(measure(classifier, split, windows, True, factor)),
                folder / ".points.jsonl",
                known,
            )
        )
        frontier.sweep(sum(map(len, windows)))
        reference, origin = reference_of(config, classifier, split, windows, frontier.at(0.0))
        if config.speedup is not None:
            chosen = frontier.best(config.speedup)
        else:
            chosen = frontier.fastest(reference - drop_of(config), config.margin)
        texts = [window for document in windows for window in document]
        timing = timed(classifier, texts, frontier.factors) if config.timing else None
        rows = rows_of(frontier, timing)
        figures = {"command": "tune"} | asdict(config) | facts_of(classifier, split, timing)
        figures |= {"name": name, "reference_score": reference, "reference": origin, "chosen": chosen, "points": rows}
        store_point(Path(config.checkpoint), name, None if chosen is None else point_of(figures))
        write_frontier(folder, figures)
        if chosen is None:
            raise UnmetError(unmet(config, frontier, reference - drop_of(config), folder))
    return folder, figures


def remembered(
    measure_at: Callable[[float], Point], path: Path, known: Mapping[str, object]
) -> Callable[[float], Point]:
    """``measure_at``, but what ``path`` already says of a factor is not measured again; it is told of every new one.

    Args:
        measure_at: measures a factor.
        path: a line of JSON a point, after one with ``known``; of anything else than that it is emptied.
        known: what the points are of.
    """
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    points: dict[float, Point] = {}
    try:
        if json.loads(lines[0]) == known:
            for line in lines[1:]:
                row = json.loads(line)
                factor = row.pop("factor")
                points[factor] = Point(**row | {"kept_pieces": tuple(row["kept_pieces"])})
    except (IndexError, ValueError, KeyError, TypeError, AttributeError):
        # A line that a kill cut off: it and what follows it are measured again.
        pass
    rows = [known, *({"factor": factor} | asdict(point) for factor, point in points.items())]
    write_text(path, "".join(json.dumps(row) + "\n" for row in rows))

    def at(factor: float) -> Point:
        if factor not in points:
            points[factor] = measure_at(factor)
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"factor": factor} | asdict(points[factor])) + "\n")
        return points[factor]

    return at


def check(config: TuneConfig) -> str:
    """The name of the point; UsageError for an option that cannot be used."""
    if config.max_drop is not None and config.speedup is not None:
        raise UsageError("--max-drop, --speedup: give one of them")
    if not 0 <= drop_of(config) <= 1:
        raise UsageError(f"--max-drop {config.max_drop:g}: give a number from 0 to 1, e.g. 0.01")
    if not 0 <= config.margin <= 1:
        raise UsageError(f"--margin {config.margin:g}: give a share from 0 to 1, e.g. 0.1")
    if config.speedup is not None and not 1 <= config.speedup < math.inf:
        raise UsageError(f"--speedup {config.speedup:g}: give a number of at least 1, e.g. 4")
    if config.reference_score is not None and not 0 <= config.reference_score <= 1:
        raise UsageError(f"--reference-score {config.reference_score:g}: give a number from 0 to 1")
    wanted = f"max-drop-{drop_of(config):g}" if config.speedup is None else f"speedup-{config.speedup:g}"
    name = wanted if config.name is None else config.name
    if not re.fullmatch(r"[\w.-]+", name) or _is_number(name):
        raise UsageError(f"--name {name}: give letters, digits and . - _, and no number")
    if Path(config.checkpoint).is_dir() and not os.access(config.checkpoint, os.W_OK):
        raise UsageError(
            f"{config.checkpoint}: cannot be written; copy the checkpoint to where its point can be stored"
        )
    return name


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def drop_of(config: TuneConfig) -> float:
    """How much of the reference score may be lost."""
    return MAX_DROP if config.max_drop is None else config.max_drop


def default_folder(config: TuneConfig, name: str) -> Path:
    """``tune`` in the training run that made the checkpoint, else ``runs/tune-<name>``."""
    run = Path(config.checkpoint).resolve().parent
    return run / "tune" if (run / "manifest.json").is_file() else Path("runs") / f"tune-{name}"


def reference_of(
    config: TuneConfig, classifier: Classifier, split: Split, windows: list[list[Window]], unpruned: Point
) -> tuple[float, str]:
    """The score that ``max_drop`` counts from, and what it is of."""
    if config.reference_score is not None:
        return config.reference_score, GIVEN
    known = classifier.model.config
    stored = getattr(known, "reference_score", None)
    # What older trainings did not write was mostly the whole split.
    documents = getattr(known, "reference_documents", split.total)
    if (
        stored is not None
        and (config.split, len(split.examples)) == ("val", documents)
        and getattr(known, "reference_metric", None) == unpruned.metric
    ):
        return float(stored), "the fine-tuned model's on val, as training stored it"
    place = fine_tuned_beside(Path(config.checkpoint))
    if place is not None:
        fine_tuned = Classifier.load(place, config.device, classifier.window_pieces)
        return measure(fine_tuned, split, windows, False).score, "the fine-tuned model's on the same texts"
    return unpruned.score, "this model's with nothing removed, as no fine-tuned model's is known"


def timed(classifier: Classifier, texts: Sequence[Window], factors: Sequence[float]) -> dict[str, Any]:
    """Wall clocks at ``factors`` beside the stock model's, see :func:`wall_clock.speedups`, on a part of ``texts``."""
    stock = Classifier(stock_of(classifier.model), classifier.tokenizer, classifier.window_pieces)
    chosen = part(stock, classifier, texts, TIMED_BATCH)
    return speedups(stock, classifier, chosen, TIMED_BATCH, factors, rounds=3, least=TIMED_SECONDS)


def rows_of(frontier: Frontier, timing: dict[str, Any] | None) -> list[dict[str, Any]]:
    """What was measured at every factor, ascending."""
    rows = []
    for place, factor in enumerate(frontier.factors):
        measured = frontier.at(factor)
        rows.append(
            {
                "factor": factor,
                "score": measured.score,
                "accuracy": measured.accuracy,
                "flops_speedup": measured.flops_speedup,
                "measured_speedup": timing["speedups"][place] if timing else None,
                "kept": sum(measured.kept) / len(measured.kept),
                "kept_per_layer": measured.kept,
            }
        )
    return rows


def facts_of(classifier: Classifier, split: Split, timing: dict[str, Any] | None) -> dict[str, Any]:
    """What fixes the figures of a frontier."""
    return {
        "model_checksum": classifier.checksum,
        "title": split.info.title,
        "source": split.source,
        "documents": len(split.examples),
        "documents_in_split": split.total,
        "data_checksum": split.checksum,
        "metric": split.info.metric,
        "timing": timing and {key: timing[key] for key in ("batch", "windows", "rounds", "stock_ms")},
        "environment": describe(str(classifier.device)),
    }


def point_of(figures: dict[str, Any]) -> dict[str, Any]:
    """What is stored of the chosen point."""
    row = next(row for row in figures["points"] if row["factor"] == figures["chosen"])
    known = {key: row[key] for key in ("factor", "score", "flops_speedup", "measured_speedup")}
    return known | {key: figures[key] for key in ("metric", "split", "data_checksum", "documents")}


def unmet(config: TuneConfig, frontier: Frontier, floor: float, folder: Path) -> str:
    """The line that says that no point is as wanted, and which comes nearest."""
    points = {factor: frontier.at(factor) for factor in frontier.factors if factor}
    if config.speedup is not None:
        wanted = f"--speedup {config.speedup:g}: no factor is as fast"
        near = max(points, key=lambda factor: points[factor].flops_speedup)
    else:
        wanted = f"--max-drop {drop_of(config):g}: no factor scores {floor:.4f}"
        if any(point.score >= floor for point in points.values()):
            wanted += f" and so does the mean of thresholds {config.margin:.0%} around it (--margin 0 would do without)"
        near = max(points, key=lambda factor: (points[factor].score, points[factor].flops_speedup))
    found = points[near]
    return (
        f"{wanted}; the nearest is factor {near:.4g} with {found.metric} {found.score:.4f} and "
        f"{found.flops_speedup:.2f}× fewer FLOPs; nothing is stored: ask for less ({folder / 'frontier.csv'} has all)"
    )


def store_point(checkpoint: Path, name: str, point: dict[str, Any] | None) -> None:
    """Write ``point`` into the ``config.json`` of ``checkpoint``, or take it out; nothing else in it changes."""
    path = checkpoint / "config.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    points = content.get("operating_points") or {}
    if point is None and name not in points:
        return
    others = {known: stored for known, stored in points.items() if known != name}
    content["operating_points"] = others if point is None else others | {name: point}
    # As transformers writes it.
    write_text(path, json.dumps(content, indent=2) + "\n")
