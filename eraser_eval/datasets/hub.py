"""Fetching the tables of a known data set from the Hugging Face hub; the one place that asks it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from eraser_eval.datasets.info import DatasetInfo, Tables
from eraser_eval.datasets.rows import Columns, fits
from eraser_eval.errors import DataError, MissingError, UsageError, printable
from eraser_eval.files import sha256


def address(tables: Tables) -> str:
    """How records and errors call what is on the hub: ``hub:<id>``, and ``/<configuration>`` where it has several."""
    return "hub:" + "/".join(filter(None, tables.hub))


def fetch_tables(info: DatasetInfo, tables: Tables, folder: Path, known: Mapping[str, str]) -> dict[str, Any]:
    """What is recorded of the fetched tables: ``url``, and ``sha256`` of each file.

    They are written to the new ``folder`` as ``<split>.jsonl`` with ``text``, ``label`` (a class name) and, of pairs,
    ``text_pair``; whole or not at all.

    Args:
        info: the data set.
        tables: how it is read.
        folder: must not exist.
        known: file to the SHA-256 it must have; empty takes whatever comes.

    Raises:
        UsageError: ``folder`` exists, or the ``datasets`` library is not installed.
        MissingError: the hub cannot be asked, or does not have it.
        DataError: what came is not what the data set is, or not what came before.
    """
    if folder.exists():
        raise UsageError(f"{folder}: is there already; use it, or remove it to fetch it again")
    data = _downloaded(tables)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.", suffix=".tmp") as temporary:
        made = Path(temporary) / folder.name
        made.mkdir()
        for split, name in tables.hub_splits.items():
            if name not in data:
                raise DataError(address(tables), f"has no split {name!r}, only {', '.join(data)}; tell its owner")
            _write(made / f"{split}.jsonl", data[name], info, tables)
        found = {path.name: sha256(path) for path in sorted(made.iterdir())}
        if known and known != found:
            message = f"is not what it was when it was first fetched; if that is right, remove {info.name}"
            raise DataError(address(tables), f"{message} from {folder.parent / 'fetched.json'}")
        os.rename(made, folder)
    return {"url": address(tables), "sha256": found}


def _downloaded(tables: Tables) -> Any:
    """The data set's splits by name, each a ``datasets.Dataset``."""
    try:
        import datasets
    except ImportError:
        raise UsageError("data fetch: the hub needs the datasets library; install 'adapler-explain[hub]'") from None
    try:
        return datasets.load_dataset(*tables.hub)
    except Exception as error:
        # The library, the hub's client and the network raise almost anything.
        lines = str(error).strip().splitlines() or [type(error).__name__]
        message = f"cannot be had ({printable(lines[0])}); check the network and try again"
        raise MissingError(f"{address(tables)}: {message}") from error


def _write(path: Path, rows: Any, info: DatasetInfo, tables: Tables) -> None:
    columns = next((choice for choice in tables.columns if fits(choice, rows.column_names, info.pairs)), None)
    if columns is None:
        raise DataError(address(tables), f"has other columns than known ({', '.join(rows.column_names)})")
    with path.open("w", encoding="utf-8") as file:
        for number, row in enumerate(rows, 1):
            try:
                line = _line(row, columns, info)
            except ValueError as error:
                raise DataError(address(tables), f"{path.stem}, row {number}: {error}; tell its owner") from None
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _line(row: Mapping[str, Any], columns: Columns, info: DatasetInfo) -> dict[str, str]:
    texts = {"text": row[columns.text]} | ({"text_pair": row[columns.pair]} if info.pairs else {})
    label = row[columns.label]
    if not all(isinstance(text, str) for text in texts.values()):
        raise ValueError("a text is missing")
    if label not in info.labels and label not in range(len(info.labels)):
        raise ValueError(f"label {label!r} is not one of {', '.join(info.labels)}")
    return texts | {"label": label if label in info.labels else info.labels[label]}
