"""Explanations by gradients of the target class's logit, summed over the document's windows."""

from __future__ import annotations

from collections.abc import Callable

import torch
from captum.attr import LayerIntegratedGradients
from torch import Tensor

from adapler_explain import backbones
from adapler_explain.explainers.request import PieceScores, Request
from adapler_explain.saliency import embedding_gradients
from adapler_explain.windows import chunks

STEPS = 50


def saliency(request: Request) -> list[PieceScores]:
    """The L2 norm of the gradient with respect to each piece's embedding.

    Source: Simonyan et al. 2014; the norm over the embedding as in Li et al. 2016.
    """
    return _explain(request, lambda _, gradients: gradients.norm(dim=-1))


def input_x_gradient(request: Request) -> list[PieceScores]:
    """The L2 norm of gradient times embedding, the saliency that AdapLeR is taught with.

    Source: Shrikumar et al. 2016; the norm as in Modarressi et al. 2022, section 3.1.
    """
    return _explain(request, lambda embeddings, gradients: (embeddings * gradients).norm(dim=-1))


def integrated_gradients(request: Request) -> list[PieceScores]:
    """Captum's integrated gradients, 50 steps from a text of [PAD] between [CLS] and [SEP]; signed sums over the
    embedding.

    Source: Sundararajan et al. 2017.
    """
    classifier = request.classifier
    options = classifier.dense_options()

    def logit(input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        output = classifier.model(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids, **options
        )
        chosen: Tensor = output.logits[:, request.target]
        return chosen

    attribution = LayerIntegratedGradients(logit, backbones.embedding_layer(classifier.model))
    tokenizer = classifier.tokenizer
    scores: list[PieceScores] = []
    for windows in chunks(request.windows, request.batch_size):
        inputs = classifier.batch(windows)
        ids = inputs["input_ids"]
        special = (ids == tokenizer.cls_token_id) | (ids == tokenizer.sep_token_id)
        values = attribution.attribute(
            ids,
            baselines=torch.where(special, ids, tokenizer.pad_token_id),
            additional_forward_args=(inputs["attention_mask"], inputs["token_type_ids"]),
            n_steps=STEPS,
            internal_batch_size=max(len(windows), request.batch_size),
        )
        rows = values.sum(-1).detach().double().cpu().numpy()
        scores += [row[: len(window)] for row, window in zip(rows, windows, strict=True)]
    return scores


def _explain(request: Request, read: Callable[[Tensor, Tensor], Tensor]) -> list[PieceScores]:
    classifier = request.classifier
    scores: list[PieceScores] = []
    for windows in chunks(request.windows, request.batch_size):
        target = torch.full((len(windows),), request.target, device=classifier.device)
        pair = embedding_gradients(classifier.model, classifier.batch(windows), target, **classifier.dense_options())
        rows = read(*pair).double().cpu().numpy()
        scores += [row[: len(window)] for row, window in zip(rows, windows, strict=True)]
    return scores
