"""Finding and reading a data set: a known one, or any folder in ERASER's format."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from eraser_eval.datasets import rows, tables
from eraser_eval.datasets.info import DatasetInfo
from eraser_eval.datasets.table import DATASETS
from eraser_eval.errors import DataError, MissingError, UsageError
from eraser_eval.files import checksum
from eraser_eval.jsonl import DocumentStore, read_examples
from eraser_eval.records import Example

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Split:
    """The examples of one split and where they came from.

    Attributes:
        info: the data set.
        name: ``train``, ``val`` or ``test``.
        source: ``release`` (the files of the benchmark), ``bundled sample``, ``own files`` or ``own rows``.
        folder: the folder (or file) that was read.
        examples: in file order.
        checksum: of the split file and of every document it names, see :func:`eraser_eval.files.checksum`; where val is
            drawn from train, of the rule as well.
        total: examples in the split, of which ``examples`` may be a part.
        file: the split's file.
    """

    info: DatasetInfo
    name: str
    source: str
    folder: Path
    examples: tuple[Example, ...]
    checksum: str
    total: int
    file: Path


def find(name: str, root: Path | None = None) -> tuple[DatasetInfo, str, Path]:
    """The data set called ``name``: what it is, its source, and the folder (or file) that holds it.

    A known data set's release is looked for below ``root``, which must hold it; without ``root``, below the folder that
    the environment variable ``ADAPLER_DATA`` names, which may. Else the bundled sample is taken, if there is one. Any
    other name is the path of a folder or a file.

    Raises:
        UsageError: neither a known data set nor a path, or a path with ``root``.
        MissingError: ``root`` is given but the release is not below it, or there is neither a release nor a sample.
    """
    if name not in DATASETS:
        return _own(name, root)
    info = DATASETS[name]
    fetch = f"'adapler-explain data fetch {name}' gets it where it is still offered"
    given = root if root is not None else Path(os.environ.get("ADAPLER_DATA") or os.devnull)
    for folder in info.folders:
        if (given / folder).is_dir():
            return info, "release", given / folder
    if root is not None:
        raise MissingError(
            f"--data-root {root}: {info.title} is not there; expected a folder {' or '.join(info.folders)} "
            f"(name its parent, or {'leave --data-root out for the bundled sample' if info.has_sample else fetch})"
        )
    if info.has_sample:
        return info, "bundled sample", bundled(f"sample/{name}")
    raise MissingError(f"--dataset {name}: its files are not here; give --data-root or set ADAPLER_DATA ({fetch})")


def _own(name: str, root: Path | None) -> tuple[DatasetInfo, str, Path]:
    """A data set of the user's: a folder or a file.

    Its classes are those that occur in train and val, and in test where there is no train, in alphabetical order.
    """
    path = Path(name)
    known = ", ".join(DATASETS)
    if not path.exists():
        raise UsageError(f"--dataset {name}: no such data set or path; choose from {known}, or give a folder or file")
    if root is not None:
        raise UsageError(f"--data-root: is for {known}; leave it out when --dataset is a path")
    if path.is_file() and rows.form_of(path) not in rows.SUFFIXES:
        raise UsageError(f"--dataset {name}: a file must end in {', '.join(rows.SUFFIXES)} (perhaps with .gz)")
    there = {split: file for split in SPLITS if (file := _split_file(path, split)).is_file()}
    learnt = [split for split in there if split != "test" or "train" not in there]
    told = [path] if path.is_file() else [there[split] for split in learnt]
    if not told:
        raise MissingError(f"--dataset {name}: has no train, val or test file (.jsonl, .csv or .tsv)")
    labels, queries = set(), set()
    for examples in (_read(path, file) for file in told):
        labels |= {example.label for example in examples}
        queries |= {example.query for example in examples}
    info = DatasetInfo(
        name=path.resolve().name.removesuffix(rows.PACKED).removesuffix(rows.form_of(path)),
        title=path.resolve().name,
        labels=tuple(sorted(labels)),
        folders=(),
        # A question that is the same everywhere tells a model nothing.
        reads_query=len(queries) > 1,
    )
    return info, "own files", path


def _split_file(folder: Path, split: str) -> Path:
    """The file of ``split``: the first that exists, else ``<split>.jsonl``."""
    return tables.first_file(folder, [f"{split}{suffix}" for suffix in (".jsonl", ".csv", ".tsv")])


def _is_eraser(folder: Path) -> bool:
    return (folder / "docs").is_dir() or (folder / "docs.jsonl").is_file()


def _read(place: Path, file: Path, labels: tuple[str, ...] | None = None) -> list[Example]:
    if _is_eraser(place):
        return read_examples(file, DocumentStore(place), labels)
    return rows.read_table(file)


def load(name: str, split: str, root: Path | None = None) -> Split:
    """One split of a data set, parsed and checked.

    Args:
        name: a known data set; or a folder in ERASER's format; or a folder with ``train``, ``val`` and ``test`` files
            (CSV, TSV or JSONL, perhaps with ``.gz``, with ``text``, ``label`` and perhaps ``text_pair`` and
            ``rationale``); or one such file, which is then the split asked for.
        split: ``train``, ``val`` or ``test``.
        root: where releases are; see :func:`find`.

    Raises:
        UsageError: no such data set or split.
        MissingError: the files are not there, or the labels of the split are not public.
        DataError: a file is broken; see :func:`eraser_eval.jsonl.read_examples`.
    """
    if split not in SPLITS:
        raise UsageError(f"--split {split}: unknown split; choose from {', '.join(SPLITS)}")
    info, source, place = find(name, root)
    if info.tables is not None:
        examples, file, digest = tables.read(info, info.tables, place, split)
        return Split(info, split, source, place, tuple(examples), digest, len(examples), file)
    file = place if place.is_file() else _split_file(place, split)
    examples = _read(place, file, info.labels)
    for example in examples:
        if example.label not in info.labels:
            known = ", ".join(info.labels)
            raise DataError(file, f"{example.id!r}: label {example.label!r} is none of {known}", example.line)
    if info.pairs:
        examples = [_paired(example, file) for example in examples]
    if not info.reads_query:
        examples = [replace(example, query="") for example in examples]
    digest = eraser_checksum(file, examples) if _is_eraser(place) else checksum([file])
    return Split(info, split, source, place, tuple(examples), digest, len(examples), file)


def _paired(example: Example, file: Path) -> Example:
    try:
        return replace(example, pair=True)
    except ValueError as error:
        raise DataError(file, f"{example.id!r}: {error}", example.line) from None


def eraser_checksum(file: Path, examples: Sequence[Example]) -> str:
    """The checksum of a split file in ERASER's format and of all that its ``examples`` refer to beside it."""
    people, collected = file.with_name("annotators.jsonl"), file.with_name("docs.jsonl")
    names = sorted({document.docid for example in examples for document in example.documents})
    texts = [collected] if collected.is_file() else [file.parent / "docs" / docid for docid in names]
    return checksum([file, *([people] if people.is_file() else []), *texts])


def from_rows(
    data: Iterable[Mapping[str, Any]], name: str, split: str = "test", columns: rows.Columns | None = None
) -> Split:
    """A split made of rows in memory, e.g. of a Hugging Face data set.

    Args:
        data: mappings with a text, a label and perhaps a second text (``text_pair``), a rationale (0 or 1 for each
            word) and a query.
        name: what outputs call it.
        split: which split it is.
        columns: the names of the columns.

    Raises:
        ValueError: a row is broken, or there is none.
    """
    examples = rows.examples_of(data, columns)
    if not examples:
        raise ValueError(f"{name} has no rows")
    labels = tuple(sorted({example.label for example in examples}))
    info = DatasetInfo(name=name, title=name, labels=labels, folders=(), reads_query=any(e.query for e in examples))
    return Split(
        info, split, "own rows", Path(name), tuple(examples), rows.fingerprint(examples), len(examples), Path(name)
    )


def limited(split: Split, limit: int) -> Split:
    """``split`` with only ``limit`` examples, evenly spaced over the file (releases are sorted by class); all for 0."""
    if not 0 < limit < len(split.examples):
        return split
    return replace(split, examples=tuple(split.examples[i * len(split.examples) // limit] for i in range(limit)))


def bundled(name: str) -> Path:
    """The folder ``data/<name>`` that comes with the package, in a checkout as in an installed wheel.

    Raises:
        MissingError: the installation lacks it.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "data" / name, package.parent / "data" / name):
        if folder.is_dir():
            return folder
    raise MissingError(f"bundled {name} is missing from this installation; install adapler-explain again")
