"""Examples and a method in, predictions in ERASER's format out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from adapler_explain import flops
from adapler_explain.batches import Batches
from adapler_explain.classifier import Classifier
from adapler_explain.explainers import named
from adapler_explain.explainers.adapler import alive_in
from adapler_explain.explainers.request import Asked, PieceScores, Request
from adapler_explain.faithfulness import Erasing, by_label, with_erasures
from adapler_explain.windows import Window, word_scores
from eraser_eval.errors import MissingError
from eraser_eval.rationale import top_words
from eraser_eval.records import BoolArray, Example, Prediction, spans_of

OWN = "adapler"
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
        batches: windows in one pass of attention and gradients.
        data: what is explained, for the prediction files: data set, split and source.
        operating_point: factor of the thresholds wherever pieces are removed.
        pool, sign: how a word's score is made from its pieces', see :func:`windows.word_scores`; AdapLeR's own is the
            largest always, as a word lives while one of its pieces does.
        idf: of the baseline ``tf-idf``.
        erasing: what is erased to see how faithful a rationale is; None: nothing.
    """

    adapler: Classifier
    reference: Classifier | None = None
    target: str = "predicted"
    layer: int | None = None
    seed: int = 0
    batches: Batches = field(default_factory=lambda: Batches(16))
    data: str = ""
    operating_point: float = 1.0
    pool: str = "max"
    sign: str = "signed"
    idf: Mapping[str, float] = field(default_factory=dict)
    erasing: Erasing | None = None

    def explained_by(self, method: str) -> tuple[Classifier, str]:
        """The classifier that ``method`` explains and its role: ``pruned``, ``unpruned`` or ``reference``."""
        if named(method)[0].prunes:
            return self.adapler, "pruned"
        if self.reference is not None:
            return self.reference, "reference"
        return self.adapler, "unpruned"


@dataclass
class Known:
    """Class probabilities of documents, each computed once: the mean over a document's windows.

    Attributes:
        empty: those of documents without words, by classifier, operating point, operator and example.
    """

    empty: dict[tuple[int, float | None, str, str], NDArray[np.float64]] = field(default_factory=dict)
    _known: dict[tuple[int, float | None, str], NDArray[np.float64]] = field(default_factory=dict)

    def of(
        self, classifier: Classifier, prunes: bool, example: Example, operating_point: float = 1.0
    ) -> NDArray[np.float64]:
        """Probabilities ``[classes]`` that ``classifier``, with removal or without, gives ``example``."""
        key = (id(classifier), operating_point if prunes else None, example.id)
        if key not in self._known:
            self.learn(classifier, prunes, [example], operating_point)
        return self._known[key]

    def learn(
        self, classifier: Classifier, prunes: bool, examples: Sequence[Example], operating_point: float = 1.0
    ) -> None:
        """Compute those of ``examples`` that are not known, in packed batches."""
        point = operating_point if prunes else None
        new = [example for example in examples if (id(classifier), point, example.id) not in self._known]
        cut = [classifier.windows_of(example) for example in new]
        if not cut:
            return
        logits = classifier.logits([w for windows in cut for w in windows], prunes, operating_point=operating_point)
        bounds = np.cumsum([0] + [len(windows) for windows in cut])
        for number, example in enumerate(new):
            found = mean_of(logits[bounds[number] : bounds[number + 1]])
            self._known[(id(classifier), point, example.id)] = found


def mean_probabilities(
    classifier: Classifier, windows: Sequence[Window], prunes: bool, operating_point: float = 1.0
) -> NDArray[np.float64]:
    """A document's class probabilities ``[classes]``: the mean over its windows."""
    return mean_of(classifier.logits(windows, prunes, operating_point=operating_point))


def mean_of(logits: Tensor, exclusive: bool = True) -> NDArray[np.float64]:
    """A document's class probabilities ``[classes]`` from the logits ``[windows, classes]`` of its windows.

    Where classes are not ``exclusive``, each has a probability of its own.

    Raises:
        MissingError: they are not finite.
    """
    exact = logits.cpu().double()
    probabilities: NDArray[np.float64] = (exact.softmax(-1) if exclusive else exact.sigmoid()).mean(0).numpy()
    if not np.isfinite(probabilities).all():
        raise MissingError("the model gives no finite probabilities; its weights are damaged, give another checkpoint")
    return probabilities


def predict(
    examples: Sequence[Example], method: str, explained: Explained, known: Known, budgets: Mapping[str, int]
) -> list[Prediction]:
    """What ``method`` says of each of ``examples``: the class, a score for each word, and the hard rationale.

    AdapLeR's hard rationale is its living words; every other method's is as many of its highest-scoring words, the
    earlier of equal ones. They are explained together: seconds are shared out by the operations that each took.

    Args:
        examples: with documents; gold labels are read only when the target is ``gold``.
        method: see :func:`explainers.named`.
        explained: the classifiers.
        known: probabilities computed so far; grows.
        budgets: example id to the number of words that AdapLeR kept; read by every method but ``adapler``.
    """
    classifier, role = explained.explained_by(method)
    explainer, layer = named(method)
    point = explained.operating_point
    known.learn(classifier, explainer.prunes, examples, point)
    made = [known.of(classifier, explainer.prunes, example, point) for example in examples]
    labels = [classifier.labels[int(probabilities.argmax())] for probabilities in made]
    wanted = [e.label if explained.target == "gold" else label for e, label in zip(examples, labels, strict=True)]
    started = time.perf_counter()
    asked = [
        Asked(
            example,
            classifier.windows_of(example),
            classifier.labels.index(target),
            int(np.random.default_rng([explained.seed, *example.id.encode()]).integers(2**32)),
        )
        for example, target in zip(examples, wanted, strict=True)
    ]
    request = Request(classifier, asked, explained.batches, point, layer, explained.idf)
    if method == OWN:
        survival = [parts for _, parts in request.of_each(explainer.explain(request))]
        scores = [word_scores(p, a.windows, a.words) for p, a in zip(survival, asked, strict=True)]
    else:
        scores = explainer.word_scores(request, explained.pool, explained.sign)
    seconds = time.perf_counter() - started
    shares = np.array([one.cost.flops for one in asked], dtype=np.float64) + 1e-9
    predictions = []
    for number, example in enumerate(examples):
        extra: dict[str, Any] = {"explains": role, "target": wanted[number]}
        extra |= {"seconds": round(float(seconds * shares[number] / shares.sum()), 6)}
        extra |= {"cost": asdict(asked[number].cost), **asked[number].facts}
        extra |= {"model": classifier.checksum, "data": explained.data}
        extra |= {"operating_point": point} if explainer.prunes and point != 1 else {}
        if method == OWN:
            extra |= _own_facts(classifier, example, survival[number], known)
        mask = _rationale(method, scores[number], explained, budgets.get(example.id))
        predictions.append(_prediction(example, classifier, labels[number], made[number], scores[number], mask, extra))
    if explained.erasing is None:
        return predictions
    # A rationale of its own is no ranking: its best words are any of it.
    erasing = replace(explained.erasing, fractions=()) if explainer.chooses else explained.erasing
    return with_erasures(predictions, examples, erasing, classifier, explainer.prunes, point, known.empty)


def _rationale(method: str, scores: NDArray[np.float64], explained: Explained, budget: int | None) -> BoolArray:
    if method == OWN:
        layers = explained.adapler.model.config.num_hidden_layers
        return alive_in(scores, layers - 1 if explained.layer is None else explained.layer)
    if named(method)[0].chooses:
        chosen: BoolArray = scores > 0
        return chosen
    assert budget is not None
    return top_words(scores, budget)


def _own_facts(
    classifier: Classifier, example: Example, survival: Sequence[PieceScores], known: Known
) -> dict[str, Any]:
    unpruned = known.of(classifier, False, example)
    return efficiency(classifier.model.config, survival) | {
        "unpruned_classification": classifier.labels[int(unpruned.argmax())],
        "unpruned_classification_scores": by_label(classifier, unpruned),
    }


def _prediction(
    example: Example,
    classifier: Classifier,
    label: str,
    probabilities: NDArray[np.float64],
    scores: NDArray[np.float64],
    mask: BoolArray,
    extra: dict[str, Any],
) -> Prediction:
    bounds = np.cumsum([0] + [len(document.words) for document in example.documents])
    rounded = [float(f"{value:.{SCORE_DIGITS}g}") for value in scores]
    return Prediction(
        id=example.id,
        label=label,
        probabilities=by_label(classifier, probabilities),
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
