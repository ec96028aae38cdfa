"""The files of ``predict``: rows of any form in, JSON lines or CSV out, whole or to be gone on with."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from eraser_eval.datasets.rows import table_dialect
from eraser_eval.errors import DataError, MissingError, UsageError
from eraser_eval.files import checksum, replacing, write_json
from eraser_eval.jsonl import parse_line

FORMATS = ("jsonl", "csv", "tsv", "parquet", "text")
STREAM = "-"


@dataclass(frozen=True)
class BulkConfig:
    """What is read, what predicts, what is written.

    Attributes:
        input: a file whose ending names its form (.jsonl, .csv, .tsv, .parquet, else text, one a line), or ``-``.
        output: a ``.jsonl`` or ``.csv`` file, or ``-``.
        model: AdapLeR checkpoint; None: the bundled one.
        input_format: one of :data:`FORMATS`; None: by the ending, ``text`` for ``-``.
        text, query, id, pair: the columns of the input; ``pair`` is that of the second texts of pairs.
        explain: write the rationale, the words alive at the end, as well.
        operating_point: factor of every threshold η, above 1 fewer pieces are kept; or the name of a stored point.
        dtype: of the weights: float32, bfloat16 or float16; or int8: float32 weights, int8 matrix products.
        device: torch device.
        batch_pieces: pieces in one forward pass.
        skip_bad: report bad rows and go on.
        resume: go on with what is there of the output.
    """

    input: str
    output: str
    model: str | None = None
    input_format: str | None = None
    text: str = "text"
    query: str = "query"
    id: str = "id"
    pair: str = "text_pair"
    explain: bool = False
    operating_point: float | str = 1.0
    dtype: str = "float32"
    device: str = "cpu"
    batch_pieces: int = 8192
    skip_bad: bool = False
    resume: bool = False


def rows_of(config: BulkConfig, where: Path) -> Iterator[tuple[int, Mapping[str, Any] | DataError]]:
    """The rows of the input with their numbers from 1, blank lines included: each, or what is wrong with it."""
    if config.input != STREAM and not where.is_file():
        raise MissingError(f"--input {config.input}: no such file")
    by_ending = where.suffix.removeprefix(".")
    form = config.input_format or (by_ending if config.input != STREAM and by_ending in FORMATS else "text")
    if form == "parquet":
        yield from _parquet_rows(where, config)
        return
    raw: IO[bytes] = sys.stdin.buffer if config.input == STREAM else where.open("rb")
    with raw:
        if form in ("csv", "tsv"):
            yield from _table_rows(raw, "\t" if form == "tsv" else ",", where)
            return
        for number, line in enumerate(raw, 1):
            if form == "jsonl":
                yield number, parse_line(where, number, line)
            else:
                try:
                    yield number, {config.text: line.decode("utf-8").rstrip("\r\n")}
                except UnicodeDecodeError:
                    yield number, DataError(where, "not UTF-8; save it as UTF-8", number)


def _table_rows(raw: IO[bytes], delimiter: str, where: Path) -> Iterator[tuple[int, Mapping[str, Any] | DataError]]:
    csv.field_size_limit(2**31 - 1)
    with io.TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        dialect = table_dialect(delimiter)
        reader = csv.DictReader(file, dialect=dialect)
        try:
            for number, row in enumerate(reader, 1):
                if None in row or None in row.values():
                    yield number, DataError(where, "has another number of cells than the first line", number)
                elif any("\udc80" <= sign <= "\udcff" for cell in row.values() for sign in cell):
                    yield number, DataError(where, "not UTF-8; save it as UTF-8", number)
                else:
                    yield number, row
        except csv.Error as error:
            raise DataError(where, f"not a table that can be read ({error})", reader.line_num) from None


def _parquet_rows(where: Path, config: BulkConfig) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise UsageError("--input: Parquet needs pyarrow; install 'adapler-explain[parquet]'") from None
    if config.input == STREAM:
        raise UsageError("--input -: Parquet cannot be read from a stream; give a file")
    try:
        with parquet.ParquetFile(where) as table:
            number = 0
            for batch in table.iter_batches(batch_size=1024):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except ArrowException as error:
        raise DataError(where, f"not a Parquet file that can be read ({str(error).splitlines()[0]})") from None


@contextmanager
def sink(config: BulkConfig, model_checksum: str, labels: Sequence[str]) -> Iterator[tuple[IO[str], int]]:
    """Where JSON lines go, and the input's last row that is done; the output appears under its name when all is well.

    Until then the lines are in ``.<name>.partial`` beside it, with what was asked in ``.<name>.partial.json``.
    """
    if config.output == STREAM:
        yield sys.stdout, 0
        return
    target = Path(config.output)
    partial, claim = (target.with_name(f".{target.name}.{ending}") for ending in ("partial", "partial.json"))
    asked = {key: value for key, value in asdict(config).items() if key not in ("output", "resume", "batch_pieces")}
    asked |= {"model": model_checksum}
    asked |= {"input_checksum": checksum([Path(config.input)])} if Path(config.input).is_file() else {}
    target.parent.mkdir(parents=True, exist_ok=True)
    with _alone(target):
        done = _done(partial, claim, asked) if config.resume else 0
        if not done:
            partial.write_text("", encoding="utf-8")
            write_json(claim, asked)
        with partial.open("a", encoding="utf-8") as file:
            yield file, done
        if target.suffix == ".csv":
            _write_csv(partial, target, labels, config.explain)
            partial.unlink()
        else:
            partial.replace(target)
        claim.unlink()


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Within the block no other process of this program writes ``target``."""
    lock = FileLock(target.with_name(f".{target.name}.lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise UsageError(f"--output {target}: another run writes it; wait for it or give another file") from None
    try:
        yield
    finally:
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)


def _done(partial: Path, claim: Path, asked: Mapping[str, Any]) -> int:
    """The last row in ``partial``, cut after its last whole line; 0 where nothing was begun."""
    if not partial.is_file() or not claim.is_file():
        return 0
    try:
        begun = json.loads(claim.read_text(encoding="utf-8"))
    except ValueError:
        return 0
    changed = sorted(key for key in {*asked, *begun} if asked.get(key) != begun.get(key))
    if changed:
        raise UsageError(f"--resume: the output was begun with other {', '.join(changed)}; leave --resume out")
    end, row = 0, 0
    with partial.open("rb+") as file:
        for line in file:
            try:
                row = json.loads(line)["row"] if line.endswith(b"\n") else 0
            except (ValueError, KeyError):
                row = 0
            if not row:
                break
            end, last = end + len(line), row
        file.truncate(end)
    return last if end else 0


def _write_csv(lines: Path, target: Path, labels: Sequence[str], explain: bool) -> None:
    header = ["row", "id", "classification", *labels, *(["kept_words"] if explain else [])]
    with (
        replacing(target) as temporary,
        lines.open(encoding="utf-8") as source,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(header)
        for text in source:
            line = json.loads(text)
            kept = [" ".join(line["kept_words"])] if explain else []
            scores = (line["classification_scores"][label] for label in labels)
            writer.writerow([line["row"], line["annotation_id"], line["classification"], *scores, *kept])
