"""Explanations by attention weights."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from adapler_explain.explainers.request import PieceScores, Request
from adapler_explain.rollout import mean_attentions, roll
from adapler_explain.windows import chunks


def last_layer(request: Request) -> list[PieceScores]:
    """Attention of [CLS] to each piece in the last layer, mean over the heads; sums to 1 in a window."""
    return _explain(request, lambda means: means[-1][:, 0])


def rollout(request: Request) -> list[PieceScores]:
    """Attention rollout from [CLS], see :func:`adapler_explain.rollout.roll`; sums to 1 in a window."""
    return _explain(request, roll)


def _explain(request: Request, read: Callable[[list[Tensor]], Tensor]) -> list[PieceScores]:
    classifier = request.classifier
    scores: list[PieceScores] = []
    for windows in chunks(request.windows, request.batch_size):
        rows = read(mean_attentions(classifier.model, classifier.batch(windows))).double().cpu().numpy()
        scores += [row[: len(window)] for row, window in zip(rows, windows, strict=True)]
    return scores
