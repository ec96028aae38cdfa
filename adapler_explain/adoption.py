"""Stages of another training run, taken over where they would come out the same."""

from __future__ import annotations

import json
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

from adapler_explain.run import FREE, Run
from adapler_explain.training import TrainConfig
from eraser_eval.errors import MissingError, UsageError

# Settings of the last stage alone, and what says where others are from.
LAST_STAGE = (
    *("recipe", "start", "distill", "epochs", "lr", "predictor_lr", "threshold_lr", "eta", "theta", "jitter"),
    *("teacher_power", "gamma", "phi", "sharpness", "sharpness_growth", "first_sharpness", "tolerance", "rescale"),
    *("stages_of", *FREE),
)
DATA = ("model_checksum", "train_checksum", "val_checksum", "train_examples", "val_examples")


def check(run: Run, settings: dict[str, Any]) -> dict[str, Any]:
    """The manifest of the run that ``run`` is to take stages from.

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
    # What a run of an older version could not be asked was as it is by default.
    defaults = {field.name: field.default for field in fields(TrainConfig)}
    deciding = [name for name in defaults if name not in (*LAST_STAGE, "model", "data_root", "teacher")]
    changed = [name for name in (*deciding, *DATA) if old.get(name, defaults.get(name)) != settings[name]]
    if changed:
        raise UsageError(
            f"--stages-of {folder}: was trained otherwise ({', '.join(changed)}); "
            "give those settings as they were there, or leave the option out"
        )
    return old


def adopt(run: Run, old: dict[str, Any]) -> None:
    """Copy the stages of the run with the manifest ``old`` that ``run`` lacks and would make just so.

    The fine-tuned model always, see :func:`check`; saliency where the teacher is the same and all windows were drawn.
    """
    config = run.config
    source = Path(config.stages_of or "")
    wanted = ["fine-tuned"]
    covered = config.windows_per_document == 0 or config.epochs <= old["epochs"]
    if covered and config.teacher == old["teacher"] and (source / "saliency").is_dir():
        wanted.append("saliency")
    for stage in wanted:
        target = run.folder / stage
        if not target.exists():
            temporary = run.folder / f".{stage}.adopted"
            shutil.rmtree(temporary, ignore_errors=True)
            shutil.copytree(source / stage, temporary)
            temporary.rename(target)
