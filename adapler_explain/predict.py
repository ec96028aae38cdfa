"""Examples and a method in, predictions in ERASER's format out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapler_explain import flops
from adapler_explain.classifier import Classifier
from adapler_explain.explainers import EXPLAINERS
from adapler_explain.explainers.adapler import alive_in
from adapler_explain.explainers.request import PieceScores, Request
from adapler_explain.windows import Window, word_maxima
from eraser_eval.errors import MissingError
from eraser_eval.rationale import top_words
from eraser_eval.records import Example, Prediction, spans_of

SCORE_DIGITS = 12


@dataclass(frozen=True)
class Explained:
    """The classifiers that are explained and how.

    Attributes:
        adapler: the AdapLeR classifier.
        reference: the classifier that attention and gradients explain; None: ``adapler`` with removal off.
        target: ``predicted`` or ``gold``: the class that is explained.
        layer: the layer (from 0) whose living words are AdapLeR's hard rationale; None: the last.
        seed: of methods that draw.
        batch_size: windows in one pass of attention and gradients.
        data: what is explained, for the prediction files: data set, split and source.
        operating_point: factor of the thresholds wherever pieces are removed.
    """

    adapler: Classifier
    reference: Classifier | None = None
    target: str = "predicted"
    layer: int | None = None
    seed: int = 0
    batch_size: int = 16
    data: str = ""
    operating_point: float = 1.0

    def explained_by(self, method: str) -> tuple[Classifier, str]:
        """The classifier that ``method`` explains and its role: ``pruned``, ``unpruned`` or ``reference``."""
        if EXPLAINERS[method].prunes:
            return self.adapler, "pruned"
        if self.reference is not None:
            return self.reference, "reference"
        return self.adapler, "unpruned"


@dataclass
class Probabilities:
    """Class probabilities of documents, each computed once: the mean over a document's windows."""

    _known: dict[tuple[int, float | None, str], NDArray[np.float64]] = field(default_factory=dict)

    def of(
        self, classifier: Classifier, prunes: bool, example: Example, operating_point: float = 1.0
    ) -> NDArray[np.float64]:
        """Probabilities ``[classes]`` that ``classifier``, with removal or without, gives ``example``."""
        key = (id(classifier), operating_point if prunes else None, example.id)
        if key not in self._known:
            windows = classifier.windows_of(example)
            self._known[key] = mean_probabilities(classifier, windows, prunes, operating_point)
        return self._known[key]


def mean_probabilities(
    classifier: Classifier, windows: Sequence[Window], prunes: bool, operating_point: float = 1.0
) -> NDArray[np.float64]:
    """A document's class probabilities ``[classes]``: the mean over its windows."""
    logits = classifier.logits(windows, prunes, operating_point=operating_point)
    probabilities: NDArray[np.float64] = logits.double().softmax(-1).mean(0).cpu().numpy()
    if not np.isfinite(probabilities).all():
        raise MissingError("the model gives no finite probabilities; its weights are damaged, give another checkpoint")
    return probabilities


def predict(
    example: Example, method: str, explained: Explained, known: Probabilities, budgets: Mapping[str, int]
) -> Prediction:
    """What ``method`` says of ``example``: the class, a score for each word, and the hard rationale.

    Word scores are the largest of a word's pieces. AdapLeR's hard rationale is its living words; every other method's
    is as many of its highest-scoring words.

    Args:
        example: with documents; its gold label is read only when the target is ``gold``.
        method: a key of ``EXPLAINERS``.
        explained: the classifiers.
        known: probabilities computed so far; grows.
        budgets: example id to the number of words that AdapLeR kept; read by every method but ``adapler``.
    """
    explainer = EXPLAINERS[method]
    classifier, role = explained.explained_by(method)
    point = explained.operating_point
    probabilities = known.of(classifier, explainer.prunes, example, point)
    label = classifier.labels[int(probabilities.argmax())]
    wanted = example.label if explained.target == "gold" else label
    started = time.perf_counter()
    windows = classifier.windows_of(example)
    seed = int(np.random.default_rng([explained.seed, *example.id.encode()]).integers(2**32))
    pieces = explainer.explain(
        Request(classifier, windows, classifier.labels.index(wanted), seed, explained.batch_size, point)
    )
    if explainer.relative:
        pieces = [values * len(window) for values, window in zip(pieces, windows, strict=True)]
    scores = word_maxima(pieces, windows, len(example.words))
    seconds = time.perf_counter() - started
    extra: dict[str, Any] = {"explains": role, "target": wanted, "seconds": round(seconds, 6)}
    extra |= {"model": classifier.checksum, "data": explained.data}
    extra |= {"operating_point": point} if explainer.prunes and point != 1 else {}
    if method == "adapler":
        layers = classifier.model.config.num_hidden_layers
        mask = alive_in(scores, layers - 1 if explained.layer is None else explained.layer)
        extra |= efficiency(classifier.model.config, pieces)
        unpruned = known.of(classifier, False, example)
        extra["unpruned_classification"] = classifier.labels[int(unpruned.argmax())]
        extra["unpruned_classification_scores"] = _named(classifier, unpruned)
    else:
        mask = top_words(scores, budgets[example.id])
    bounds = np.cumsum([0] + [len(document.words) for document in example.documents])
    rounded = [float(f"{value:.{SCORE_DIGITS}g}") for value in scores]
    return Prediction(
        id=example.id,
        label=label,
        probabilities=_named(classifier, probabilities),
        scores={
            document.docid: tuple(rounded[a:b])
            for document, a, b in zip(example.documents, bounds[:-1], bounds[1:], strict=True)
        },
        spans=spans_of(mask, example.documents),
        extra=extra,
    )


def efficiency(config: Any, survival: Sequence[PieceScores]) -> dict[str, Any]:
    """``pieces``, ``kept_per_layer``, ``flops_unpruned`` and ``flops_pruned`` of a document.

    Args:
        config: the model's.
        survival: for each window the survival scores of its pieces, see :func:`explainers.adapler.survival`.
    """
    layers: int = config.num_hidden_layers
    kept = [[int(alive_in(values, layer).sum()) for layer in range(layers)] for values in survival]
    return {
        "pieces": sum(len(values) for values in survival),
        "kept_per_layer": np.sum(kept, axis=0).tolist(),
        "flops_unpruned": sum(flops.dense(config, len(values)) for values in survival),
        "flops_pruned": sum(flops.pruned(config, len(v), row) for v, row in zip(survival, kept, strict=True)),
    }


def _named(classifier: Classifier, probabilities: NDArray[np.float64]) -> dict[str, float]:
    return {label: float(value) for label, value in zip(classifier.labels, probabilities, strict=True)}
