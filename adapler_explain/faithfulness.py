"""What a model says when a rationale is erased, and when it alone is kept, for the prediction files.

The metrics read these files (:mod:`eraser_eval.metrics.faithfulness`), so that scoring needs no model. All inputs of a
batch of documents run in the same packed batches, and an input that occurs twice in a document runs once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from adapler_explain.classifier import Classifier
from adapler_explain.erasure import Erased, Operator, erase, probabilities
from eraser_eval.errors import UsageError
from eraser_eval.rationale import top_words
from eraser_eval.records import BoolArray, Erasure, Example, Prediction, mask_of

FRACTIONS = (0.01, 0.05, 0.1, 0.2, 0.5)


@dataclass(frozen=True)
class Erasing:
    """What is erased, and how.

    Attributes:
        operator: how.
        fractions: shares of a document's words, ascending; of each the highest-scoring ones, rounded up.
    """

    operator: Operator
    fractions: tuple[float, ...] = FRACTIONS


def fractions_of(text: str, option: str = "--fractions") -> tuple[float, ...]:
    """The shares in a list with commas, ascending.

    >>> fractions_of("0.5,0.1")
    (0.1, 0.5)

    Raises:
        UsageError: one is no number above 0 and at most 1.
    """
    try:
        shares = sorted({float(part) for part in text.split(",")})
    except ValueError:
        shares = []
    if not shares or not all(0 < share <= 1 for share in shares):
        raise UsageError(f"{option} {text}: give shares of the words above 0 and at most 1, e.g. 0.1,0.5")
    return tuple(shares)


@dataclass
class Inputs:
    """The changed inputs of one document, each once.

    Attributes:
        classifier, example, operator: whose they are, and how words are erased.
        made: the inputs.
        places: the mask ``[words]`` of the words that are gone, as bytes, to the place of the input among them.
    """

    classifier: Classifier
    example: Example
    operator: Operator
    made: list[Erased] = field(default_factory=list)
    places: dict[bytes, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.pieces = self.classifier.read_example(self.example)
        self.windows = self.classifier.cut(self.pieces)

    def without(self, erased: BoolArray) -> int:
        """The place of the input without the words ``erased``."""
        key = erased.tobytes()
        if key not in self.places:
            self.places[key] = len(self.made)
            self.made.append(erase(self.classifier, self.pieces, self.windows, erased, self.operator))
        return self.places[key]


def with_erasures(
    predictions: Sequence[Prediction],
    examples: Sequence[Example],
    erasing: Erasing,
    classifier: Classifier,
    prune: bool,
    operating_point: float,
    empty: dict[tuple[int, float | None, str, str], NDArray[np.float64]],
) -> list[Prediction]:
    """``predictions`` with the class probabilities of the inputs that the metrics of faithfulness are about.

    Those without the rationale and with it alone; without the share of words that score highest and with them alone;
    and without any word.

    Args:
        predictions: with scores and spans, of ``examples``.
        examples: the documents.
        erasing: what to erase.
        classifier: the model that was explained.
        prune: with removal.
        operating_point: factor of the thresholds.
        empty: probabilities of documents without words that are known; grows.
    """
    jobs: list[Inputs] = []
    wanted: list[tuple[list[int], list[tuple[int, int]], int | None]] = []
    for prediction, example in zip(predictions, examples, strict=True):
        inputs = Inputs(classifier, example, erasing.operator)
        chosen = mask_of(prediction.spans or (), example.documents)
        scores = np.concatenate([prediction.scores[document.docid] for document in example.documents])
        tops = [top_words(scores, math.ceil(round(share * len(scores), 9))) for share in erasing.fractions]
        own = [inputs.without(chosen), inputs.without(~chosen)]
        shares = [(inputs.without(top), inputs.without(~top)) for top in tops]
        known = _key(classifier, prune, operating_point, erasing, example) in empty
        wanted.append((own, shares, None if known else inputs.without(np.ones(len(scores), dtype=bool))))
        jobs.append(inputs)
    found = probabilities(classifier, [i for job in jobs for i in job.made], prune, erasing.operator, operating_point)
    bounds = np.cumsum([0] + [len(job.made) for job in jobs])
    made = []
    for number, (prediction, example) in enumerate(zip(predictions, examples, strict=True)):
        mine = found[bounds[number] : bounds[number + 1]]
        own, shares, nothing = wanted[number]
        key = _key(classifier, prune, operating_point, erasing, example)
        if nothing is not None:
            empty[key] = mine[nothing]
        named = [by_label(classifier, values) for values in mine]
        made.append(
            replace(
                prediction,
                erased=named[own[0]],
                kept=named[own[1]],
                empty=by_label(classifier, empty[key]),
                erasures=tuple(
                    Erasure(fraction, named[a], named[b])
                    for fraction, (a, b) in zip(erasing.fractions, shares, strict=True)
                ),
                extra={**prediction.extra, "erasure": str(erasing.operator)},
            )
        )
    return made


def _key(
    classifier: Classifier, prune: bool, operating_point: float, erasing: Erasing, example: Example
) -> tuple[int, float | None, str, str]:
    return id(classifier), operating_point if prune else None, str(erasing.operator), example.id


def by_label(classifier: Classifier, probabilities: NDArray[np.float64]) -> dict[str, float]:
    """Class to probability, from ``[classes]``."""
    return {label: float(value) for label, value in zip(classifier.labels, probabilities, strict=True)}
