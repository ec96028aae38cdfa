"""The table of explainers. Each is a plain function from a :class:`Request` to scores of pieces or of words.

Adding a method is adding a function in one of the modules here and a row in :data:`EXPLAINERS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from adapler_explain.explainers import adapler, attention, baseline, gradient, perturbation
from adapler_explain.explainers.request import PieceScores, Request, WordScores
from adapler_explain.windows import word_scores
from eraser_eval.errors import UsageError


@dataclass(frozen=True)
class Explainer:
    """A method that scores a document's words, or the pieces of its windows.

    Attributes:
        explain: for the windows of all documents the scores of their pieces, of which those of special pieces are not
            read; or, where ``unit`` is ``word``, for each document the scores of its words.
        title: for tables and plots.
        prunes: whether it explains the model with removal on; else the weights without removal, or another model's.
        unit: ``piece`` or ``word``.
        relative: whether the scores are shares of a window that sum to 1. They are then multiplied by the window's
            number of pieces, so that 1 is an even share in windows of any size. Scores that are not relative stand on
            one scale already: layers survived, or effects on the sum of the windows' logits.
        copies: what a piece of a second text scores where several windows hold it: the ``sum`` of effects, as they are
            those on the sum of the windows' logits; the ``max`` of layers survived; else the ``mean``.
        layered: whether ``name@LAYER`` reads that layer.
        default: whether ``eval`` runs it when no methods are named.
        chooses: whether it has a rationale of its own, the words that score above 0, and not as many as AdapLeR keeps.
        supervised: whether it reads what people marked.
    """

    explain: Callable[[Request], list[PieceScores]]
    title: str
    prunes: bool = False
    unit: str = "piece"
    relative: bool = False
    copies: str = "mean"
    layered: bool = False
    default: bool = False
    chooses: bool = False
    supervised: bool = False

    def word_scores(self, request: Request, pool: str = "max", sign: str = "signed") -> list[WordScores]:
        """The scores of every document's words.

        Args:
            request: the documents.
            pool, sign: how a word's score is made from its pieces', see :func:`windows.word_scores`.
        """
        made = self.explain(request)
        if self.unit == "word":
            return [np.abs(scores) for scores in made] if sign == "absolute" else made
        if self.relative:
            made = [values * len(values) for values in made]
        return [
            word_scores(values, asked.windows, asked.words, pool, sign, asked.example.pair_at, self.copies)
            for asked, values in request.of_each(made)
        ]


EXPLAINERS: dict[str, Explainer] = {
    "adapler": Explainer(adapler.survival, "AdapLeR (kept words)", prunes=True, copies="max", default=True),
    "contribution": Explainer(
        adapler.contribution, "Contribution predictors", prunes=True, relative=True, layered=True, default=True
    ),
    "attention": Explainer(attention.attention, "Attention", relative=True, layered=True, default=True),
    "attention-max": Explainer(attention.attention_max, "Attention, largest head", relative=True, layered=True),
    "attention-rollout": Explainer(attention.rollout, "Attention rollout", relative=True, default=True),
    "attention-x-gradient": Explainer(attention.gradient, "Attention × gradient", copies="sum", layered=True),
    "saliency": Explainer(gradient.saliency, "Saliency", default=True),
    "input-x-gradient": Explainer(gradient.input_x_gradient, "Input × gradient", default=True),
    "saliency-pruned": Explainer(gradient.pruned_saliency, "Saliency, pruned", prunes=True),
    "input-x-gradient-pruned": Explainer(gradient.pruned_input_x_gradient, "Input × gradient, pruned", prunes=True),
    "integrated-gradients": Explainer(gradient.integrated_gradients, "Integrated gradients", copies="sum"),
    "gradient-shap": Explainer(gradient.gradient_shap, "Gradient SHAP", copies="sum"),
    "lrp": Explainer(gradient.lrp, "Layer-wise relevance", copies="sum"),
    "occlusion": Explainer(perturbation.occlusion, "Occlusion", unit="word"),
    "occlusion-span": Explainer(perturbation.occlusion_span, "Occlusion, five words", unit="word"),
    "occlusion-sentence": Explainer(perturbation.occlusion_sentence, "Occlusion, sentences", unit="word"),
    "leave-one-out": Explainer(perturbation.leave_one_out, "Leave one out", unit="word"),
    "lime": Explainer(perturbation.lime, "LIME", unit="word"),
    "kernel-shap": Explainer(perturbation.kernel_shap, "Kernel SHAP", unit="word"),
    "shapley-sampling": Explainer(perturbation.shapley_sampling, "Shapley value sampling", unit="word"),
    "random": Explainer(baseline.random, "Random", unit="word", default=True),
    "random-pruned": Explainer(baseline.random, "Random, pruned", prunes=True, unit="word"),
    "first-words": Explainer(baseline.first_words, "First words", unit="word"),
    "longest-words": Explainer(baseline.longest_words, "Longest words", unit="word"),
    "tf-idf": Explainer(baseline.tf_idf, "TF-IDF", unit="word"),
    "all": Explainer(baseline.every_word, "Every word", unit="word", chooses=True),
    "gold": Explainer(baseline.gold, "What people marked", unit="word", chooses=True, supervised=True),
}


def named(method: str, layers: int | None = None, option: str = "--methods") -> tuple[Explainer, int | None]:
    """The row of ``method`` and the layer that it reads: ``attention@3`` is layer 3 of attention.

    Args:
        method: a key of :data:`EXPLAINERS`, perhaps with a layer.
        layers: of the model; None: not known.
        option: what an error names.

    Raises:
        UsageError: there is no such method, or it reads no layer of that number.
    """
    name, sign, layer = method.partition("@")
    explainer = EXPLAINERS.get(name)
    if explainer is None:
        raise UsageError(f"{option} {method}: unknown; choose from {', '.join(EXPLAINERS)}")
    if not sign:
        return explainer, None
    if not explainer.layered:
        able = ", ".join(name for name, row in EXPLAINERS.items() if row.layered)
        raise UsageError(f"{option} {method}: {name} reads no single layer; those that do are {able}")
    if not layer.isdecimal() or (layers is not None and int(layer) >= layers):
        most = "" if layers is None else f" from 0 to {layers - 1}"
        raise UsageError(f"{option} {method}: give a layer{most}, e.g. {name}@0")
    return explainer, int(layer)


def title_of(method: str) -> str:
    """What tables and plots call ``method``; itself where it is none of ours."""
    try:
        explainer, layer = named(method)
    except UsageError:
        return method
    return explainer.title if layer is None else f"{explainer.title}, layer {layer + 1}"
