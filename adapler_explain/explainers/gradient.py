"""Explanations by gradients of the target class's logit, summed over the document's windows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from adapler_explain import saliency as pieces
from adapler_explain.explainers.request import PieceScores, Request
from adapler_explain.windows import chunks

STEPS = 50
Inputs = dict[str, Tensor]


def saliency(request: Request) -> list[PieceScores]:
    """The L2 norm of the gradient with respect to each piece's embedding.

    Source: Simonyan et al. 2014; the norm over the embedding as in Li et al. 2016.
    """
    return _explain(request, lambda *asked: pieces.embedding_gradients(*asked)[1].norm(dim=-1))


def input_x_gradient(request: Request) -> list[PieceScores]:
    """The L2 norm of gradient times embedding, the saliency that AdapLeR is taught with.

    Source: Shrikumar et al. 2016; the norm as in Modarressi et al. 2022, section 3.1.
    """
    return _explain(request, pieces.input_x_gradient)


def integrated_gradients(request: Request) -> list[PieceScores]:
    """Integrated gradients, 50 steps from a text of [PAD] between [CLS] and [SEP]; signed sums over the embedding.

    Source: Sundararajan et al. 2017.
    """

    def integrated(model: Any, inputs: Inputs, target: Tensor) -> Tensor:
        baseline = pieces.blanked(inputs["input_ids"], request.classifier.tokenizer)
        return pieces.integrated_gradients(model, inputs, target, baseline, STEPS)

    return _explain(request, integrated)


def lrp(request: Request) -> list[PieceScores]:
    """Layer-wise relevance propagation; signed sums over the embedding.

    Source: Ali et al. 2022; activations as in Achtibat et al. 2024. See :mod:`adapler_explain.propagation`.
    """
    return _explain(request, pieces.relevance)


def _explain(request: Request, score: Callable[[Any, Inputs, Tensor], Tensor]) -> list[PieceScores]:
    classifier = request.classifier
    scores: list[PieceScores] = []
    for windows in chunks(request.windows, request.batch_size):
        target = torch.full((len(windows),), request.target, device=classifier.device)
        rows = score(classifier.model, classifier.batch(windows), target).double().cpu().numpy()
        scores += [row[: len(window)] for row, window in zip(rows, windows, strict=True)]
    return scores
