"""A run folder of ``eval``, read back: what was asked, figures, predictions, and the documents they are about."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from eraser_eval import score
from eraser_eval.datasets import Split, limited, load
from eraser_eval.errors import DataError, MissingError
from eraser_eval.prediction_file import read_predictions
from eraser_eval.records import Prediction

MODEL_KEYS = ("model", "model_checksum", "reference_model")
# What is read of a run's figures and table.
FIGURES = {"methods", "classification", "efficiency", "title", "source", "split", "documents", "model", "explained"}
COLUMNS = {"method", "annotation_id", "label", "predicted", "words", "rationale_words", "false_positives", "fpr"} | {
    "token_f1",
    "average_precision",
}


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        folder: where it is.
        manifest: what was asked.
        figures: the content of ``metrics.json``.
        table: the statistics of each document.
        split: the documents.
        predictions: method to its predictions, in the order of the documents.
    """

    folder: Path
    manifest: Mapping[str, Any]
    figures: Mapping[str, Any]
    table: pd.DataFrame
    split: Split
    predictions: Mapping[str, Sequence[Prediction]]

    @property
    def name(self) -> str:
        """What lists call it."""
        return self.folder.name


def read_run(folder: Path, data_root: Path | None = None) -> Run:
    """The run in ``folder``.

    Args:
        folder: of ``eval``.
        data_root: where its documents are, if they are no longer where the run found them.

    Raises:
        MissingError: the folder is not that of a finished run, or its documents are not here.
        DataError: a file is broken, or the documents are not those of the run.
    """
    manifest = manifest_of(folder)
    if manifest is None:
        raise MissingError(f"{folder}: not the folder of an 'eval' run (no manifest.json of one)")
    try:
        figures = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        # An id or a class may be called NA.
        names = dict.fromkeys(("method", "annotation_id", "label", "predicted"), str)
        table = pd.read_csv(folder / "per_document.csv", dtype=names, keep_default_na=False, na_values=[""])
        split = limited(_split(manifest, data_root), manifest["limit"])
        expected, models = manifest["data_checksum"], [manifest[name] for name in MODEL_KEYS]
        if not all(value is None or isinstance(value, str) for value in models):
            raise TypeError("manifest.json names no model")
        methods = [str(method) for method in (*manifest["methods"], *manifest.get("add", ()))]
        if not (figures.keys() >= FIGURES and set(table.columns) >= COLUMNS):
            raise ValueError("metrics.json or per_document.csv lacks figures")
    except FileNotFoundError as error:
        raise MissingError(f"{error.filename}: is missing; finish the run with 'eval --resume'") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(folder, f"is not a run that can be read ({error!r}); repeat it") from None
    if split.checksum != expected:
        raise DataError(folder, f"its documents ({expected}) are not those found at {split.folder} ({split.checksum})")
    # What an earlier run left in the folder is not this one's.
    files = [path for method in methods if (path := folder / "predictions" / f"{method}.jsonl").is_file()]
    predictions = {path.stem: read_predictions(path) for path in files}
    if not predictions:
        raise MissingError(f"{folder}: has no prediction files; finish the run with 'eval --resume'")
    fitting(split, {method: {one.id: one for one in made} for method, made in predictions.items()}, folder)
    return Run(folder, manifest, figures, table, split, predictions)


def fitting(split: Split, predictions: Mapping[str, Mapping[str, Prediction]], where: Path) -> None:
    """Raise DataError where a prediction does not fit its document."""
    try:
        score.per_document(split.examples, {method: list(made.values()) for method, made in predictions.items()})
    except ValueError as error:
        raise DataError(where, str(error)) from None


def manifest_of(folder: Path) -> dict[str, Any] | None:
    """What ``manifest.json`` of an ``eval`` run says; None where there is none that can be read."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return manifest if isinstance(manifest, dict) and manifest.get("command") == "eval" else None


def _split(manifest: Mapping[str, Any], data_root: Path | None) -> Split:
    """The split that a run read: where it found it, or else below ``data_root``."""
    dataset, split = manifest["dataset"], manifest["split"]
    if manifest["source"] == "bundled sample":
        return load(dataset, split)
    try:
        return load(dataset, split, Path(manifest["data_root"]) if manifest["data_root"] else None)
    except MissingError:
        if data_root is None:
            raise
        return load(dataset, split, data_root)
