"""What can be opened, and opening it: data sets, run folders, prediction files, a text of one's own. Free of torch."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from eraser_eval.datasets import DATASETS, DatasetInfo, Split, find, load, tables
from eraser_eval.errors import DataError, MissingError, UserError
from eraser_eval.files import checksum
from eraser_eval.jsonl import document_of
from eraser_eval.prediction_file import read_predictions
from eraser_eval.records import Example, Prediction
from eraser_eval.runs import MODEL_KEYS, fitting, manifest_of, read_run

SPLITS = ("test", "val", "train")
TEXT = "Your own text"
MOST_WORDS, MOST_CHARACTERS = 20_000, 400_000


@dataclass(frozen=True)
class Source:
    """Something with documents.

    Attributes:
        name: what links and lists call it.
        folder: of a run; None for a data set.
        dataset, split: of a data set; empty for a run.
        changed: when the data set's file was written.
    """

    name: str
    folder: Path | None = None
    dataset: str = ""
    split: str = ""
    changed: int = 0


@dataclass(frozen=True)
class Opened:
    """Documents, and what is known of them.

    Attributes:
        name: of its source.
        split: the documents.
        predictions: method to example id to prediction; empty for a data set without a run.
        model: path of the model that made them; None: the viewer's own.
        model_checksum: of that model, or empty.
        reference: path of the classifier that attention and gradients explain; None: the model itself.
        manifest, figures: the run's ``manifest.json`` and ``metrics.json``, or empty.
        table: the run's statistics of each document, or None.
        stamp: changes when the files behind it do.
    """

    name: str
    split: Split
    predictions: Mapping[str, Mapping[str, Prediction]] = field(default_factory=dict)
    model: str | None = None
    model_checksum: str = ""
    reference: str | None = None
    manifest: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)
    table: pd.DataFrame | None = None
    stamp: str = ""

    @property
    def operating_point(self) -> float:
        """The factor of the model's thresholds that the run was made with."""
        factor = self.manifest.get("operating_factor")
        return float(factor) if isinstance(factor, int | float) and 0 < factor < math.inf else 1.0

    def example(self, identifier: str) -> Example:
        """The example of that id.

        Raises:
            MissingError: there is none.
        """
        for example in self.split.examples:
            if example.id == identifier:
                return example
        raise MissingError(f"{identifier}: {self.name} has no document of this name")

    def of(self, example: Example) -> dict[str, Prediction]:
        """What each method says of ``example``, for the methods that say something."""
        return {method: made[example.id] for method, made in self.predictions.items() if example.id in made}


def sources(runs: Path, data_root: Path | None, labels: Iterable[str]) -> list[Source]:
    """What can be opened: first the data sets whose classes are ``labels``, then the runs in the folder ``runs``."""
    found = []
    for info in DATASETS.values():
        if set(info.labels) != set(labels):
            continue
        try:
            _, origin, folder = _found(info, data_root)
        except MissingError:
            continue
        sample = "-sample" if origin == "bundled sample" else ""
        found += [
            Source(f"{info.name}-{split}{sample}", None, info.name, split, file.stat().st_mtime_ns)
            for split in SPLITS
            if (file := _split_file(info, folder, split)) is not None
        ]
    folders = sorted(path.parent for path in runs.glob("*/metrics.json")) if runs.is_dir() else []
    return found + [Source(f"run {folder.name}", folder) for folder in folders if manifest_of(folder) is not None]


def _split_file(info: DatasetInfo, folder: Path, split: str) -> Path | None:
    """The file that holds ``split``; None where there is none."""
    try:
        file = tables.split_file(info, info.tables, folder, split)[0] if info.tables else folder / f"{split}.jsonl"
    except MissingError:
        return None
    return file if file.is_file() else None


def open_dataset(source: Source, data_root: Path | None) -> Opened:
    """The documents of a data set, without predictions."""
    sample = source.name.endswith("-sample")
    return Opened(source.name, load(source.dataset, source.split, None if sample else data_root))


def open_run(name: str, folder: Path, data_root: Path | None) -> Opened:
    """A run folder of ``eval`` with its documents.

    Raises:
        MissingError: the folder is not that of a finished run, or its documents are not here.
        DataError: a file is broken, or the documents are not those of the run.
    """
    run = read_run(folder, data_root)
    model, model_checksum, reference = (run.manifest[name] for name in MODEL_KEYS)
    return Opened(
        name,
        run.split,
        {method: {one.id: one for one in made} for method, made in run.predictions.items()},
        None if model == "bundled model" else model,
        model_checksum,
        reference,
        run.manifest,
        run.figures,
        run.table,
        stamp=str((folder / "metrics.json").stat().st_mtime_ns),
    )


def open_predictions(name: str, split: Split, files: Mapping[str, Path]) -> Opened:
    """Anyone's prediction files in ERASER's format, with the documents that they are about.

    Args:
        name: what lists call it.
        split: the documents.
        files: method to file.

    Raises:
        DataError: a file is broken, or its predictions are for none of the documents.
    """
    predictions = {}
    wanted = {example.id for example in split.examples}
    for method, path in files.items():
        predictions[method] = {made.id: made for made in read_predictions(path) if made.id in wanted}
        if not predictions[method]:
            raise DataError(method, f"has no prediction for the documents of {split.info.name}, {split.name}")
    fitting(split, predictions, Path(name))
    return Opened(name, split, predictions, stamp=checksum(files.values()))


def own_text(text: str) -> Example:
    """An example made of a text, one sentence a line, words being what stands between white space; without a label.

    Raises:
        UserError: there is no word in it, or there are more than 20,000, or more than 400,000 characters.
    """
    if len(text) > MOST_CHARACTERS:
        raise UserError(f"the text has {len(text):,} characters; give at most {MOST_CHARACTERS:,}")
    whole = re.sub("[\ud800-\udfff]", "\ufffd", text)
    lines = [" ".join(line.split()) for line in whole.splitlines()]
    try:
        document = document_of("Your text", lines)
    except ValueError:
        raise UserError("the text has no words; write or paste some") from None
    if len(document) > MOST_WORDS:
        raise UserError(f"the text has {len(document):,} words; give at most {MOST_WORDS:,}")
    return Example("Your text", (document,), "")


def decoded(content: bytes, name: str) -> str:
    """The text in an uploaded file.

    Raises:
        DataError: it is not UTF-8.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(name, "not UTF-8; save the file as UTF-8 text") from None


def _found(info: DatasetInfo, data_root: Path | None) -> tuple[DatasetInfo, str, Path]:
    """The release where it is here, else the bundled sample."""
    try:
        return find(info.name, data_root)
    except MissingError:
        return find(info.name)
