"""A trained model as others get it: half precision, tokenizer, and a model card made from the run's own files."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from adapler_explain.loading import load_pretrained, model_checksum
from adapler_explain.teachers import TEACHERS
from adapler_explain.training import FORMERLY, TrainConfig
from eraser_eval.errors import MissingError, UsageError
from eraser_eval.files import write_text

Row = Mapping[str, Any]
EXPORTED = {"README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}


def export(run: Path, target: Path, evaluation: Path | None = None, base_model: str | None = None) -> Path:
    """The folder ``target`` with the model that the training run ``run`` kept, as float16 safetensors, and its card.

    Args:
        run: output folder of ``train``.
        target: where to write; replaced if it holds an export.
        evaluation: run folder of ``eval`` on test with the exported model as ``--model`` and the run's ``fine-tuned``
            as ``--reference-model``; its figures go into the card.
        base_model: what the card calls the pretrained encoder; None: as ``train`` was told.

    Raises:
        MissingError: the run is not complete, or the evaluation has no figures.
        UsageError: the evaluation is of other weights.
    """
    if not (run / "adapler" / "val.json").is_file():
        raise MissingError(f"{run}: no complete training run; run 'adapler-explain train' with this --output-dir first")
    _check_target(run, target)
    model, tokenizer = load_pretrained(run / "adapler", dtype=torch.float16)
    partial, aside = (target.with_name(f".{target.name}.{kind}") for kind in ("partial", "old"))
    shutil.rmtree(partial, ignore_errors=True)
    try:
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        figures = _read(evaluation / "metrics.json") if evaluation else None
        if figures:
            _check_evaluation(figures, run, model_checksum(partial, model))
        write_text(partial / "README.md", card(run, figures, base_model))
        if target.exists():
            target.rename(aside)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(aside, ignore_errors=True)
    return target


def _check_target(run: Path, target: Path) -> None:
    """Raise UsageError unless ``target`` is new, empty or an earlier export, and apart from the run."""
    whole, inside = run.resolve(), target.resolve()
    if whole.is_relative_to(inside) or inside.is_relative_to(whole):
        raise UsageError(f"--output-dir {target}: give a folder apart from the training run")
    if target.exists():
        strange = sorted({path.name for path in target.iterdir()} - EXPORTED) if target.is_dir() else [target.name]
        if strange:
            raise UsageError(f"--output-dir {target}: holds {strange[0]}, which is no export; give another folder")


def _check_evaluation(figures: Row, run: Path, checksum: str) -> None:
    """Raise UsageError unless ``figures`` are of the exported weights, on the whole test split the run's data has."""
    settings = _read(run / "manifest.json")
    tuned = load_pretrained(run / "fine-tuned")[0]
    wanted = {
        "model_checksum": checksum,
        "reference_model_checksum": model_checksum(run / "fine-tuned", tuned),
        "dataset": settings["dataset"],
        "source": settings["source"],
        "split": "test",
        "documents": figures.get("documents_in_split"),
    }
    wrong = [key for key, value in wanted.items() if figures.get(key) != value]
    if wrong:
        raise UsageError(
            f"--evaluation: other {', '.join(wrong)} than the card is for; run 'eval' on the whole test split with the "
            f"exported model and --reference-model {run / 'fine-tuned'}"
        )


def card(run: Path, figures: Row | None, base_model: str | None) -> str:
    """The model card of a training run, with the figures of a test evaluation where there are some."""
    settings, val = _read(run / "manifest.json"), _read(run / "adapler" / "val.json")
    tuned = max(_read(run / "fine-tuned" / "val.json")["accuracy"])
    rows = _log_of(run)
    minutes = {row["stage"]: row["seconds"] / 60 for row in rows if "seconds" in row}
    machine: Row = next((row["environment"] for row in reversed(rows) if "environment" in row), {})
    source = base_model or settings["model"]
    teacher = settings["teacher"]
    if (power := settings.get("teacher_power", 1.0)) != 1:
        teacher += f" to the power of {power:g}"
    if TEACHERS[settings["teacher"]].supervised:
        teacher += " (supervised: it reads words that people marked)"
    kept = " → ".join(f"{share:.2f}" for share in val["kept"])
    lines = [
        "---",
        "license: apache-2.0",
        "library_name: adapler-explain",
        "pipeline_tag: text-classification",
        "---",
        "",
        f"# AdapLeR, {settings['dataset']}",
        "",
        f"A sequence classifier that drops pieces layer by layer (Modarressi et al., ACL 2022), trained from {source} "
        f"on the train split of {settings['dataset']} ({settings['source']}, {settings['train_checksum']}). "
        'Half-precision safetensors; load them with `dtype="float32"`, as adapler-explain does.',
        "",
        "## How it was made",
        "",
        *_how(settings, run),
        "",
        f"- Recipe {settings['recipe']}, teacher {teacher}, seed {settings['seed']}, "
        f"γ = {settings['gamma']:g}, φ = {settings['phi']:g}; "
        f"windows of at most {settings['window_pieces']} pieces.",
        f"- Kept: {_epoch(val['epoch'], settings)}, by the paper's rule (the fastest epoch whose val "
        f"{val['metric']} is above the fine-tuned model's best − {settings['tolerance']:g})"
        + (f", its thresholds times {val['factor']:g}" if val.get("factor", 1.0) != 1 else "")
        + ("." if val["meets_rule"] else "; **no epoch met it**, so the best was kept."),
        f"- Hardware: {machine.get('accelerator') or machine.get('processor')}, {machine.get('threads')} thread(s). "
        f"Time: {', '.join(f'{stage} {value:.0f} min' for stage, value in minutes.items())}.",
        "",
        "## Figures",
        "",
        "| split | accuracy, fine-tuned | accuracy, AdapLeR | FLOPs speedup | pieces processed, layer by layer |",
        "|---|---:|---:|---:|---|",
        f"| val | {tuned:.3f} | {val['accuracy']:.3f} | {val['flops_speedup']:.2f}× | {kept} |",
    ]
    if figures:
        shares = " → ".join(f"{share:.2f}" for share in figures["efficiency"]["kept_per_layer"])
        classification = figures["classification"]
        reference = classification.get("reference", {}).get("accuracy")
        lines.append(
            f"| {figures['split']} | {f'{reference:.3f}' if reference is not None else ''} "
            f"| {classification['pruned']['accuracy']:.3f} | {figures['efficiency']['flops_speedup']:.2f}× | {shares} |"
        )
    lines += [
        "",
        "Documents are read whole; their probabilities are means over windows. Val figures are of the float32 weights, "
        "as counted in training.",
        "",
        "## Limits",
        "",
        f"One data set, one language, one seed. The classes are those of {settings['dataset']}; the model answers on "
        "other texts all the same. The words it keeps are what its prediction was computed from, not proof of why.",
        "",
    ]
    return "\n".join(lines)


def _epoch(epoch: int, settings: Row) -> str:
    """Which epoch was kept, in words.

    >>> _epoch(0, {"epochs": 4}), _epoch(1, {"epochs": 4, "recovery_epochs": 2})
    ('epoch 1 of 4', 'epoch 2 of 2 of recovery')
    """
    recovery = settings.get("recovery_epochs", FORMERLY["recovery_epochs"])
    if not recovery:
        return f"epoch {epoch + 1} of {settings['epochs']}"
    return (
        "no epoch of recovery, but what was before it" if epoch < 0 else f"epoch {epoch + 1} of {recovery} of recovery"
    )


def _how(settings: Row, run: Path) -> list[str]:
    """The command that trained it, as Markdown; rows in memory were trained on from Python."""
    if settings["source"] == "own rows":
        return ["From Python, on rows in memory."]
    return ["```", command({**settings, "output_dir": str(run)}), "```"]


def command(settings: Row) -> str:
    """The ``train`` command line that a manifest's settings stand for; what the recipe gives is left out.

    Also left out is where stages were taken from: trained whole, it comes to the same.
    """
    words = ["adapler-explain", "train", "--dataset", settings["dataset"]]
    given = {"model": settings["model"], "output_dir": settings["output_dir"]}
    base = TrainConfig.of(settings["dataset"], settings["recipe"], **given)
    for field in fields(TrainConfig):
        value = settings.get(field.name, FORMERLY.get(field.name, field.default))
        if field.name == "data_root" and value is None and settings["source"] == "release":
            value = Path(settings["data_folder"]).parent
        name = field.name.replace("_", "-")
        shown = field.name in given or (field.name == "recipe" and value != field.default)
        if shown or (field.name not in ("dataset", "recipe", "stages_of") and value != getattr(base, field.name)):
            words += (
                [f"--{name}" if value else f"--no-{name}"] if isinstance(value, bool) else [f"--{name}", str(value)]
            )
    return shlex.join(words)


def _log_of(run: Path) -> list[dict[str, Any]]:
    """The rows of ``metrics.jsonl``; a line that a kill cut off is left out."""
    rows = []
    for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise MissingError(f"{path}: no such file")
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
