"""How many windows go through the model together: as many as were asked, or as fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from adapler_explain.windows import GPU_TIMES, Window
from eraser_eval.errors import MissingError, UsageError

Made = TypeVar("Made")
# Pieces of a first pass with gradients: what is cached best on CPU; on a GPU, which takes more, growing begins there.
FIRST_PIECES = 2048
MOST_PIECES = 262_144
CPU = torch.device("cpu")


@dataclass
class Batches:
    """Windows in one pass of attention and gradients.

    Attributes:
        windows: as many in one pass; None: by pieces, as many as fit. On a GPU passes then grow until half of its
            memory is used; where memory runs out they shrink, for good.
        pieces: the budget of a pass where ``windows`` is None, padding not counted; 0: what a first pass takes.
    """

    windows: int | None = None
    pieces: int = 0

    def run(
        self,
        windows: Sequence[Window],
        call: Callable[[list[int]], Sequence[Made]],
        device: torch.device = CPU,
    ) -> list[Made]:
        """What ``call`` makes of each of ``windows``, in their order.

        Args:
            windows: in any order; those that go together are alike in length.
            call: what it makes of the windows at the given places, one for each.
            device: where that is done.

        Raises:
            MissingError: memory runs out on a single window.
        """
        if not self.pieces:
            self.pieces = FIRST_PIECES * (GPU_TIMES if device.type == "cuda" else 1)
        order = sorted(range(len(windows)), key=lambda place: windows[place].seen)
        made: dict[int, Made] = {}
        begin = 0
        while begin < len(order):
            group = self._group(windows, order[begin:])
            try:
                values = call(group)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if len(group) == 1:
                    raise MissingError(
                        "--batch-size: not even one window fits in memory; give another --device or a model with "
                        "shorter windows"
                    ) from None
                self._shrink(windows, group)
                continue
            made |= zip(group, values, strict=True)
            begin += len(group)
            if begin < len(order):
                # It was the budget that ended the pass, and not the windows.
                self._grow(device)
        return [made[place] for place in range(len(windows))]

    def _group(self, windows: Sequence[Window], places: Sequence[int]) -> list[int]:
        if self.windows is not None:
            return list(places[: self.windows])
        group: list[int] = []
        pieces = 0
        for place in places:
            pieces += windows[place].seen
            if group and pieces > self.pieces:
                break
            group.append(place)
        return group

    def _shrink(self, windows: Sequence[Window], group: Sequence[int]) -> None:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if self.windows is not None:
            self.windows = len(group) // 2
        self.pieces = max(1, sum(windows[place].seen for place in group) // 2)

    def _grow(self, device: torch.device) -> None:
        if self.windows is not None or device.type != "cuda" or self.pieces >= MOST_PIECES:
            return
        total = torch.cuda.get_device_properties(device).total_memory
        if torch.cuda.max_memory_reserved(device) * 4 < total:
            self.pieces *= 2


def batches_of(asked: int | str) -> Batches:
    """What ``asked`` means: a number of windows, or ``auto``.

    >>> batches_of("auto").windows is None, batches_of(16).windows
    (True, 16)

    Raises:
        UsageError: it is neither.
    """
    if asked != "auto" and not (str(asked).isdecimal() and int(asked) > 0):
        raise UsageError(f"--batch-size {asked}: give a number of windows above 0, or auto")
    return Batches() if asked == "auto" else Batches(int(asked))


def is_out_of_memory(error: Any) -> bool:
    """Whether ``error`` says that memory ran out, on a GPU or (where PyTorch gives no type of its own) on CPU."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return "not enough memory" in str(error) or "can't allocate memory" in str(error)
