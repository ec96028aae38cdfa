"""One call: a model, its tokenizer and a text in, a score for each word out; for any supported classifier."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from adapler_explain import packed_layer
from adapler_explain.batches import batches_of
from adapler_explain.classifier import Classifier
from adapler_explain.explainers import named, title_of
from adapler_explain.explainers.baseline import inverse_document_frequency
from adapler_explain.explainers.request import Asked, Cost, Request
from adapler_explain.loading import check_kind
from adapler_explain.predict import mean_of
from adapler_explain.windows import POOLS, SIGNS, TextError, Window
from eraser_eval import escape
from eraser_eval.errors import UsageError
from eraser_eval.records import Document, Example

FOR, AGAINST = (0, 114, 178), (213, 94, 0)


@dataclass(frozen=True, eq=False)
class Explanation:
    """What a method says of a text.

    Attributes:
        method, title: its name, and what tables call it.
        words: the text's, split at white space.
        scores: ``[words]``.
        label: the predicted class.
        target: the class that is explained.
        probabilities: class to probability, the mean over the text's windows.
        seconds: what the explanation took; of several texts together, shared out by operations.
        cost: windows through the model and operations.
        facts: what the method has to say beside, ``completeness_error`` for instance.
    """

    method: str
    title: str
    words: tuple[str, ...]
    scores: NDArray[np.float64]
    label: str
    target: str
    probabilities: Mapping[str, float]
    seconds: float
    cost: Cost
    facts: Mapping[str, Any] = field(default_factory=dict)

    def top(self, count: int) -> list[tuple[str, float]]:
        """The ``count`` words with the highest scores, highest first; of equal ones the earlier."""
        order = np.argsort(-self.scores, kind="stable")[:count]
        return [(self.words[place], float(self.scores[place])) for place in order]

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON can hold it."""
        return asdict(self) | {"words": list(self.words), "scores": self.scores.tolist(), "facts": dict(self.facts)}

    def to_html(self) -> str:
        """The text with its words tinted: blue for the target, orange against it; the score is the word's tip."""
        shown = " ".join(
            f'<span title="{score:.4g}" style="background: rgba({_rgb(score)}, {strength:.3f})">'
            f"{escape.html(word)}</span>"
            for word, score, strength in self._tinted()
        )
        head = f"{self.title}: predicted {self.label} ({self.probabilities[self.label]:.3f}), explained {self.target}"
        return f'<div class="adapler-explanation"><p>{escape.html(head)}</p><p>{shown}</p></div>'

    def to_latex(self) -> str:
        r"""The same for LaTeX: a group of ``\colorbox`` words; needs the package ``xcolor``."""
        shown = "\n".join(
            f"\\colorbox[RGB]{{{_mixed(score, strength)}}}{{\\strut {escape.latex(word)}}}"
            for word, score, strength in self._tinted()
        )
        return f"{{\\setlength{{\\fboxsep}}{{1pt}}\\raggedright\n{shown}\n\\par}}\n"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return self.to_html()

    def _tinted(self) -> Iterator[tuple[str, float, float]]:
        highest = float(np.abs(self.scores).max(initial=0.0)) or 1.0
        for word, score in zip(self.words, self.scores.tolist(), strict=True):
            yield word, score, 0.75 * abs(score) / highest


def _rgb(score: float) -> str:
    return ", ".join(map(str, FOR if score >= 0 else AGAINST))


def _mixed(score: float, strength: float) -> str:
    colour = FOR if score >= 0 else AGAINST
    return ",".join(str(round(255 + strength * (part - 255))) for part in colour)


def explain(
    model: Any,
    tokenizer: Any,
    text: str | Sequence[str],
    method: str = "input-x-gradient",
    *,
    target: str | int | None = None,
    query: str = "",
    pair: str | Sequence[str] | None = None,
    seed: int = 0,
    pool: str = "max",
    sign: str = "signed",
    batch_size: int | str = "auto",
    operating_point: float | str = 1.0,
    window_pieces: int | None = None,
) -> Any:
    """The :class:`Explanation` of ``text`` by ``method``; of several texts a list.

    Several texts go through the model together.

    The whole text is read, in windows where it is longer than the encoder.

    Args:
        model: a transformers sequence classifier (BERT, RoBERTa, DistilBERT, ELECTRA, ModernBERT), AdapLeR or not.
        tokenizer: its fast tokenizer.
        text: one, or several; a line feed ends a sentence, which the method ``occlusion-sentence`` goes by.
        method: a key of ``adapler_explain.explainers.EXPLAINERS``, perhaps with a layer (``attention@3``).
        target: the class to explain, by name or index; None: the predicted one.
        query: goes before every window.
        pair: the second text, or one for each text; its words stand after the first's.
        seed: of methods that draw; a text's draws do not depend on the texts beside it.
        pool, sign: how a word's score is made from its pieces': ``max``, ``sum`` or ``mean``; ``signed``, ``absolute``.
        batch_size: windows in one pass of gradients and attention; ``auto``: as many as fit.
        operating_point: of methods that explain AdapLeR with removal on, see :meth:`Classifier.factor`.
        window_pieces: the longest window; None: the model's.

    Raises:
        UsageError: the method, the target or the model cannot be used, or a text cannot be read.

    The baseline ``tf-idf`` counts over the texts given; ``gold`` needs marks, which texts do not have.
    """
    texts = [text] if isinstance(text, str) else list(text)
    seconds = None if pair is None else [pair] if isinstance(pair, str) else list(pair)
    check_kind(model)
    _check(texts, seconds, pool, sign, seed, window_pieces)
    # Gradients are needed whatever the caller has switched off.
    with torch.inference_mode(False), at_rest(model):
        classifier = Classifier(model, tokenizer, window_pieces or getattr(model.config, "window_pieces", None))
        explainer, layer = named(method, model.config.num_hidden_layers, "method")
        if explainer.supervised:
            raise UsageError(f"method {method}: reads what people marked, and a text has no marks")
        if explainer.prunes and not hasattr(model, "adapler"):
            raise UsageError(f"method {method}: explains AdapLeR's removal, and the model is no AdapLeR checkpoint")
        examples = [
            _example(one, query, None if seconds is None else seconds[number]) for number, one in enumerate(texts)
        ]
        try:
            windows = [classifier.windows_of(example) for example in examples]
        except TextError as error:
            raise UsageError(str(error)) from None
        if operating_point is None:
            raise UsageError("operating_point: give a number above 0, or the name of a stored point")
        if not hasattr(model, "adapler") and operating_point not in ("", 1):
            raise UsageError(f"operating_point {operating_point}: the model is no AdapLeR checkpoint and has none")
        point = classifier.factor(operating_point) if hasattr(model, "adapler") else 1.0
        probabilities = []
        for cut in windows:
            probabilities.append(_probabilities(classifier, cut, explainer.prunes, point))
        asked = [
            Asked(example, cut, _target(classifier, target, row), _seed(seed, example))
            for example, cut, row in zip(examples, windows, probabilities, strict=True)
        ]
        idf = inverse_document_frequency(example.words for example in examples)
        started = time.perf_counter()
        request = Request(classifier, asked, batches_of(batch_size), point, layer, idf)
        scores = explainer.word_scores(request, "max" if method == "adapler" else pool, sign)
        took = time.perf_counter() - started
    made = _explanations(method, classifier, asked, scores, probabilities, took)
    return made[0] if isinstance(text, str) else made


def _probabilities(
    classifier: Classifier, windows: Sequence[Window], prunes: bool, point: float
) -> NDArray[np.float64]:
    """Class probabilities ``[classes]``, the mean over the windows; each class by itself where it has several labels.

    Raises:
        UsageError: the model gives numbers and no classes.
    """
    kind = classifier.model.config.problem_type
    if len(classifier.labels) < 2 or kind == "regression":
        raise UsageError("the model gives numbers and no classes; give a classifier")
    logits = classifier.logits(windows, prunes, operating_point=point)
    return mean_of(logits, exclusive=kind != "multi_label_classification")


def _seed(seed: int, example: Example) -> int:
    """What methods that draw begin with: a text's own, whatever stands beside it."""
    said = sha256("\0".join((example.query, *example.words)).encode()).digest()
    return int(np.random.default_rng([seed, *said]).integers(2**32))


def _check(
    texts: Sequence[str],
    seconds: Sequence[str] | None,
    pool: str,
    sign: str,
    seed: int,
    window_pieces: int | None,
) -> None:
    if not isinstance(seed, Integral) or seed < 0:
        raise UsageError(f"seed {seed}: give a number from 0")
    if window_pieces is not None and (not isinstance(window_pieces, Integral) or window_pieces < 1):
        raise UsageError(f"window_pieces {window_pieces}: give a number of pieces")
    for name, value, choices in (("pool", pool, POOLS), ("sign", sign, SIGNS)):
        if value not in choices:
            raise UsageError(f"{name} {value}: choose from {', '.join(choices)}")
    if seconds is not None and len(seconds) != len(texts):
        raise UsageError(f"pair: {len(seconds)} for {len(texts)} texts; give one for each")


def _explanations(
    method: str,
    classifier: Classifier,
    asked: Sequence[Asked],
    scores: Sequence[NDArray[np.float64]],
    probabilities: Sequence[NDArray[np.float64]],
    took: float,
) -> list[Explanation]:
    """What was found of each text; the seconds ``took`` are shared out by operations."""
    whole = sum(one.cost.flops for one in asked)
    return [
        Explanation(
            method=method,
            title=title_of(method),
            words=one.example.words,
            scores=values,
            label=classifier.labels[int(row.argmax())],
            target=classifier.labels[one.target],
            probabilities=dict(zip(classifier.labels, row.tolist(), strict=True)),
            seconds=took * (one.cost.flops / whole if whole else 1 / len(asked)),
            cost=one.cost,
            facts=one.facts,
        )
        for one, values, row in zip(asked, scores, probabilities, strict=True)
    ]


@contextmanager
def at_rest(model: Any) -> Iterator[None]:
    """Within, ``model`` is in ``eval()`` mode and computes in its own type; afterwards its modules are as they were."""
    training = [module for module in model.modules() if module.training]
    packed_layer.refresh(model)
    model.eval()
    try:
        with torch.autocast(model.device.type, enabled=False):
            yield
    finally:
        for module in training:
            module.training = True


def _example(text: str, query: str, second: str | None) -> Example:
    documents = [text] if second is None else [text, second]
    try:
        made = tuple(
            Document(f"text-{n}", tuple(words for line in one.splitlines() if (words := tuple(line.split()))))
            for n, one in enumerate(documents)
        )
    except ValueError:
        raise UsageError("a text has no words; give one that has") from None
    return Example("text", made, "", query=query, pair=second is not None)


def _target(classifier: Classifier, target: str | int | None, probabilities: NDArray[np.float64]) -> int:
    if target is None:
        return int(probabilities.argmax())
    names = list(classifier.labels)
    if isinstance(target, Integral) and 0 <= int(target) < len(names):
        return int(target)
    if target not in names:
        raise UsageError(f"target {target}: choose from {', '.join(map(str, names))}")
    return names.index(target)
