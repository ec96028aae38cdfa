"""AdapLeR's own explanations: how long a piece survives, and what its contribution predictors say."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from adapler_explain.explainers.request import PieceScores, Request
from adapler_explain.modeling import PrunedOutput


def survival(request: Request) -> list[PieceScores]:
    """How many layers process each piece, plus a fraction below 1 that breaks ties.

    The fraction is, for a piece that fell, its margin (removal score over threshold) where it fell; for one that lives
    to the end, 1 − 1 / margin before the last layer. A piece is alive in layer ℓ exactly when its score is at least ℓ
    + 1.
    """
    scores: list[PieceScores] = []
    for windows, output in request.pruned():
        scores += [row[: len(window)] for row, window in zip(survival_of(output), windows, strict=True)]
    return scores


def survival_of(output: PrunedOutput) -> NDArray[np.float64]:
    """The survival scores ``[batch, length]`` in the output of a pruned forward pass."""
    assert output.alive is not None and output.margins is not None
    alive = torch.stack(output.alive).cpu()
    layers = alive.sum(0)
    # A threshold of 0 keeps what contributes nothing, too: 0 / 0.
    margins = torch.stack(output.margins).cpu().double().nan_to_num(nan=torch.inf, posinf=torch.inf)
    last = margins.gather(0, layers.clamp(max=len(alive) - 1)[None])[0]
    fraction = torch.where(layers == len(alive), 1 - 1 / last.clamp(min=1.0), last)
    values: NDArray[np.float64] = (layers + fraction.clamp(0.0, 1 - 1e-6)).numpy()
    return values


def alive_in(survival_scores: NDArray[np.float64], layer: int) -> NDArray[np.bool_]:
    """Which words (or pieces) are alive in ``layer`` (from 0), from their scores by :func:`survival`."""
    return survival_scores >= layer + 1


def contribution(request: Request) -> list[PieceScores]:
    """Mean over the layers of the predictors' distributions, or that of one layer; 0 where a piece did not come."""
    scores: list[PieceScores] = []
    for windows, output in request.pruned():
        layers = torch.stack(output.contributions).cpu().double()
        values = (layers.mean(0) if request.layer is None else layers[request.layer]).numpy()
        scores += [row[: len(window)].astype(np.float64) for row, window in zip(values, windows, strict=True)]
    return scores
