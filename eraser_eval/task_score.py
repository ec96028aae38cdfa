"""How well classes are predicted, by the metric of the task. Classes are numbers in the data set's order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score

IntArray = NDArray[np.int64]


def accuracy(gold: IntArray, predicted: IntArray) -> float:
    """The share of documents whose class is right; ``[documents]`` each, at least one.

    >>> accuracy(np.array([0, 1, 1, 1]), np.array([0, 0, 1, 1]))
    0.75
    """
    return float((gold == predicted).mean())


def f1(gold: IntArray, predicted: IntArray, classes: Sequence[int]) -> float:
    """The mean F1 of ``classes``; that of a class is 0 where it is neither there nor predicted.

    >>> f1(np.array([0, 1, 1, 1]), np.array([0, 0, 1, 1]), [1])
    0.8
    """
    return float(f1_score(gold, predicted, labels=classes, average="macro", zero_division=0))


def macro_f1(gold: IntArray, predicted: IntArray) -> float:
    """The mean F1 of the classes that occur in ``gold``.

    >>> round(macro_f1(np.array([0, 1, 1, 1]), np.array([0, 0, 1, 1])), 3)
    0.733
    """
    return f1(gold, predicted, np.unique(gold).tolist())


# What ``DatasetInfo.metric`` names: functions of gold and predicted classes and of how many classes there are. F1 is
# that of the last class, GLUE's figure for MRPC. All are shares; higher is better.
TASK_METRICS: Mapping[str, Callable[[IntArray, IntArray, int], float]] = {
    "accuracy": lambda gold, predicted, _: accuracy(gold, predicted),
    "f1": lambda gold, predicted, count: f1(gold, predicted, [count - 1]),
}


def metric_title(metric: str) -> str:
    """A metric of :data:`TASK_METRICS` as people write it.

    >>> metric_title("f1"), metric_title("accuracy")
    ('F1', 'accuracy')
    """
    return "F1" if metric == "f1" else metric
