"""What is there already and may be taken as it is: only figures of the same model that were asked the same."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from adapler_explain import __version__
from adapler_explain.config import operating_factor
from adapler_explain.evaluate import EvalConfig, evaluate
from adapler_explain.loading import model_checksum


def current(path: Path, **expected: object) -> dict[str, Any] | None:
    """The figures in the JSON file ``path``, where it is there and says of itself what is ``expected``."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return found if all(found[key] == value for key, value in expected.items()) else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def explained(config: EvalConfig) -> dict[str, Any]:
    """The content of ``metrics.json`` of ``eval``, whose run in the output folder goes on where it was cut off.

    A run of another model, point or part of the documents is thrown away: ``config`` names a folder of our own.

    Raises:
        UserError: as :func:`adapler_explain.evaluate.evaluate`.
    """
    assert config.model is not None and config.output_dir is not None
    folder, checkpoint = Path(config.output_dir), Path(config.model)
    written = folder / "metrics.json"
    expected: dict[str, object] = {
        "model_checksum": model_checksum(checkpoint, None),
        "operating_factor": factor_of(checkpoint, config.operating_point),
        "split": config.split,
        "limit": config.limit,
    }
    if not written.is_file():
        # What a run that goes on must have in common with what it was, beside what decides its figures.
        expected |= {"device": config.device, "model": config.model, "reference_model": config.reference_model}
    found = current(folder / "manifest.json", **expected)
    if found is None or not (written.is_file() or found["environment"]["adapler_explain"] == __version__):
        shutil.rmtree(folder, ignore_errors=True)
    if not written.is_file():
        evaluate(replace(config, resume=True))
    figures: dict[str, Any] = json.loads(written.read_text(encoding="utf-8"))
    return figures


def factor_of(checkpoint: Path, operating_point: float | str) -> float:
    """The factor of the thresholds that ``operating_point`` stands for in ``checkpoint``.

    Raises:
        ValueError: it has no such point.
    """
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    return operating_factor(SimpleNamespace(**config), operating_point)
