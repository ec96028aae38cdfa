"""A progress bar on stderr with units per second and time left; a line a minute where stderr is no terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as RichProgress


class Progress:
    """A progress bar for a known amount of work, used as a context manager.

    Args:
        title: what is going on.
        total: units of work; None where nobody knows.
        unit: their name, plural.
        done: units that an earlier run has done.
        quiet: show nothing.
    """

    def __init__(self, title: str, total: int | None, unit: str, done: int = 0, *, quiet: bool = False) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.done = done
        self._fresh = 0
        self._started = self._spoke = time.monotonic()
        self._console = Console(stderr=True)
        self._bar = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=quiet or not self._console.is_terminal,
        )
        self._quiet = quiet
        self._task = self._bar.add_task(title, total=total, completed=done, rate="")

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def advance(self, units: int = 1) -> None:
        """Count ``units`` as done."""
        self.done += units
        self._fresh += units
        now = time.monotonic()
        rate = self._fresh / max(now - self._started, 1e-9)
        text = f"{rate:.1f} {self.unit}/s"
        self._bar.update(self._task, advance=units, rate=text)
        if self._bar.disable and not self._quiet and now - self._spoke >= 60:
            self._spoke = now
            left = "" if self.total is None else f", {(self.total - self.done) / rate:.0f} s left"
            count = f"{self.done}" if self.total is None else f"{self.done}/{self.total}"
            print(f"{self.title}: {count}, {text}{left}", file=sys.stderr, flush=True)


@contextmanager
def download_progress(title: str) -> Iterator[Callable[[int, int | None], None]]:
    """A progress bar of a download on stderr, where that is a terminal: call it with the bytes so far and in all."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with RichProgress(
        *columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
