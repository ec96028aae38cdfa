"""What an explainer is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
    """

    classifier: Classifier
    windows: Sequence[Window]
    target: int
    seed: int
    batch_size: int = 16
