"""Writing files whole or not at all, and naming their content by checksum."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from eraser_eval.errors import UsageError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path`` that takes its place when the block ends well, and is removed otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove what a process that was killed while writing left in ``folder``; no other may be writing there.

    Safetensors has temporary files of its own, ``.tmp`` and six letters or digits.
    """
    for leftover in folder.rglob(".*"):
        if leftover.is_file() and re.fullmatch(r"\..+\.\d+\.tmp|\.tmp[A-Za-z0-9]{6}", leftover.name):
            leftover.unlink()


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Within the block, no other process of this program works in ``folder``.

    Raises:
        UsageError: one does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise UsageError(
            f"--output-dir {folder}: another run works there; wait for it or give another folder"
        ) from None
    try:
        yield
    finally:
        lock.release()
        (folder / ".lock").unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` in UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    """Write ``value`` to ``path`` as indented JSON, whole or not at all; NaN is refused (ValueError)."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checksum(paths: Iterable[Path | bytes]) -> str:
    """The SHA-256 over the content of ``paths`` in the given order, as ``sha256:`` and 16 hexadecimal digits.

    Bytes among them stand for a file with that content.
    """
    digest = hashlib.sha256()
    for path in paths:
        with io.BytesIO(path) if isinstance(path, bytes) else path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return f"sha256:{digest.hexdigest()[:16]}"
