"""Texts with labels and word masks, from CSV, TSV or JSONL files or from a Hugging Face data set, as examples."""

from __future__ import annotations

import csv
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eraser_eval.errors import DataError, MissingError
from eraser_eval.jsonl import document_of, scan_lines
from eraser_eval.records import Example, Span

SUFFIXES = (".csv", ".tsv", ".jsonl")


@dataclass(frozen=True)
class Columns:
    """Which column holds what; ``rationale``, ``query`` and ``id`` may be absent from the data.

    Attributes:
        text: words separated by white space; a line feed ends a sentence.
        label: the class.
        rationale: 0 or 1 (or false, true) for each word: a list, or a string with signs separated by spaces or commas.
        query: what a model reads in front of the text.
        id: a name; rows without one are called ``row-<number>``.
    """

    text: str = "text"
    label: str = "label"
    rationale: str = "rationale"
    query: str = "query"
    id: str = "id"


def read_table(path: Path, columns: Columns | None = None) -> list[Example]:
    """The examples of a ``.csv``, ``.tsv`` or ``.jsonl`` file, a row each.

    Raises:
        MissingError: no such file.
        DataError: with file and line, for a row that is broken, or a file with none.
    """
    examples: dict[str, Example] = {}
    for number, row in _rows(path):
        try:
            example = example_of(row, number, columns or Columns())
        except ValueError as error:
            raise DataError(path, str(error), number) from None
        if example.id in examples:
            raise DataError(path, f"id {example.id!r} stands already in line {examples[example.id].line}", number)
        examples[example.id] = example
    if not examples:
        raise DataError(path, "has no rows")
    return list(examples.values())


def examples_of(rows: Iterable[Mapping[str, Any]], columns: Columns | None = None) -> list[Example]:
    """The examples in ``rows``, e.g. a split of a Hugging Face data set, whose class names are used.

    Raises:
        ValueError: a row is broken; its number, from 1, is named.
    """
    columns = columns or Columns()
    names = getattr((getattr(rows, "features", None) or {}).get(columns.label), "names", None)
    examples = []
    for number, row in enumerate(rows, 1):
        label = row.get(columns.label)
        named = dict(row) | ({columns.label: names[label]} if names and isinstance(label, int) else {})
        try:
            examples.append(example_of(named, number, columns))
        except ValueError as error:
            raise ValueError(f"row {number}: {error}") from None
    return examples


def example_of(row: Mapping[str, Any], number: int, columns: Columns) -> Example:
    """The example in one row; ``number`` is its line, or its place from 1.

    >>> example_of({"text": "a fine film", "label": "POS", "rationale": [0, 1, 0]}, 1, Columns()).evidence_spans
    (Span(docid='row-1', start=1, end=2),)

    Raises:
        ValueError: a column is missing or has the wrong form, or the mask is not as long as the text.
    """
    text, label = row.get(columns.text), row.get(columns.label)
    if not isinstance(text, str):
        raise ValueError(f"needs a text in column {columns.text!r}; its columns are {', '.join(map(str, row))}")
    if label is None or label == "" or isinstance(label, list | dict | float):
        raise ValueError(f"needs a class in column {columns.label!r}; its columns are {', '.join(map(str, row))}")
    identifier = str(row.get(columns.id) or f"row-{number}")
    document = document_of(identifier, [" ".join(line.split()) for line in text.splitlines()])
    mask = _mask(row.get(columns.rationale), len(document.words), columns.rationale)
    edges = [
        place for place in range(len(mask) + 1) if (place and mask[place - 1]) != (place < len(mask) and mask[place])
    ]
    spans = [(Span(identifier, a, b),) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    return Example(identifier, (document,), str(label), tuple(spans), str(row.get(columns.query) or ""), line=number)


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


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    if path.suffix == ".jsonl":
        for number, row in scan_lines(path):
            if isinstance(row, DataError):
                raise row
            yield number, row
        return
    if not path.is_file():
        raise MissingError(f"{path}: no such file")
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, dialect=table_dialect("\t" if path.suffix == ".tsv" else ","))
        number = 1
        try:
            for row in reader:
                number = reader.line_num
                if None in row or None in row.values():
                    raise DataError(path, "has another number of cells than the first line", number)
                yield number, row
        except csv.Error as error:
            raise DataError(path, f"not valid CSV ({error})", reader.line_num) from None
        except UnicodeDecodeError:
            raise DataError(path, "not UTF-8; save the file as UTF-8", number + 1) from None
