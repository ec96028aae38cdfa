"""Intersection over union of spans, for all pairs of many documents at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Keyed = Sequence[tuple[int, int, int]] | IntArray


def best_overlaps(predicted: Keyed, gold: Keyed) -> tuple[FloatArray, FloatArray]:
    """The best IOU that each predicted span has with a gold span of its document, and the other way round.

    Args:
        predicted, gold: spans as (document's number, start, end), in any order.

    Returns:
        Two arrays in the order of ``predicted`` and of ``gold``: words shared over words covered, 0 without a partner.
        An empty span has IOU 0 with everything.

    >>> best_overlaps([(0, 0, 3), (1, 0, 4)], [(0, 0, 4)])
    (array([0.75, 0.  ]), array([0.75]))
    """
    a, b = (np.array(spans, dtype=np.int64).reshape(-1, 3) for spans in (predicted, gold))
    best_a, best_b = np.zeros(len(a)), np.zeros(len(b))
    if not len(a) or not len(b):
        return best_a, best_b
    by_document = np.argsort(b[:, 0], kind="stable")
    sorted_documents = b[by_document, 0]
    begin = np.searchsorted(sorted_documents, a[:, 0], side="left")
    partners = np.searchsorted(sorted_documents, a[:, 0], side="right") - begin
    left = np.repeat(np.arange(len(a)), partners)
    place = np.arange(len(left)) - np.repeat(np.cumsum(partners) - partners, partners)
    right = by_document[np.repeat(begin, partners) + place]
    shared = np.minimum(a[left, 2], b[right, 2]) - np.maximum(a[left, 1], b[right, 1])
    shared = np.clip(shared, 0, None)
    covered = (a[left, 2] - a[left, 1]) + (b[right, 2] - b[right, 1]) - shared
    iou = np.divide(shared, covered, out=np.zeros(len(left)), where=covered > 0)
    np.maximum.at(best_a, left, iou)
    np.maximum.at(best_b, right, iou)
    return best_a, best_b
