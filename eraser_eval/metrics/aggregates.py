"""From the means of statistics over examples to a metric: the second of a metric's two functions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Means = tuple[NDArray[np.float64], ...]


def first(means: Means) -> NDArray[np.float64]:
    """The mean itself: the aggregate of a metric that is a mean over examples."""
    return means[0]


def ratio(means: Means) -> NDArray[np.float64]:
    """The ratio of two means, which is that of the sums: pooled over examples; NaN where the second is 0.

    >>> ratio((np.array([2.0]), np.array([8.0]))).tolist()
    [0.25]
    """
    return np.divide(means[0], means[1], out=np.full_like(means[0], np.nan), where=means[1] > 0)


def f1_of_means(means: Means) -> NDArray[np.float64]:
    """The harmonic mean of mean precision and mean recall; 0 where both are 0, NaN where one is undefined.

    >>> f1_of_means((np.array([0.5]), np.array([1.0]))).round(4).tolist()
    [0.6667]
    """
    precision, recall = means
    total = precision + recall
    return np.divide(2 * precision * recall, total, out=np.where(np.isnan(total), np.nan, 0.0), where=total > 0)


def f1_of_counts(means: Means) -> NDArray[np.float64]:
    """F1 of pooled hits, predicted and marked words; NaN where nothing was predicted and nothing marked.

    >>> f1_of_counts((np.array([1.0]), np.array([2.0]), np.array([2.0]))).tolist()
    [0.5]
    """
    hits, predicted, marked = means
    return ratio((2 * hits, predicted + marked))
