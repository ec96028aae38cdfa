"""ERASER's data files: lines of JSON, documents, annotations. Prediction files are in ``prediction_file.py``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from eraser_eval.errors import DataError, MissingError
from eraser_eval.records import Document, Example, Span

Annotators = dict[str, tuple[tuple[Span, ...], ...]]


def scan_lines(path: Path) -> Iterator[tuple[int, dict[str, Any] | DataError]]:
    """The lines of a JSONL file with their numbers from 1: the object, or what is wrong; blank lines are passed over.

    Raises:
        MissingError: there is no such file.
    """
    if not path.is_file():
        raise MissingError(f"{path}: no such file")
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            if raw.strip():
                yield number, parse_line(path, number, raw)


def read_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The JSON objects of a JSONL file with their line numbers from 1; blank lines are passed over.

    Raises:
        MissingError: there is no such file.
        DataError: a line is not UTF-8 or not a JSON object.
    """
    for number, row in scan_lines(path):
        if isinstance(row, DataError):
            raise row
        yield number, row


def parse_line(path: Path, number: int, raw: bytes) -> dict[str, Any] | DataError:
    """The JSON object in line ``number`` of ``path``, or what is wrong with it."""
    try:
        row = json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        return DataError(path, f"not UTF-8 (byte {error.start} of the line); save the file as UTF-8", number)
    except json.JSONDecodeError as error:
        return DataError(path, f"not valid JSON ({error.msg} at column {error.colno}); mend or remove the line", number)
    except RecursionError:
        return DataError(path, "JSON nested too deeply; mend or remove the line", number)
    except ValueError:
        return DataError(path, "not JSON that can be read (a number of thousands of digits); mend the line", number)
    if not isinstance(row, dict):
        return DataError(path, f"expected a JSON object, found {type(row).__name__}", number)
    return row


def document_of(docid: str, lines: list[str]) -> Document:
    """A document from its lines, one sentence a line, as the benchmark's own loader splits it.

    Words are separated by the space character; empty lines and empty words are dropped.

    Raises:
        ValueError: no word is left.
    """
    sentences = (tuple(filter(None, line.strip().split(" "))) for line in lines)
    return Document(docid, tuple(sentence for sentence in sentences if sentence))


class DocumentStore:
    """Documents of a data folder by id, from ``docs/`` (a file each) or ``docs.jsonl``, read when asked for.

    Raises:
        MissingError: the folder has neither.
        DataError: it has both, or ``docs.jsonl`` is broken.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._documents: dict[str, Document] = {}
        self._texts: dict[str, tuple[int, str]] | None = None
        collected = folder / "docs.jsonl"
        if collected.is_file() and (folder / "docs").is_dir():
            raise DataError(folder, "has docs/ and docs.jsonl; remove one, as nothing says which counts")
        if collected.is_file():
            self._texts = {}
            for number, row in read_lines(collected):
                if not isinstance(row.get("docid"), str) or not isinstance(row.get("document"), str):
                    raise DataError(collected, "expected the strings 'docid' and 'document'", number)
                if row["docid"] in self._texts:
                    first = self._texts[row["docid"]][0]
                    raise DataError(collected, f"document {row['docid']!r} stands already in line {first}", number)
                self._texts[row["docid"]] = (number, row["document"])
        elif not (folder / "docs").is_dir():
            raise MissingError(f"{folder}: has neither docs/ nor docs.jsonl; is this a folder in ERASER's format?")

    def get(self, docid: str) -> Document:
        """The document called ``docid``.

        Raises:
            KeyError: there is none.
            DataError: it has no words, or is not UTF-8.
        """
        if docid not in self._documents:
            self._documents[docid] = self._read(docid)
        return self._documents[docid]

    def has(self, docid: str) -> bool:
        """Whether there is a document called ``docid``."""
        if self._texts is not None:
            return docid in self._texts
        return self._path(docid) is not None

    def _path(self, docid: str) -> Path | None:
        """The file of ``docid``; None where there is none, or no file can have that name."""
        path = self.folder / "docs" / docid
        try:
            return path if Path(docid).name == docid and path.is_file() else None
        except (OSError, ValueError):
            return None

    def _read(self, docid: str) -> Document:
        if self._texts is not None:
            number, text = self._texts[docid]
            try:
                return document_of(docid, text.split("\n"))
            except ValueError as error:
                raise DataError(self.folder / "docs.jsonl", f"{error}; remove it or give its text", number) from None
        path = self._path(docid)
        if path is None:
            raise KeyError(docid)
        try:
            return document_of(docid, path.read_text(encoding="utf-8").split("\n"))
        except UnicodeDecodeError as error:
            raise DataError(path, f"not UTF-8 (byte {error.start}); save the file as UTF-8") from None
        except ValueError as error:
            raise DataError(path, f"{error}; remove it or give its text") from None


def scan_examples(
    path: Path, documents: DocumentStore, labels: tuple[str, ...] | None = None
) -> Iterator[tuple[int, Example | DataError]]:
    """The annotations of one split file with their line numbers, in file order: each, or what is wrong with it.

    Beside the split files there may be ``annotators.jsonl``, ours: lines of ``annotation_id`` and ``annotators``, for
    each person a list of spans in the form of an evidence group.

    Args:
        path: ``train.jsonl``, ``val.jsonl`` or ``test.jsonl``.
        documents: where the documents are.
        labels: the classes that are allowed; None allows all.

    Raises:
        MissingError: no such file.
    """
    seen: dict[str, int] = {}
    people = _annotators(path.parent / "annotators.jsonl")
    for number, row in scan_lines(path):
        if isinstance(row, DataError):
            yield number, row
            continue
        try:
            example = _example_of(row, documents, number, people)
        except DataError as error:
            yield number, error
        except KeyError as error:
            message = f"document {error.args[0]!r} is not in {documents.folder}; add it"
            yield number, DataError(path, message, number)
        except ValueError as error:
            yield number, DataError(path, str(error), number)
        else:
            if labels is not None and example.label not in labels:
                yield number, DataError(path, f"label {example.label!r} is not one of {', '.join(labels)}", number)
            elif example.id in seen:
                message = f"annotation_id {example.id!r} stands already in line {seen[example.id]}; remove one"
                yield number, DataError(path, message, number)
            else:
                seen[example.id] = number
                yield number, example


def read_examples(path: Path, documents: DocumentStore, labels: tuple[str, ...] | None = None) -> list[Example]:
    """The annotations of one split file, in file order; arguments as for :func:`scan_examples`.

    Raises:
        MissingError: no such file.
        DataError: with file and line, for broken JSON, a missing key, an unknown label, a missing or empty document,
            evidence that is reversed or beyond its document, an id that stands twice, or a file with no example.
    """
    examples: list[Example] = []
    for _, example in scan_examples(path, documents, labels):
        if isinstance(example, DataError):
            raise example
        examples.append(example)
    if not examples:
        raise DataError(path, "has no annotations")
    return examples


def _example_of(row: Mapping[str, Any], documents: DocumentStore, number: int, people: Annotators) -> Example:
    identifier, label = row.get("annotation_id"), row.get("classification")
    if not isinstance(identifier, str) or not identifier:
        raise ValueError("'annotation_id' must be a string that is not empty")
    if not isinstance(label, str):
        raise ValueError("'classification' must be a string")
    groups = _evidence_of(row.get("evidences"))
    docids = row.get("docids") or _docids_of(identifier, groups, documents)
    if not isinstance(docids, list) or not all(isinstance(docid, str) for docid in docids):
        raise ValueError("'docids' must be a list of strings, or null")
    if len(set(docids)) < len(docids):
        raise ValueError("'docids' names a document twice; name each once")
    query = row.get("query") or ""
    if not isinstance(query, str):
        raise ValueError("'query' must be a string, or null")
    return Example(
        id=identifier,
        documents=tuple(documents.get(docid) for docid in docids),
        label=label,
        evidence=groups,
        query=query,
        annotators=people.get(identifier, ()),
        line=number,
    )


def _docids_of(identifier: str, groups: tuple[tuple[Span, ...], ...], documents: DocumentStore) -> list[str]:
    """The documents of an annotation that does not list them."""
    # e-SNLI: two documents. Evidence is in one of them or in both as the class decides, so that it may not decide.
    pair = [f"{identifier}_premise", f"{identifier}_hypothesis"]
    if all(documents.has(docid) for docid in pair):
        return pair
    marked = sorted({span.docid for group in groups for span in group})
    # MultiRC: many annotations share a document, which the part of their id before the first colon names.
    return marked or [identifier if documents.has(identifier) else identifier.split(":", 1)[0]]


def _annotators(path: Path) -> Annotators:
    """What each person marked, by annotation; nothing where there is no such file."""
    found: Annotators = {}
    for number, row in read_lines(path) if path.is_file() else ():
        marks = row.get("annotators")
        try:
            if not isinstance(row.get("annotation_id"), str) or not isinstance(marks, list):
                raise ValueError(
                    "expected 'annotation_id' and 'annotators', a list with a list of spans for each person"
                )
            groups = [_evidence_of([spans]) for spans in marks]
        except ValueError as error:
            raise DataError(path, str(error), number) from None
        found[row["annotation_id"]] = tuple(group[0] if group else () for group in groups)
    return found


def _evidence_of(groups: Any) -> tuple[tuple[Span, ...], ...]:
    form = "'evidences' must be lists of objects with docid (string), start_token and end_token (whole numbers)"
    if not isinstance(groups, list | None) or not all(isinstance(group, list) for group in groups or []):
        raise ValueError(form)
    evidence = []
    for group in groups or []:
        for item in group:
            values = [
                item.get(key) if isinstance(item, dict) else None for key in ("docid", "start_token", "end_token")
            ]
            if [type(value) for value in values] != [str, int, int]:
                raise ValueError(f"{form}, not {values}")
        if group:
            evidence.append(tuple(Span(item["docid"], item["start_token"], item["end_token"]) for item in group))
    return tuple(evidence)
