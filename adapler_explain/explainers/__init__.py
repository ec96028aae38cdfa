"""The table of explainers. Each is a plain function from a :class:`Request` to one score a piece.

Adding a method is adding a function in one of the modules here and a row in :data:`EXPLAINERS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from adapler_explain.explainers import adapler, attention, baseline, gradient
from adapler_explain.explainers.request import PieceScores, Request


@dataclass(frozen=True)
class Explainer:
    """A method that scores the pieces of a document's windows.

    Attributes:
        explain: scores of every window's pieces; those of special pieces are not read.
        prunes: whether it explains the model with removal on; else the weights without removal, or another model's.
        relative: whether the scores are shares of a window that sum to 1. They are then multiplied by the window's
            number of pieces, so that 1 is an even share in windows of any size. Scores that are not relative stand on
            one scale already: layers survived, or gradients of the sum of the windows' logits.
        title: for tables and plots.
        default: whether ``eval`` runs it when no methods are named.
    """

    explain: Callable[[Request], list[PieceScores]]
    prunes: bool
    relative: bool
    title: str
    default: bool = True


EXPLAINERS: dict[str, Explainer] = {
    "adapler": Explainer(adapler.survival, prunes=True, relative=False, title="AdapLeR (kept words)"),
    "contribution": Explainer(adapler.contribution, prunes=True, relative=True, title="Contribution predictors"),
    "attention": Explainer(attention.last_layer, prunes=False, relative=True, title="Attention"),
    "attention-rollout": Explainer(attention.rollout, prunes=False, relative=True, title="Attention rollout"),
    "saliency": Explainer(gradient.saliency, prunes=False, relative=False, title="Saliency"),
    "input-x-gradient": Explainer(gradient.input_x_gradient, prunes=False, relative=False, title="Input × gradient"),
    "integrated-gradients": Explainer(
        gradient.integrated_gradients, prunes=False, relative=False, title="Integrated gradients", default=False
    ),
    "lrp": Explainer(gradient.lrp, prunes=False, relative=False, title="Layer-wise relevance", default=False),
    "random": Explainer(baseline.random, prunes=False, relative=False, title="Random"),
}
