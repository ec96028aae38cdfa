"""What stands behind ``data list``, ``data fetch`` and ``data verify``."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from eraser_eval.datasets import hatexplain, hub, rows
from eraser_eval.datasets.download import Report, download
from eraser_eval.datasets.fetch import fetch_archive
from eraser_eval.datasets.info import DatasetInfo, Tables
from eraser_eval.datasets.load import SPLITS, find
from eraser_eval.datasets.table import DATASETS
from eraser_eval.datasets.tables import split_file
from eraser_eval.errors import DataError, MissingError, UsageError
from eraser_eval.files import sha256, write_json
from eraser_eval.jsonl import DocumentStore
from eraser_eval.validate import data_defects

# Beside the data sets: what each was when it was first fetched.
RECORD = "fetched.json"
MOST_BYTES = 8 << 30


def catalogue(root: Path | None) -> list[dict[str, str]]:
    """A row for each data set: ``name``, ``title``, ``classes``, a count for each split, ``here``, ``licence``."""
    listed = []
    for info in DATASETS.values():
        try:
            _, source, folder = find(info.name, root)
            here = str(folder) if source == "release" else source
        except MissingError:
            here = "bundled sample" if info.has_sample else ""
        counts = {split: str(info.counts.get(split, "")) for split in SPLITS}
        listed.append(
            {"name": info.name, "title": info.title, "classes": str(len(info.labels))}
            | counts
            | {"here": here, "licence": info.licence}
        )
    return listed


def fetch(name: str, root: Path | None, url: str | None = None, report: Report = lambda _done, _total: None) -> Path:
    """The folder of the data set ``name`` below ``root``, fetched from where its authors offer it, or from the hub.

    The SHA-256 of what came is kept in ``<root>/fetched.json``; another time the same must come.

    Args:
        name: a known data set.
        root: the data root; None: what the environment variable ``ADAPLER_DATA`` names.
        url: fetch from there instead.
        report: called with the bytes so far and, where known, in all.

    Raises:
        UsageError: no such data set, no root, the data set is there already, or a library for it is not installed.
        MissingError: nothing can be fetched.
        DataError: what came is broken, not safe to unpack, or not what came before.
    """
    info = _known(name)
    given = root or (Path(os.environ["ADAPLER_DATA"]) if os.environ.get("ADAPLER_DATA") else None)
    if given is None:
        raise UsageError("--data-root: say where to put the data (or set ADAPLER_DATA)")
    folder = given / info.folders[-1]
    record = _record(given)
    source = url or (info.url if info.tables is None else hub.address(info.tables))
    known = record.get(name, {}) if record.get(name, {}).get("url") == source else {}
    if name == "hatexplain" and url is None:
        fetched = _fetch_hatexplain(folder, known, report)
    elif info.tables is not None and url is None:
        fetched = hub.fetch_tables(info, info.tables, folder, known.get("sha256", {}))
    elif source:
        fetched = fetch_archive(source, folder, sha256=known.get("sha256"), max_bytes=MOST_BYTES, report=report)
    else:
        raise MissingError(f"{info.title}: no address is known; get it from its authors, or give --url")
    record[name] = {key: value for key, value in fetched.items() if key != "pinned"}
    write_json(given / RECORD, record)
    return folder


def _fetch_hatexplain(folder: Path, known: Mapping[str, Any], report: Report) -> dict[str, Any]:
    """HateXplain comes as two files that are no archive and not in ERASER's format."""
    if folder.exists():
        raise UsageError(f"{folder}: is there already; use it, or remove it to fetch it again")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=".hatexplain.", suffix=".tmp") as temporary:
        posts, divisions = Path(temporary) / "dataset.json", Path(temporary) / "post_id_divisions.json"
        sums = known.get("sha256", {})
        found = {
            path.name: download(address, path, sha256=sums.get(path.name), max_bytes=MOST_BYTES, report=report)
            for address, path in ((hatexplain.DATASET_URL, posts), (hatexplain.DIVISIONS_URL, divisions))
        }
        hatexplain.convert(posts, divisions, folder)
    return {"url": hatexplain.DATASET_URL, "sha256": found}


def verify(name: str, root: Path | None) -> list[str]:
    """Every defect of the data set ``name``: files, counts, checksums, annotations. Empty where it is sound.

    Raises:
        UsageError: no such data set.
        MissingError: it is not there.
    """
    info = _known(name)
    _, source, folder = find(name, root)
    if info.tables is not None:
        return _table_defects(info, info.tables, folder)
    defects: list[str] = []
    documents = DocumentStore(folder)
    for file, known in info.checksums.items() if source == "release" else ():
        path = folder / file
        if path.is_file() and sha256(path) != known:
            defects.append(f"{path}: is not the file whose SHA-256 is known ({known[:16]}…); fetch it again")
    for split in SPLITS:
        path = folder / f"{split}.jsonl"
        if not path.is_file():
            defects.append(f"{path}: is missing; fetch the data set again")
            continue
        defects += [defect.text for defect in data_defects(path, documents, info.labels)]
        with path.open("rb") as file_object:
            count = sum(bool(line.strip()) for line in file_object)
        expected = info.counts.get(split) if source == "release" else None
        if expected not in (None, count):
            defects.append(f"{path}: has {count} annotations, not {expected}; fetch the data set again")
    return defects


def _table_defects(info: DatasetInfo, tables: Tables, folder: Path) -> list[str]:
    """Every defect of the tables in ``folder``; a file that holds val and train has the texts of both."""
    counts: Counter[Path] = Counter()
    for split in tables.files:
        counts[split_file(info, tables, folder, split)[0]] += info.counts[split]
    defects: list[str] = []
    for file, count in counts.items():
        try:
            found = [example for _, example in rows.scan_table(file, tables.columns, info.labels, info.pairs)]
        except (DataError, MissingError) as error:
            defects.append(f"{error}; fetch the data set again")
            continue
        defects += [str(example) for example in found if isinstance(example, DataError)]
        if len(found) != count:
            defects.append(f"{file}: has {len(found)} texts, not {count}; fetch the data set again")
    return defects


def _known(name: str) -> DatasetInfo:
    if name not in DATASETS:
        raise UsageError(f"{name}: unknown data set; choose from {', '.join(DATASETS)}")
    return DATASETS[name]


def _record(root: Path) -> dict[str, Any]:
    path = root / RECORD
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or not all(isinstance(entry, dict) for entry in content.values()):
        raise DataError(path, "is not what 'data fetch' wrote; remove it")
    return content
