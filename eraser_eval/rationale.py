"""From soft word scores to a hard rationale at a budget of words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from eraser_eval.records import BoolArray


def top_words(scores: Sequence[float] | NDArray[np.float64], count: int) -> BoolArray:
    """The mask ``[words]`` of the ``count`` words with the highest scores; of equal ones the earlier.

    >>> top_words([0.1, 0.9, 0.9, 0.2], 1).tolist()
    [False, True, False, False]
    """
    mask = np.zeros(len(scores), dtype=bool)
    mask[np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")[:count]] = True
    return mask
