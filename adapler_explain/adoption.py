"""Stages of another training run, taken over where they would come out the same."""

from __future__ import annotations

import json
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

from adapler_explain.run import FREE, SOFT, Run
from adapler_explain.training import FORMERLY, TrainConfig
from eraser_eval.errors import MissingError, UsageError

# Settings of recovery alone, and what says where others are from.
RECOVERY = ("recovery_epochs", "recovery_jitter", "recipe", "stages_of", *FREE)
# Of soft removal and what follows.
LATER = (
    *("teacher", "start", "distill", "epochs", "lr", "predictor_lr", "threshold_lr", "eta", "theta", "jitter"),
    *("teacher_power", "gamma", "phi", "sharpness", "sharpness_growth", "first_sharpness", "tolerance", "rescale"),
    *RECOVERY,
)
# What a run of an older version could not be asked was mostly as it is by default.
BEFORE: dict[str, Any] = {field.name: field.default for field in fields(TrainConfig)} | dict(FORMERLY)
DATA = ("model_checksum", "train_checksum", "val_checksum", "train_examples", "val_examples")


def check(run: Run, settings: dict[str, Any]) -> dict[str, Any]:
    """The manifest of the run that ``run`` is to take stages from, and what an older version's does not say.

    Args:
        run: the run that begins.
        settings: what its own manifest will say.

    Raises:
        MissingError: no finished fine-tuning there.
        UsageError: what decides the fine-tuned model differs.
    """
    folder = Path(run.config.stages_of or "")
    try:
        old = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        old = None
    if not isinstance(old, dict) or old.get("command") != "train" or not (folder / "fine-tuned" / "val.json").is_file():
        raise MissingError(f"--stages-of {folder}: holds no run of train that has ended fine-tuning")
    old = BEFORE | old
    if changed := [name for name in (*_deciding(LATER), *DATA) if old.get(name) != settings[name]]:
        raise UsageError(
            f"--stages-of {folder}: was trained otherwise ({', '.join(changed)}); "
            "give those settings as they were there, or leave the option out"
        )
    return old


def adopt(run: Run, old: dict[str, Any]) -> None:
    """Copy the stages of the run with the manifest ``old`` that ``run`` lacks and would make just so.

    The fine-tuned model always, see :func:`check`; saliency where the teacher is the same and all windows were drawn;
    soft removal's model where, beside these, only recovery differs.
    """
    config = run.config
    source = Path(config.stages_of or "")
    taken = {"fine-tuned": "fine-tuned"}
    covered = config.windows_per_document == 0 or config.taught_epochs <= max(old["epochs"], old["recovery_epochs"])
    if covered and config.teacher == old["teacher"] and (source / "saliency").is_dir():
        taken["saliency"] = "saliency"
        soft, own = (SOFT if epochs else "adapler" for epochs in (old["recovery_epochs"], config.recovery_epochs))
        same = all(old[name] == getattr(config, name) for name in _deciding(RECOVERY))
        if same and (source / soft / "val.json").is_file():
            taken[own] = soft
    for stage, there in taken.items():
        target = run.folder / stage
        if not target.exists():
            temporary = run.folder / f".{stage}.adopted"
            shutil.rmtree(temporary, ignore_errors=True)
            shutil.copytree(source / there, temporary)
            temporary.rename(target)


def _deciding(later: tuple[str, ...]) -> list[str]:
    """Settings that decide what comes before those of the stages ``later``, beside the data and the encoder."""
    return [field.name for field in fields(TrainConfig) if field.name not in (*later, "model", "data_root")]
