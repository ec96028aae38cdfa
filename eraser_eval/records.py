"""The records of ERASER's benchmark: documents, examples with gold evidence, predictions.

All offsets count **words**, the unit of ERASER's annotations: the white-space separated strings of a document.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A run of words of one document, ``start`` included and ``end`` excluded.

    A span may be empty (``start == end``): it marks nothing. ERASER's movies test split holds twenty of them.

    Raises:
        ValueError: the span is reversed or starts before word 0.
    """

    docid: str
    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end:
            raise ValueError(f"span {self.start}:{self.end} is reversed or negative")


@dataclass(frozen=True)
class Document:
    """A document: sentences of words.

    Raises:
        ValueError: there is no word in it.
    """

    docid: str
    sentences: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        if not any(self.sentences):
            raise ValueError(f"document {self.docid!r} has no words")

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The words in reading order; evidence offsets index this."""
        return tuple(word for sentence in self.sentences for word in sentence)


@dataclass(frozen=True)
class Example:
    """One annotation: documents, an optional query, the gold label and the gold evidence.

    Attributes:
        id: ERASER's ``annotation_id``.
        documents: the documents that the annotation is about, in reading order.
        label: gold class.
        evidence: gold evidence groups; each group is a tuple of spans. Empty when people marked nothing.
        query: the question, or ``""``.
        line: where it stands in its file, from 1.

    Raises:
        ValueError: evidence names an unknown document or ends beyond its last word.
    """

    id: str
    documents: tuple[Document, ...]
    label: str
    evidence: tuple[tuple[Span, ...], ...] = ()
    query: str = ""
    line: int | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        lengths = {document.docid: len(document.words) for document in self.documents}
        for span in self.evidence_spans:
            if span.docid not in lengths:
                raise ValueError(f"evidence names document {span.docid!r}, which this annotation does not have")
            if span.end > lengths[span.docid]:
                raise ValueError(
                    f"evidence {span.start}:{span.end} ends beyond the {lengths[span.docid]} words of {span.docid!r}"
                )

    @property
    def evidence_spans(self) -> tuple[Span, ...]:
        """All gold spans, groups flattened."""
        return tuple(span for group in self.evidence for span in group)

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The words of all documents, one after the other: the axis of every mask and score here."""
        return tuple(word for document in self.documents for word in document.words)

    @cached_property
    def gold_mask(self) -> BoolArray:
        """Which words people marked, ``[words]``; all False without evidence."""
        return mask_of(self.evidence_spans, self.documents)


@dataclass(frozen=True)
class Prediction:
    """What a system says of one example, in ERASER's terms.

    Attributes:
        id: the example's ``annotation_id``.
        label: predicted class, or None when the file has none.
        probabilities: class to probability.
        scores: docid to one soft score a word, or empty.
        spans: predicted hard rationale.
        extra: keys beyond ERASER's format, kept as read.

    Raises:
        ValueError: a score is not finite, or the probabilities are negative or do not sum to 1 within 1e-3.
    """

    id: str
    label: str | None = None
    probabilities: Mapping[str, float] = field(default_factory=dict)
    scores: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    spans: tuple[Span, ...] = ()
    extra: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for docid, scores in self.scores.items():
            if not all(math.isfinite(score) for score in scores):
                raise ValueError(f"a soft score of document {docid!r} is not a finite number")
        values = list(self.probabilities.values())
        if values and not (all(0 <= value <= 1 for value in values) and abs(sum(values) - 1) < 1e-3):
            raise ValueError(f"classification_scores {values} are not probabilities that sum to 1")


def mask_of(spans: Iterable[Span], documents: Sequence[Document]) -> BoolArray:
    """The mask of the words in ``spans``, ``[words of all documents]``.

    >>> document = Document("d", (("a", "b", "c"),))
    >>> mask_of([Span("d", 1, 3)], [document]).tolist()
    [False, True, True]
    """
    offsets = dict(zip((d.docid for d in documents), np.cumsum([0] + [len(d.words) for d in documents]), strict=False))
    mask = np.zeros(sum(len(d.words) for d in documents), dtype=bool)
    for span in spans:
        start = offsets[span.docid]
        mask[start + span.start : start + span.end] = True
    return mask


def spans_of(mask: BoolArray, documents: Sequence[Document]) -> tuple[Span, ...]:
    """The runs of marked words as spans, in reading order; a run never crosses from one document to the next.

    >>> document = Document("d", (("a", "b", "c"),))
    >>> spans_of(np.array([True, False, True]), [document])
    (Span(docid='d', start=0, end=1), Span(docid='d', start=2, end=3))
    """
    spans: list[Span] = []
    begin = 0
    for document in documents:
        end = begin + len(document.words)
        edges = np.flatnonzero(np.diff(np.concatenate(([0], mask[begin:end].astype(np.int8), [0]))))
        spans += [Span(document.docid, int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
        begin = end
    return tuple(spans)
