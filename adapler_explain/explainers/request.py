"""What an explainer is asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapler_explain.classifier import Classifier
from adapler_explain.windows import Window

PieceScores = NDArray[np.float64]


@dataclass(frozen=True)
class Request:
    """One document to explain.

    Attributes:
        classifier: the model whose prediction is explained.
        windows: the document, cut.
        target: index of the class that is explained.
        seed: of methods that draw; it differs between documents.
        batch_size: windows in one forward pass.
        operating_point: factor of the thresholds, of explainers that prune.
    """

    classifier: Classifier
    windows: Sequence[Window]
    target: int
    seed: int
    batch_size: int = 16
    operating_point: float = 1.0

    def pruned(self) -> Iterator[tuple[list[Window], Any]]:
        """The pruned outputs of the windows, see :meth:`Classifier.pruned`."""
        return self.classifier.pruned(self.windows, operating_point=self.operating_point)
