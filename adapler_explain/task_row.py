"""One task's row of a paper's table: score and speed of a pruned model beside those of the fine-tuned one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from adapler_explain.bench.subjects import stock_of
from adapler_explain.classifier import Classifier, all_windows
from adapler_explain.environment import describe, machine
from adapler_explain.loading import check_device
from adapler_explain.measure import Measured, check_classes, fine_tuned_beside, measure, opened
from adapler_explain.wall_clock import part, speedups
from adapler_explain.windows import Window
from eraser_eval.datasets import Split
from eraser_eval.errors import UsageError
from eraser_eval.files import write_json

TIMED_SECONDS = 4.0


@dataclass(frozen=True)
class TaskConfig:
    """What is compared, on what.

    Attributes:
        checkpoint: an AdapLeR model.
        dataset, split, data_root, limit: the texts, see :class:`adapler_explain.evaluate.EvalConfig`.
        operating_point: factor of the thresholds, or the name of a stored point; empty: 1.
        reference_model: the fine-tuned model; None: ``fine-tuned`` in the training run that made the checkpoint, else
            the checkpoint with removal off.
        batch_sizes: windows in a timed batch; empty: nothing is timed.
        device: torch device.
        time_on: torch device of the clock; None: ``device``.
    """

    checkpoint: str
    dataset: str
    split: str = "test"
    data_root: str | None = None
    operating_point: float | str = ""
    reference_model: str | None = None
    batch_sizes: tuple[int, ...] = (1, 32)
    limit: int = 0
    device: str = "cpu"
    time_on: str | None = None


def task_row(config: TaskConfig) -> dict[str, Any]:
    """What was asked and what it was applied to, and what was found.

    ``fine_tuned`` and ``pruned`` have ``score`` (by ``metric``), ``accuracy`` and ``macro_f1``; ``flops_speedup``,
    ``kept_per_layer`` and ``kept``, its mean, are of the pruned model; ``wall_clock`` has for each batch size
    ``batch``, ``windows``, ``rounds``, ``stock_ms``, ``ms`` (of a window) and ``speedup``; ``timed_on`` is their
    machine, None where nothing was timed.

    Raises:
        UsageError: an option cannot be used.
        MissingError: a model or the data is not there.
        DataError: the data is broken.
    """
    if any(size < 1 for size in config.batch_sizes):
        raise UsageError(f"--batch-sizes {','.join(map(str, config.batch_sizes))}: give numbers of at least 1")
    clock = config.time_on or config.device
    if config.time_on:
        check_device(config.time_on, "--time-on")
    classifier, split, windows = opened(
        config.checkpoint, config.dataset, config.split, config.data_root, config.limit, config.device
    )
    factor = classifier.factor(config.operating_point)
    texts = [window for document in windows for window in document]
    if texts and len(texts) < max(config.batch_sizes, default=0):
        raise UsageError(f"--batch-sizes {max(config.batch_sizes)}: the documents make {len(texts)} windows; give less")
    place = config.reference_model or fine_tuned_beside(Path(config.checkpoint))
    reference = _reference(place, classifier, split, windows)
    fine_tuned = measure(reference, split, windows, prune=False)
    pruned = measure(classifier, split, windows, True, factor)
    if config.batch_sizes:
        for one in (reference, classifier):
            one.model.to(clock)
    return (
        {"command": "measure"}
        | asdict(config)
        | {
            "operating_factor": factor,
            "seed": _seed_of(classifier, Path(config.checkpoint)),
            "model_checksum": classifier.checksum,
            "reference_model": place or "the same weights with removal switched off",
            "reference_model_checksum": reference.checksum or classifier.checksum,
            "title": split.info.title,
            "source": split.source,
            "documents": len(split.examples),
            "documents_in_split": split.total,
            "data_checksum": split.checksum,
            "metric": split.info.metric,
            "fine_tuned": _scores(fine_tuned),
            "pruned": _scores(pruned),
            "flops_speedup": pruned.flops_speedup,
            "kept_per_layer": pruned.kept,
            "kept": sum(pruned.kept) / len(pruned.kept),
            "wall_clock": [_timed(reference, classifier, texts, size, factor) for size in config.batch_sizes],
            "timed_on": machine(describe(clock)) if config.batch_sizes else None,
            "environment": describe(config.device),
        }
    )


def _reference(place: str | None, classifier: Classifier, split: Split, windows: list[list[Window]]) -> Classifier:
    """The fine-tuned model at ``place``, which reads the same ``windows``; None: ``classifier`` without removal."""
    if place is None:
        return Classifier(stock_of(classifier.model), classifier.tokenizer, classifier.window_pieces)
    reference = Classifier.load(place, str(classifier.device), classifier.window_pieces)
    check_classes(reference, split)
    if all_windows(reference, split) != windows:
        raise UsageError(f"--reference-model {place}: its tokenizer reads the texts otherwise; give the fine-tuned one")
    return reference


def _seed_of(classifier: Classifier, checkpoint: Path) -> int | None:
    """The seed of the training run that made the checkpoint, where that is known."""
    seed = getattr(classifier.model.config, "seed", None)
    manifest = checkpoint.resolve().parent / "manifest.json"
    if seed is None and manifest.is_file():
        content = json.loads(manifest.read_text(encoding="utf-8"))
        seed = content.get("seed") if content.get("command") == "train" else None
    return seed


def _scores(measured: Measured) -> dict[str, float]:
    return {"score": measured.score, "accuracy": measured.accuracy, "macro_f1": measured.macro_f1}


def _timed(reference: Classifier, classifier: Classifier, texts: Any, size: int, factor: float) -> dict[str, Any]:
    """The wall clock at batches of ``size`` windows; all batches are full."""
    chosen = part(reference, classifier, texts, size)
    found = speedups(reference, classifier, chosen, size, (factor,), least=TIMED_SECONDS)
    return found | {"ms": found["ms"][0], "speedup": found.pop("speedups")[0]}


def write(figures: Mapping[str, Any], path: str | None) -> None:
    """Write the figures as JSON to ``path``, where it is given."""
    if path is not None:
        write_json(Path(path), figures)


def terminal(figures: Mapping[str, Any]) -> None:
    """Print the row, and what it is of."""
    clocks = figures["wall_clock"]
    table = Table(box=box.SIMPLE)
    sizes = [f"wall clock, batch {row['batch']}" for row in clocks]
    keys = list(dict.fromkeys((figures["metric"], "accuracy", "macro_f1")))
    for title in ("", *(key.replace("_f1", " F1") for key in keys), "fewer FLOPs", *sizes):
        table.add_column(title, justify="right" if title else "left", no_wrap=True)

    def scores(model: str) -> list[str]:
        known = figures[model] | {figures["metric"]: figures[model]["score"]}
        return [f"{known[key]:.4f}" for key in keys]

    table.add_row("fine-tuned", *scores("fine_tuned"), "1.00×", *(f"{row['stock_ms']:.1f} ms" for row in clocks))
    speeds = [f"{row['speedup']:.2f}×" for row in clocks]
    table.add_row("AdapLeR", *scores("pruned"), f"{figures['flops_speedup']:.2f}×", *speeds)
    console = Console(highlight=False, width=max(Console().width, 80 + 24 * len(sizes)))
    console.print(table)
    kept = " → ".join(f"{share:.2f}" for share in figures["kept_per_layer"])
    for line in (
        f"{figures['title']} ({figures['source']}), {figures['split']}: {figures['documents']} of "
        f"{figures['documents_in_split']} documents ({figures['data_checksum']}).",
        f"Thresholds × {figures['operating_factor']:.4g}; share of the pieces that each layer processes: {kept}.",
        f"Fine-tuned: {figures['reference_model']} ({figures['reference_model_checksum']}).",
    ):
        console.print(line, markup=False, soft_wrap=True)
