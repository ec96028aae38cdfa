"""Windows of documents: cutting them, grouping them for the encoder, and the way from their scores back to words."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from eraser_eval.records import BoolArray

# Pieces that fill a pass on a processor; a GPU takes hardly longer with so many times as many.
BATCH_PIECES = 8192
GPU_TIMES = 4
Item = TypeVar("Item", bound=Sized)


@dataclass(frozen=True)
class Window:
    """A stretch of a document as the encoder sees it.

    Attributes:
        input_ids: special pieces included.
        token_type_ids: as the tokenizer gives them: BERT's are 0, and 1 for the second of two texts and what ends it.
        words: for each piece the index of its word in the document, -1 for special pieces and the query's.
        absent: columns of pieces that the encoder does not see, though the others stand where they would with them.
    """

    input_ids: tuple[int, ...]
    token_type_ids: tuple[int, ...]
    words: tuple[int, ...]
    absent: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.input_ids)

    @property
    def seen(self) -> int:
        """How many pieces the encoder sees."""
        return len(self.input_ids) - len(self.absent)


@dataclass(frozen=True)
class Pieces:
    """The pieces of a text and, for each, the index of its word, ascending (-1: of no word)."""

    ids: list[int]
    words: list[int]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, part: slice) -> Pieces:
        return Pieces(self.ids[part], self.words[part])

    def __add__(self, other: Pieces) -> Pieces:
        return Pieces(self.ids + other.ids, self.words + other.words)

    def without(self, erased: BoolArray) -> Pieces:
        """Those whose word is not ``erased`` ``[words]``."""
        left = [(i, w) for i, w in zip(self.ids, self.words, strict=True) if w < 0 or not erased[w]]
        return Pieces([i for i, _ in left], [w for _, w in left])


@dataclass(frozen=True)
class Input:
    """What a model reads, in pieces, before it is cut into windows.

    Attributes:
        asked: the query's.
        first: the text's, or the first text's of a pair.
        second: the second text's; None where there is no pair.
    """

    asked: Pieces
    first: Pieces
    second: Pieces | None = None

    def without(self, erased: BoolArray) -> Input:
        """The same without the pieces of the words ``erased`` ``[words]``; perhaps with none but the query's."""
        second = None if self.second is None else self.second.without(erased)
        return Input(self.asked, self.first.without(erased), second)


@dataclass(frozen=True)
class Frame:
    """The special pieces that a tokenizer puts around a text, or around and between two: ``[CLS] … [SEP] … [SEP]``.

    Attributes:
        parts: in reading order: the number of a text (None for special pieces), the ids of special pieces, and the
            token types of those or of the text.
    """

    parts: tuple[tuple[int | None, tuple[int, ...], tuple[int, ...]], ...]

    @classmethod
    def around(cls, ids: Sequence[int], types: Sequence[int], texts: Sequence[int | None]) -> Frame:
        """The frame of an encoded example, of whose pieces ``texts`` says from which text they come.

        >>> Frame.around([2, 7, 7, 3], [0, 0, 0, 0], [None, 0, 0, None]).parts
        ((None, (2,), (0,)), (0, (), (0,)), (None, (3,), (0,)))
        """
        parts: list[tuple[int | None, tuple[int, ...], tuple[int, ...]]] = []
        for text, run in groupby(zip(texts, ids, types, strict=True), key=lambda piece: piece[0]):
            _, own, kinds = zip(*run, strict=True)
            parts.append((None, own, kinds) if text is None else (text, (), kinds[:1]))
        return cls(tuple(parts))

    def __len__(self) -> int:
        """How many special pieces there are."""
        return sum(len(ids) for _, ids, _ in self.parts)

    def window(self, *texts: Pieces) -> Window:
        """The window of ``texts``, one for each of the frame."""
        input_ids: list[int] = []
        types: list[int] = []
        words: list[int] = []
        for text, ids, kinds in self.parts:
            pieces = Pieces(list(ids), [-1] * len(ids)) if text is None else texts[text]
            input_ids += pieces.ids
            types += kinds if text is None else kinds * len(pieces)
            words += pieces.words
        return Window(tuple(input_ids), tuple(types), tuple(words))


class TextError(ValueError):
    """A text that cannot be cut into windows."""


def cut(owners: Sequence[int], room: int) -> list[tuple[int, int]]:
    """Bounds of windows of nearly equal size over pieces that belong to words ``owners`` (ascending).

    As few windows of at most ``room`` pieces as even cuts, moved back to the beginning of a word, allow. Where words
    are so long that no even cut does, windows are filled one after the other; only a word longer than ``room`` is cut
    itself.

    >>> cut([0, 1, 2, 2, 3], room=3)
    [(0, 2), (2, 5)]
    """
    total = len(owners)
    starts = np.flatnonzero(np.diff(np.asarray(owners), prepend=-1))
    for count in range(math.ceil(total / room), len(starts) + 1):
        ideal = np.round(np.linspace(0, total, count + 1)).astype(int)
        bounds = np.append(starts[np.searchsorted(starts, ideal[:-1], side="right") - 1], total)
        if (np.diff(bounds) == 0).any():
            break
        if (np.diff(bounds) <= room).all():
            return [(int(a), int(b)) for a, b in pairwise(bounds)]
    return _filled([int(start) for start in starts], total, room)


def _filled(starts: Sequence[int], total: int, room: int) -> list[tuple[int, int]]:
    """Bounds of windows that each hold as many whole words as fit, or ``room`` pieces of a word that does not."""
    bounds = [0]
    for end in [*starts[1:], total]:
        if end - bounds[-1] > room:
            last = max((start for start in starts if bounds[-1] < start < end), default=None)
            if last is not None:
                bounds.append(last)
        while end - bounds[-1] > room:
            bounds.append(bounds[-1] + room)
    return list(pairwise([*bounds, total]))


# How a word's score is made from its pieces', and what of a signed score counts.
POOLS = ("max", "sum", "mean")
SIGNS = ("signed", "absolute")
COPIES: dict[str, Callable[..., NDArray[np.float64]]] = {"max": np.max, "sum": np.sum, "mean": np.mean}


def word_scores(
    pieces: Sequence[NDArray[np.float64]],
    windows: Sequence[Window],
    words: int,
    pool: str = "max",
    sign: str = "signed",
    pair_at: int | None = None,
    copies: str = "max",
) -> NDArray[np.float64]:
    """Word scores ``[words]`` from those of their pieces; a word without pieces, which no model reads, gets 0.

    Args:
        pieces: for each window the scores of its pieces, ``[window]``; those of special and query pieces are not read.
        windows: the windows of one document.
        words: the document's number of words.
        pool: ``max``, ``sum`` or ``mean`` of a word's pieces.
        sign: ``signed``, or ``absolute``: of each piece's score what is left without its sign.
        pair_at: of a pair the second text's first word; each window holds that text whole, a copy of every piece.
        copies: ``max``, ``sum`` or ``mean``: what a piece of the second text scores, of its copies' scores.

    >>> window = Window((2, 7, 8, 9, 3), (0,) * 5, (-1, 0, 0, 1, -1))
    >>> scores = [np.array([9.0, 1.0, -3.0, 0.5, 9.0])]
    >>> [word_scores(scores, [window], 2, *how).tolist() for how in (("max",), ("sum",), ("max", "absolute"))]
    [[1.0, 0.5], [-2.0, 0.5], [3.0, 0.5]]
    """
    rows = [np.asarray(window.words) for window in windows]
    scored = list(pieces)
    if pair_at is not None and len(rows) > 1:
        copied = [row >= pair_at for row in rows]
        merged = COPIES[copies]([values[at] for values, at in zip(scored, copied, strict=True)], axis=0)
        scored = [values[~at] for values, at in zip(scored, copied, strict=True)] + [merged]
        rows = [row[~at] for row, at in zip(rows, copied, strict=True)] + [rows[0][copied[0]]]
    owners = np.concatenate(rows)
    values = np.concatenate(scored)[owners >= 0]
    owners = owners[owners >= 0]
    values = np.abs(values) if sign == "absolute" else values
    count = np.bincount(owners, minlength=words)
    if pool == "max":
        scores = np.full(words, -np.inf)
        np.maximum.at(scores, owners, values)
    else:
        scores = np.bincount(owners, weights=values, minlength=words)
        scores = scores / np.maximum(count, 1) if pool == "mean" else scores
    scores[count == 0] = 0.0
    return scores


def chunks(windows: Sequence[Window], size: int) -> Iterator[Sequence[Window]]:
    """``windows`` in runs of at most ``size``."""
    for start in range(0, len(windows), size):
        yield windows[start : start + size]


def by_pieces(items: Iterable[Item], budget: int) -> Iterator[list[Item]]:
    """``items`` in order, in groups of at most ``budget`` pieces together, or of one; an item's length is its pieces.

    Pieces are what costs: pruned batches hold no padding, so that long and short texts need not be sorted apart. What
    stands before an error in ``items`` is not lost: its group comes first.

    >>> list(by_pieces(["aa", "b", "cccc", "d"], budget=3))
    [['aa', 'b'], ['cccc'], ['d']]
    """
    group: list[Item] = []
    pieces = 0
    try:
        for item in items:
            if group and pieces + len(item) > budget:
                yield group
                group, pieces = [], 0
            group.append(item)
            pieces += len(item)
    except Exception:
        if group:
            yield group
        raise
    if group:
        yield group
