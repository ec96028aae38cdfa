"""The errors that a user can mend, each with the exit code that the command line gives it."""

from __future__ import annotations

from pathlib import Path


class UserError(Exception):
    """A fault that the user can mend: one line that names the file, line or option, and the mend.

    Attributes:
        exit_code: what the command line exits with: 2 usage, 3 something is missing, 4 bad data.
    """

    exit_code = 2


class UsageError(UserError):
    """An option has a value that cannot be used."""

    exit_code = 2


class MissingError(UserError):
    """Data, a model or a network that the work needs is not there."""

    exit_code = 3


class StorageError(UserError):
    """The disk is full, or what is written is larger than may be."""

    exit_code = 3


def printable(text: str) -> str:
    """``text`` on one line and without control characters, which files may smuggle to a terminal; those are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class DataError(UserError):
    """A file was found but what it says cannot be right.

    Args:
        path: the file.
        message: what is wrong and how to mend it.
        line: line number from 1, where the file has lines.
    """

    exit_code = 4

    def __init__(self, path: Path | str, message: str, line: int | None = None) -> None:
        where = f"{path}:{line}" if line is not None else f"{path}"
        super().__init__(f"{where}: {message}")
