"""Examples and predictions as flat arrays: the words of all examples one after the other, so that nothing loops."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eraser_eval.records import BoolArray, Document, Example, Prediction, Span

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Gold:
    """What people marked, flat.

    Attributes:
        examples: the examples, in order.
        lengths: ``[examples]``, words of each, over all its documents.
        mask: ``[words]``, which words are marked.
        spans: ``[spans, 3]``: number of the document (counted over all examples), start, end; none is empty or there
            twice.
        places: for each example, document id to (number of the document, its first word in the example, its words).
        owners: ``[documents]``, the example of each document.
    """

    examples: Sequence[Example]
    lengths: IntArray
    mask: BoolArray
    spans: IntArray
    places: Sequence[Mapping[str, tuple[int, int, int]]]
    owners: IntArray

    @classmethod
    def of(cls, examples: Sequence[Example]) -> Gold:
        """``examples`` flat."""
        places: list[dict[str, tuple[int, int, int]]] = []
        owners: list[int] = []
        for number, example in enumerate(examples):
            row, begin = {}, 0
            for document in example.documents:
                row[document.docid] = (len(owners), begin, len(document))
                begin += len(document)
                owners.append(number)
            places.append(row)
        return cls(
            examples,
            np.array([sum(size for _, _, size in row.values()) for row in places], dtype=np.int64),
            np.concatenate([example.gold_mask for example in examples]),
            _spans((row, example.evidence_spans) for row, example in zip(places, examples, strict=True)),
            places,
            np.array(owners, dtype=np.int64),
        )

    @property
    def starts(self) -> IntArray:
        """``[examples]``, the flat place of each example's first word."""
        return np.concatenate(([0], np.cumsum(self.lengths)[:-1]))

    def total(self, values: NDArray[np.generic]) -> FloatArray:
        """The sum of ``values`` ``[words]`` within each example, ``[examples]``."""
        return np.add.reduceat(values.astype(np.float64), self.starts)

    def thirds(self) -> IntArray:
        """Which third of its example each word is in: 0, 1 or 2; ``[words]``."""
        place = np.arange(len(self.mask)) - np.repeat(self.starts, self.lengths)
        return 3 * place // np.repeat(self.lengths, self.lengths)

    def sentences(self) -> tuple[BoolArray, IntArray]:
        """Which sentences hold a marked word ``[sentences]``, and how many sentences each example has."""
        documents: list[Sequence[Document]] = [example.documents for example in self.examples]
        sizes = [[len(sentence) for document in row for sentence in document.sentences] for row in documents]
        first = np.concatenate(([0], np.cumsum([size for row in sizes for size in row])[:-1]))
        return np.add.reduceat(self.mask.astype(np.int64), first) > 0, np.array([len(row) for row in sizes])


@dataclass(frozen=True)
class Made:
    """What a system predicted for the examples of a :class:`Gold`, flat.

    Attributes:
        has_rationale: ``[examples]``, whether there is a hard rationale; it may be empty.
        chosen: ``[words]``, the words of the hard rationales.
        spans: ``[spans, 3]`` as in :class:`Gold`.
        has_scores: ``[examples]``, whether there are soft scores.
        scores: ``[words]``, 0 where there are none.
    """

    has_rationale: BoolArray
    chosen: BoolArray
    spans: IntArray
    has_scores: BoolArray
    scores: FloatArray

    @classmethod
    def of(cls, gold: Gold, predictions: Sequence[Prediction]) -> Made:
        """``predictions``, one for each example in the same order, flat.

        Raises:
            ValueError: a prediction does not fit its example: scores of another length, of some of its documents only,
                or a span beyond its document.
        """
        chosen, scores = np.zeros(len(gold.mask), dtype=bool), np.zeros(len(gold.mask))
        for prediction, places, start in zip(predictions, gold.places, gold.starts, strict=True):
            try:
                _fill(prediction, places, chosen[start:], scores[start:])
            except ValueError as error:
                raise ValueError(f"{prediction.id!r}: {error}") from None
        return cls(
            np.array([prediction.spans is not None for prediction in predictions]),
            chosen,
            _spans((row, prediction.spans or ()) for row, prediction in zip(gold.places, predictions, strict=True)),
            np.array([bool(prediction.scores) for prediction in predictions]),
            scores,
        )


def runs(gold: Gold, mask: BoolArray) -> IntArray:
    """The runs of marked words as spans ``[spans, 3]``; a run never crosses from one document to the next."""
    sizes = np.array([size for row in gold.places for _, _, size in row.values()])
    first = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    opening, closing = np.zeros(len(mask), dtype=bool), np.zeros(len(mask), dtype=bool)
    opening[first] = True
    closing[first + sizes - 1] = True
    before, after = np.concatenate(([False], mask[:-1])), np.concatenate((mask[1:], [False]))
    starts = np.flatnonzero(mask & (~before | opening))
    ends = np.flatnonzero(mask & (~after | closing)) + 1
    number = np.searchsorted(first, starts, side="right") - 1
    return np.stack([number, starts - first[number], ends - first[number]], axis=1)


def _fill(
    prediction: Prediction, places: Mapping[str, tuple[int, int, int]], chosen: BoolArray, into: FloatArray
) -> None:
    for span in prediction.spans or ():
        _, begin, size = places.get(span.docid, (0, 0, -1))
        if span.end > size:
            raise ValueError(f"rationale {span.start}:{span.end} is not within document {span.docid!r}")
        chosen[begin + span.start : begin + span.end] = True
    for docid, (_, begin, size) in places.items() if prediction.scores else ():
        scores = prediction.scores.get(docid)
        if scores is None:
            raise ValueError(f"no soft_rationale_predictions for document {docid!r}")
        if len(scores) != size:
            raise ValueError(f"{len(scores)} scores for the {size} words of document {docid!r}")
        into[begin : begin + size] = scores


def _spans(rows: Iterable[tuple[Mapping[str, tuple[int, int, int]], Sequence[Span]]]) -> IntArray:
    flat = [
        (places[span.docid][0], span.start, span.end)
        for places, spans in rows
        for span in spans
        if span.start < span.end
    ]
    return np.unique(np.array(flat, dtype=np.int64).reshape(-1, 3), axis=0)
