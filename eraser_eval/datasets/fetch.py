"""Fetching a data set: its archive is downloaded and unpacked, and cannot write where it should not."""

from __future__ import annotations

import errno
import gzip
import os
import re
import stat
import tarfile
import zipfile
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO, cast

from filelock import FileLock, Timeout

from eraser_eval.datasets.download import BLOCK, Report, download
from eraser_eval.errors import DataError, MissingError, UsageError, printable
from eraser_eval.files import write_json

MAX_BYTES = 2 << 30
MAX_DEPTH = 32
SLACK = 1 << 16  # bytes of a tar archive between two files
PADDING = 1 << 20  # zero bytes after the last
UNSAFE = re.compile(r"^/|(^|/)\.\.(/|$)|(^|/)[A-Za-z]:|[\x00-\x1f\x7f\\\ud800-\udfff]")
LITTER = re.compile(r"(^|/)(\._[^/]*|__MACOSX|\.DS_Store)(/|$)")
# What writing meets where a name is at fault; the readers of archives raise OSError without a number.
THEIR_FAULT = {None, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ}
NOTE = "fetched.json"
Entry = tuple[str, bool, int, IO[bytes] | None]


class _Bounded:
    """A file for ``tarfile`` that ends at ``limit``, so that no header makes it load more."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.tell, self.seek, self.limit, self.last = file, file.tell, file.seek, SLACK, b""

    def read(self, size: int) -> bytes:
        if not 0 <= size <= self.limit - self.tell():
            raise tarfile.ReadError("too much between two files")
        self.last = self.file.read(size)
        return self.last


def _entries(archive: Path) -> Generator[Entry, None, None]:
    """Name, whether it is a folder, size and, if it is a plain file, content of each entry."""
    with archive.open("rb") as raw:
        magic = raw.read(2)
        raw.seek(0)
        if magic == b"PK":
            yield from _zip_entries(raw)
        else:
            with closing(cast(IO[bytes], gzip.open(raw)) if magic == b"\x1f\x8b" else raw) as file:
                yield from _tar_entries(file)


def _zip_entries(file: IO[bytes]) -> Iterator[Entry]:
    with zipfile.ZipFile(file) as packed:
        for entry in packed.infolist():
            plain = stat.S_IFMT(entry.external_attr >> 16) in (0, stat.S_IFREG) and not entry.is_dir()
            # The other methods of compression unpack a block to any size at once.
            usual = entry.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
            content = packed.open(entry) if plain and usual else None
            yield entry.orig_filename, entry.is_dir(), entry.file_size, content


def _tar_entries(file: IO[bytes]) -> Iterator[Entry]:
    bounded = _Bounded(file)
    with tarfile.open(fileobj=cast(IO[bytes], bounded), mode="r:") as packed:
        while entry := packed.next():
            bounded.limit = entry.offset_data + entry.size + SLACK
            plain = entry.isreg() and not entry.issparse()
            yield entry.name, entry.isdir(), entry.size, packed.extractfile(entry) if plain else None
    # To tarfile damage is an end like any other, and gzip compares its checksum only at the very end.
    if len(bounded.last) < tarfile.BLOCKSIZE or (bounded.last + file.read(PADDING)).strip(b"\0") or file.read(1):
        raise tarfile.ReadError("cut off, damaged or followed by something else")


def _extract(entries: Iterator[Entry], root: Path, left: int, max_files: int) -> None:
    """Write ``entries`` below ``root``; ValueError for one that must not be there."""
    seen: dict[PurePosixPath, bool] = {}
    for name, is_folder, size, content in entries:
        path = PurePosixPath(name)
        if UNSAFE.search(name) or len(path.parts) > MAX_DEPTH or not (is_folder or path.parts):
            raise ValueError(f"the path {name!r} is unsafe")
        if content is None and not is_folder:
            raise ValueError(f"{name!r} is a link, a device or the like")
        if seen.get(path):
            raise ValueError(f"{name!r} is there twice")
        seen |= {parent: seen.get(parent, False) for parent in path.parents} | {path: True}
        if len(seen) > max_files + 1:
            raise ValueError(f"more than the {max_files} files allowed")
        if not 0 <= size <= left:
            raise ValueError("more bytes than allowed")
        if LITTER.search(name):
            left -= size
        elif content is None:
            (root / path).mkdir(parents=True, exist_ok=True)
        else:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            with content, (root / path).open("xb") as file:
                while block := content.read(BLOCK):
                    left -= len(block)
                    if left < 0:
                        raise ValueError("more bytes than allowed")
                    file.write(block)


def _refuse(folder: Path) -> None:
    if folder.exists() or folder.is_symlink():
        raise UsageError(f"{folder}: is there already; use it, or remove it to have it anew")


def unpack(
    archive: Path,
    folder: Path,
    *,
    max_bytes: int,
    max_files: int = 1_000_000,
    note: Mapping[str, str | int] | None = None,
) -> None:
    """Unpack ``archive``, a tar (plain or gzip) or zip by its content, into the new ``folder``, whole or not at all.

    Where one folder at its top holds all, ``folder`` takes the place of that. Modes and owners are not taken over; what
    macOS adds is left out.

    Args:
        archive: a file.
        folder: must not exist.
        max_bytes: of all files together.
        max_files: files and folders together.
        note: written to ``fetched.json`` in ``folder``; errors then name its ``url`` instead of ``archive``.

    Raises:
        UsageError: ``folder`` exists.
        MissingError: ``archive`` does not.
        DataError: damaged, empty, too large, or with links, devices, paths that are unsafe or there twice.
    """
    if not archive.is_file():
        raise MissingError(f"{archive}: no such file; give an archive")
    _refuse(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent) as temporary:
        root = Path(temporary) / "content"
        root.mkdir()
        try:
            with closing(_entries(archive)) as entries:
                _extract(entries, root, max_bytes, max_files)
            if not any(path.is_file() for path in root.rglob("*")):
                raise ValueError("no file in it")
            tops = list(root.iterdir())
            root = tops[0] if len(tops) == 1 and tops[0].is_dir() else root
            if note is not None:
                write_json(root / NOTE, note)
        except Exception as error:
            # Readers of archives raise almost anything when they meet damage.
            if isinstance(error, OSError) and error.errno not in THEIR_FAULT:
                raise
            where = archive if note is None else str(note["url"])
            reason = printable(str(error)) or type(error).__name__
            raise DataError(where, f"cannot be unpacked: {reason}; fetch it again or use another") from error
        _refuse(folder)
        os.rename(root, folder)


def fetch_archive(
    url: str,
    folder: Path,
    *,
    sha256: str | None,
    max_bytes: int = MAX_BYTES,
    report: Report = lambda _done, _total: None,
) -> dict[str, str | int]:
    """What was written to ``fetched.json`` in the new ``folder``, into which the archive at ``url`` is unpacked.

    Those are ``url``, ``sha256`` and ``bytes`` of the archive, ``time`` (UTC, ISO 8601) and ``pinned``: whether the
    checksum was known before. An interrupted download stays in ``<folder>.download``, and the next call goes on there.

    Args:
        url: http or https; see :func:`unpack` for the archives.
        folder: must not exist.
        sha256: what the archive must have; None takes whatever comes.
        max_bytes: of the archive, and of its files together.
        report: see :func:`download`.

    Raises:
        UsageError: ``folder`` exists, or another process is fetching it.
        MissingError: see :func:`download`.
        DataError: see :func:`download` and :func:`unpack`.
    """
    archive = folder.with_name(f"{folder.name}.download") / "archive"
    lock = folder.with_name(f".{folder.name}.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, timeout=0):
            try:
                _refuse(folder)
                found = download(url, archive, sha256=sha256, max_bytes=max_bytes, report=report)
                note: dict[str, str | int] = {"url": url, "sha256": found, "bytes": archive.stat().st_size}
                note |= {"time": datetime.now(UTC).isoformat(timespec="seconds"), "pinned": sha256 is not None}
                unpack(archive, folder, max_bytes=max_bytes, note=note)
            finally:
                archive.unlink(missing_ok=True)
                with suppress(OSError):
                    archive.parent.rmdir()
                # While it is held: whoever waits for it sees that it is gone and makes a new one.
                with suppress(OSError):
                    lock.unlink()
    except Timeout:
        raise UsageError(f"{folder}: another process is fetching it; wait for that") from None
    return note
