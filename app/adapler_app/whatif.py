"""A document as the model reads it after a change, on the words of the unchanged one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from adapler_app.reading import IntArray, Reading
from eraser_eval.records import Example

if TYPE_CHECKING:
    from adapler_explain.trace import Trace


def with_words(example: Example, kept: list[int]) -> Example:
    """``example`` with only the words at ``kept``, as one document (of a pair, one for each text that has some left),
    without people's marks.

    Args:
        example: with all words.
        kept: ascending places, at least one.
    """
    second = len(example.documents[0]) if example.pair else len(example.words)
    texts = ([place for place in kept if place < second], [place for place in kept if place >= second])
    documents = tuple(
        replace(document, sentences=(tuple(example.words[place] for place in places),))
        for document, places in zip(example.documents, texts, strict=False)
        if places
    )
    return replace(example, documents=documents, evidence=(), annotators=(), pair=len(documents) > 1)


def changed(example: Example, trace: Trace, present: IntArray, label: str) -> Reading:
    """The reading of ``example`` by a trace of the words at ``present`` alone; the others fell before layer 1.

    Args:
        example: with all words.
        trace: of the words at ``present``.
        present: ``[words of the trace]``, ascending places in ``example``.
        label: the class predicted now.
    """
    layers, words = len(trace.kept_per_layer), len(example.words)
    fell = np.zeros(words, dtype=np.int64)
    window = np.zeros(words, dtype=np.int64)
    contribution = np.zeros((layers, words))
    fell[present], window[present], contribution[:, present] = trace.fell, trace.window, trace.contribution
    kept = np.zeros(words, dtype=bool)
    kept[present] = trace.fell >= layers
    whole = replace(trace, fell=fell, window=window, contribution=contribution)
    return Reading(example, label, None, layers, fell, kept, {}, trace.speedup, None, None, whole)


def nothing_left(example: Example, layers: int) -> Reading:
    """The reading of ``example`` with every word switched off, of which a model says nothing."""
    words = len(example.words)
    return Reading(example, "", None, layers, np.zeros(words, np.int64), np.zeros(words, bool), {}, None, None, None)
