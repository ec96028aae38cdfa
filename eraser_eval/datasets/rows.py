"""Texts with labels and word masks, from CSV, TSV or JSONL files or from a Hugging Face data set, as examples."""

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import io
import json
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from eraser_eval.errors import DataError, MissingError
from eraser_eval.jsonl import document_of, parse_line
from eraser_eval.records import Document, Example, spans_of

SUFFIXES = (".csv", ".tsv", ".jsonl")
PACKED = ".gz"


@dataclass(frozen=True)
class Columns:
    """Which column holds what; all but ``text`` and ``label`` may be absent from the data.

    Attributes:
        text: words separated by white space; a line feed ends a sentence.
        label: the class.
        rationale: 0 or 1 (or false, true) for each word: a list, or a string with signs separated by spaces or commas.
            Of a pair, for the words of both texts.
        query: what a model reads in front of the text.
        id: a name; rows without one are called ``row-<number>``.
        pair: the second text of a pair; its document is called ``<id>/pair``.
    """

    text: str = "text"
    label: str = "label"
    rationale: str = "rationale"
    query: str = "query"
    id: str = "id"
    pair: str = "text_pair"


def scan_table(
    path: Path,
    columns: Sequence[Columns] = (Columns(),),
    labels: tuple[str, ...] | None = None,
    pairs: bool = False,
) -> Iterator[tuple[int, Example | DataError]]:
    """The rows of a table with their line numbers, in file order: each as an example, or what is wrong with it.

    Args:
        path: a ``.csv``, ``.tsv`` or ``.jsonl`` file, perhaps with ``.gz``; any other ending is read as ``.tsv``.
        columns: what the columns may be called; the first that fits the first row counts.
        labels: the classes, which rows give by name or by place, from 0; None: any, by name.
        pairs: whether every row must have a second text.

    Raises:
        MissingError: no such file.
        DataError: the file cannot be read, or none of ``columns`` fits.
    """
    seen: dict[str, int] = {}
    chosen = columns[0] if len(columns) == 1 else None
    for number, row in _rows(path):
        if isinstance(row, DataError):
            yield number, row
            continue
        chosen = chosen or _fitting(columns, row, pairs, path, number)
        try:
            example = example_of(row, number, chosen, labels)
            if pairs and not example.pair:
                raise ValueError(f"needs a second text in column {chosen.pair!r}; its columns are {_names(row)}")
        except ValueError as error:
            yield number, DataError(path, str(error), number)
            continue
        if example.id in seen:
            yield number, DataError(path, f"id {example.id!r} stands already in line {seen[example.id]}", number)
        else:
            seen[example.id] = number
            yield number, example


def read_table(
    path: Path,
    columns: Sequence[Columns] = (Columns(),),
    labels: tuple[str, ...] | None = None,
    pairs: bool = False,
) -> list[Example]:
    """The examples of a table, a row each; arguments as for :func:`scan_table`.

    Raises:
        MissingError: no such file.
        DataError: with file and line, for a row that is broken, or a file with none.
    """
    examples: list[Example] = []
    for _, example in scan_table(path, columns, labels, pairs):
        if isinstance(example, DataError):
            raise example
        examples.append(example)
    if not examples:
        raise DataError(path, "has no rows")
    return examples


def fits(columns: Columns, names: Iterable[str], pairs: bool) -> bool:
    """Whether columns called ``names`` hold what ``columns`` need; of ``pairs``, two texts."""
    return {columns.text, columns.label, *([columns.pair] if pairs else [])} <= set(names)


def _fitting(columns: Sequence[Columns], row: Mapping[str, Any], pairs: bool, path: Path, number: int) -> Columns:
    for choice in columns:
        if fits(choice, row, pairs):
            return choice
    wanted = " or ".join(", ".join([c.text, *([c.pair] if pairs else []), c.label]) for c in columns)
    raise DataError(path, f"needs the columns {wanted}; its columns are {_names(row)}", number)


def _names(row: Mapping[str, Any]) -> str:
    return ", ".join(map(str, row))


def examples_of(rows: Iterable[Mapping[str, Any]], columns: Columns | None = None) -> list[Example]:
    """The examples in ``rows``, e.g. a split of a Hugging Face data set, whose class names are used.

    Raises:
        ValueError: a row is broken; its number, from 1, is named.
    """
    columns = columns or Columns()
    names = getattr((getattr(rows, "features", None) or {}).get(columns.label), "names", None)
    examples: dict[str, Example] = {}
    for number, row in enumerate(rows, 1):
        label = row.get(columns.label)
        named = dict(row) | ({columns.label: names[label]} if names and isinstance(label, int) else {})
        try:
            example = example_of(named, number, columns)
            if example.id in examples:
                raise ValueError(f"id {example.id!r} stands already in row {examples[example.id].line}")
        except ValueError as error:
            raise ValueError(f"row {number}: {error}") from None
        examples[example.id] = example
    return list(examples.values())


def example_of(row: Mapping[str, Any], number: int, columns: Columns, labels: tuple[str, ...] | None = None) -> Example:
    """The example in one row; ``number`` is its line, or its place from 1.

    >>> example_of({"text": "a fine film", "label": "POS", "rationale": [0, 1, 0]}, 1, Columns()).evidence_spans
    (Span(docid='row-1', start=1, end=2),)
    >>> example_of({"text": "a dog", "text_pair": "an animal", "label": 0}, 1, Columns(), ("yes", "no")).label
    'yes'

    Raises:
        ValueError: a column is missing or has the wrong form, the class is not one of ``labels``, or the mask is not as
            long as the text.
    """
    identifier = str(row.get(columns.id) or f"row-{number}")
    documents = documents_of(row, identifier, columns.text, columns.pair)
    label = row.get(columns.label)
    if label is None or label == "" or isinstance(label, list | dict | float):
        raise ValueError(f"needs a class in column {columns.label!r}; its columns are {_names(row)}")
    mask = _mask(row.get(columns.rationale), sum(map(len, documents)), columns.rationale)
    marked = spans_of(np.array(mask), documents) if any(mask) else ()
    return Example(
        identifier,
        documents,
        str(label) if labels is None else _class(str(label), labels),
        tuple((span,) for span in marked),
        str(row.get(columns.query) or ""),
        line=number,
        pair=len(documents) == 2,
    )


def documents_of(row: Mapping[str, Any], identifier: str, text: str, pair: str) -> tuple[Document, ...]:
    """The text in column ``text`` as a document; where column ``pair`` has one, the second text as a second.

    Raises:
        ValueError: a text is missing, no string or without words.
    """
    cells = [(identifier, text), *([(f"{identifier}/pair", pair)] if row.get(pair) is not None else [])]
    documents = []
    for docid, column in cells:
        content = row.get(column)
        if not isinstance(content, str):
            raise ValueError(f"needs a text in column {column!r}; its columns are {_names(row)}")
        documents.append(document_of(docid, [" ".join(line.split()) for line in content.splitlines()]))
    return tuple(documents)


def _class(label: str, labels: tuple[str, ...]) -> str:
    """The class that a file calls ``label``: its name, or its place from 0."""
    if label in labels:
        return label
    if label in map(str, range(len(labels))):
        return labels[int(label)]
    raise ValueError(f"label {label!r} is not one of {', '.join(labels)} (or 0 to {len(labels) - 1})")


def fingerprint(examples: Sequence[Example]) -> str:
    """The SHA-256 over all that ``examples`` hold, as ``sha256:`` and 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for example in examples:
        content = [example.id, example.label, example.query, [d.sentences for d in example.documents]]
        digest.update(json.dumps([*content, example.gold_mask.tolist()]).encode())
    return f"sha256:{digest.hexdigest()[:16]}"


def _mask(value: Any, words: int, column: str) -> list[bool]:
    """The word mask in a cell; nothing is marked where the cell is empty."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return [False] * words
    signs = value
    if isinstance(value, str):
        signs = value.strip().strip("[]").replace(",", " ").split()
    known = {"0": False, "1": True, "false": False, "true": True}
    try:
        mask = [known[str(sign).lower()] for sign in signs]
    except (KeyError, TypeError):
        raise ValueError(f"{column!r} must be 0 or 1 for each word") from None
    if len(mask) != words:
        raise ValueError(f"{column!r} has {len(mask)} signs for the {words} words of the text; give one for each")
    return mask


def table_dialect(delimiter: str) -> type[csv.Dialect]:
    """How tables are written: with commas as RFC 4180 says; with tabs, as GLUE's files, without quoting."""

    class Table(csv.excel):
        strict = True

    class Tabs(csv.excel_tab):
        quoting = csv.QUOTE_NONE
        quotechar = None

    return Tabs if delimiter == "\t" else Table


def form_of(path: Path) -> str:
    """The ending of a table's name, that of a packed one left out: ``.tsv`` for ``train.tsv.gz``."""
    return Path(path.stem).suffix if path.suffix == PACKED else path.suffix


@contextmanager
def _unpacked(path: Path) -> Iterator[IO[bytes]]:
    if not path.is_file():
        raise MissingError(f"{path}: no such file")
    with gzip.open(path) if path.suffix == PACKED else path.open("rb") as file:
        try:
            yield cast(IO[bytes], file)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DataError(path, f"not a gzip file that can be read ({error}); get it again") from None


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any] | DataError]]:
    """The rows of a table with their line numbers: each, or what is wrong with it; blank lines are passed over."""
    with _unpacked(path) as raw:
        if form_of(path) == ".jsonl":
            for number, line in enumerate(raw, 1):
                if line.strip():
                    yield number, parse_line(path, number, line.removeprefix(codecs.BOM_UTF8))
        else:
            yield from _cells(path, raw)


def _cells(path: Path, raw: IO[bytes]) -> Iterator[tuple[int, Mapping[str, Any] | DataError]]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    with io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, dialect=table_dialect("," if form_of(path) == ".csv" else "\t"))
        number = 1
        try:
            for row in reader:
                number = reader.line_num
                if None in row or None in row.values():
                    yield number, DataError(path, "has another number of cells than the first line", number)
                else:
                    yield number, row
        except csv.Error as error:
            raise DataError(path, f"not valid CSV ({error})", reader.line_num) from None
        except UnicodeDecodeError:
            raise DataError(path, "not UTF-8; save the file as UTF-8", number + 1) from None
