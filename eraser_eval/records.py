"""The records of ERASER's benchmark: documents, examples with gold evidence, predictions.

All offsets count **words**, the unit of ERASER's annotations: the white-space separated strings of a document.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain

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
        return tuple(chain.from_iterable(self.sentences))

    def __len__(self) -> int:
        """How many words it has."""
        return sum(map(len, self.sentences))


@dataclass(frozen=True)
class Example:
    """One annotation: documents, an optional query, the gold label and the gold evidence.

    Attributes:
        id: ERASER's ``annotation_id``.
        documents: the documents that the annotation is about, in reading order.
        label: gold class.
        evidence: gold evidence groups; each group is a tuple of spans. Empty when people marked nothing.
        query: what a model reads in front of the documents, or ``""``.
        annotators: what each of several people marked, where that is known; each a tuple of spans, perhaps empty.
        line: where it stands in its file, from 1.
        pair: whether its two documents are a pair (premise and hypothesis, say), which a model reads as first and
            second text.

    Raises:
        ValueError: evidence names an unknown document or ends beyond its last word, or a pair is not of two documents.
    """

    id: str
    documents: tuple[Document, ...]
    label: str
    evidence: tuple[tuple[Span, ...], ...] = ()
    query: str = ""
    annotators: tuple[tuple[Span, ...], ...] = ()
    line: int | None = field(default=None, compare=False)
    pair: bool = False

    def __post_init__(self) -> None:
        if self.pair and len(self.documents) != 2:
            raise ValueError(f"a pair must have two documents, not {len(self.documents)}")
        lengths = {document.docid: len(document) for document in self.documents}
        for span in (*self.evidence_spans, *(span for spans in self.annotators for span in spans)):
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

    @property
    def pair_at(self) -> int | None:
        """The index of the second text's first word among ``words``; None where there is no pair."""
        return len(self.documents[0]) if self.pair else None

    @cached_property
    def gold_mask(self) -> BoolArray:
        """Which words people marked, ``[words]``; all False without evidence."""
        return mask_of(self.evidence_spans, self.documents)


@dataclass(frozen=True)
class Erasure:
    """Class probabilities when a share of the words (or sentences) is erased, and when it alone is kept.

    Attributes:
        fraction: the share, ERASER's ``threshold``.
        erased, kept: class to probability.
    """

    fraction: float
    erased: Mapping[str, float]
    kept: Mapping[str, float]

    def __post_init__(self) -> None:
        _check_probabilities(self.erased, f"comprehensiveness_classification_scores at threshold {self.fraction:g}")
        _check_probabilities(self.kept, f"sufficiency_classification_scores at threshold {self.fraction:g}")


@dataclass(frozen=True)
class Prediction:
    """What a system says of one example, in ERASER's terms.

    Attributes:
        id: the example's ``annotation_id``.
        label: predicted class, or None when the file has none.
        probabilities: class to probability.
        scores: docid to one soft score a word, or empty.
        spans: predicted hard rationale, perhaps empty; None when the file has none.
        extra: keys beyond ERASER's format, kept as read.
        sentence_scores: docid to one soft score a sentence, or empty.
        erased: class to probability when the rationale is erased, or empty.
        kept: the same when only the rationale is kept.
        empty: the same for an input without words.
        erasures: the same for shares of the words, in ascending order.
        sentence_erasures: the same for shares of the sentences.

    Raises:
        ValueError: a score is not finite, or probabilities are negative or do not sum to 1 within 1e-3.
    """

    id: str
    label: str | None = None
    probabilities: Mapping[str, float] = field(default_factory=dict)
    scores: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    spans: tuple[Span, ...] | None = ()
    extra: Mapping[str, object] = field(default_factory=dict)
    sentence_scores: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    erased: Mapping[str, float] = field(default_factory=dict)
    kept: Mapping[str, float] = field(default_factory=dict)
    empty: Mapping[str, float] = field(default_factory=dict)
    erasures: tuple[Erasure, ...] = ()
    sentence_erasures: tuple[Erasure, ...] = ()

    def __post_init__(self) -> None:
        for docid, scores in (*self.scores.items(), *self.sentence_scores.items()):
            # A finite sum has finite terms; only an infinite one needs a look at each.
            if not (math.isfinite(sum(scores)) or all(map(math.isfinite, scores))):
                raise ValueError(f"a soft score of document {docid!r} is not a finite number")
        _check_probabilities(self.probabilities, "classification_scores")
        _check_probabilities(self.erased, "comprehensiveness_classification_scores")
        _check_probabilities(self.kept, "sufficiency_classification_scores")
        _check_probabilities(self.empty, "empty_classification_scores")

    @property
    def words_chosen(self) -> int:
        """Words in the hard rationale; 0 without one. Its spans must not overlap."""
        return sum(span.end - span.start for span in self.spans or ())


def _check_probabilities(values: Mapping[str, float], name: str) -> None:
    numbers = list(values.values())
    if numbers and not (all(0 <= number <= 1 for number in numbers) and abs(sum(numbers) - 1) < 1e-3):
        raise ValueError(f"{name} {numbers} are not probabilities that sum to 1")


def mask_of(spans: Iterable[Span], documents: Sequence[Document]) -> BoolArray:
    """The mask of the words in ``spans``, ``[words of all documents]``.

    >>> document = Document("d", (("a", "b", "c"),))
    >>> mask_of([Span("d", 1, 3)], [document]).tolist()
    [False, True, True]
    """
    offsets = dict(zip((d.docid for d in documents), np.cumsum([0] + [len(d) for d in documents]), strict=False))
    mask = np.zeros(sum(map(len, documents)), dtype=bool)
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
        end = begin + len(document)
        edges = np.flatnonzero(np.diff(np.concatenate(([0], mask[begin:end].astype(np.int8), [0]))))
        spans += [Span(document.docid, int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
        begin = end
    return tuple(spans)
