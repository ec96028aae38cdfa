"""Training as it goes, on stderr: loss terms, thresholds, what each layer keeps; else a line a minute."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

# Of the loss terms shown, how much the newest step counts.
NEWEST = 0.05


class Dashboard:
    """The state of one epoch, used as a context manager.

    Args:
        stage: its name.
        epoch, epochs: which, from 0, of how many.
        steps: steps of the epoch.
        quiet: show nothing.
    """

    def __init__(self, stage: str, epoch: int, epochs: int, steps: int, *, quiet: bool) -> None:
        self.title = f"{stage}, epoch {epoch + 1} of {epochs}"
        self.steps = steps
        self._quiet = quiet
        self._spoke = time.monotonic()
        self._smoothed: dict[str, Any] = {}
        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("steps"),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._bar.add_task(self.title, total=steps)
        self._live = None if quiet or not console.is_terminal else Live(console=console, transient=True)

    def __enter__(self) -> Dashboard:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def show(self, done: int, terms: Mapping[str, Any]) -> None:
        """Show the state after ``done`` steps, the last of which had these loss terms."""
        for name, value in terms.items():
            old = self._smoothed.get(name, value)
            self._smoothed[name] = mixed(old, value, NEWEST)
        if self._live:
            self._bar.update(self._task, completed=done)
            self._live.update(self._rendered())
        elif not self._quiet and time.monotonic() - self._spoke >= 60:
            self._spoke = time.monotonic()
            print(f"{self.title}: {done}/{self.steps} steps, {self.line()}", file=sys.stderr, flush=True)

    def line(self) -> str:
        """The smoothed loss terms as text."""
        return ", ".join(f"{name} {_text(value)}" for name, value in self._smoothed.items())

    def _rendered(self) -> RenderableType:
        table = Table.grid(padding=(0, 2))
        for name, value in self._smoothed.items():
            table.add_row(name, _text(value))
        return Group(self._bar.get_renderable(), table)


def mixed(old: Any, new: Any, share: float) -> Any:
    """``old`` with ``share`` of ``new``, of numbers or lists of numbers.

    >>> mixed([1.0, 2.0], [3.0, 2.0], 0.5)
    [2.0, 2.0]
    """
    if isinstance(new, list):
        return [mixed(a, b, share) for a, b in zip(old, new, strict=True)]
    return old + share * (new - old)


def _text(value: Any) -> str:
    return " ".join(f"{part:.3g}" for part in value) if isinstance(value, list) else f"{value:.4g}"
