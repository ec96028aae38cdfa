"""Explanations by attention weights."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from adapler_explain import flops
from adapler_explain.explainers.request import PieceScores, Request
from adapler_explain.rollout import attention_x_gradient, attentions, roll


def attention(request: Request) -> list[PieceScores]:
    """Attention of [CLS] to each piece in a layer, by default the last; mean over the heads; sums to 1 in a window."""
    return _explain(request, lambda weights: weights.mean(1), lambda layers: layers[_layer(request)][:, 0])


def attention_max(request: Request) -> list[PieceScores]:
    """The same, the largest over the heads, normalised to sum 1 in a window."""

    def read(layers: list[Tensor]) -> Tensor:
        largest = layers[_layer(request)][:, 0]
        return largest / largest.sum(-1, keepdim=True)

    return _explain(request, lambda weights: weights.amax(1), read)


def rollout(request: Request) -> list[PieceScores]:
    """Attention rollout from [CLS], see :func:`adapler_explain.rollout.roll`; sums to 1 in a window."""
    return _explain(request, lambda weights: weights.mean(1), roll)


def gradient(request: Request) -> list[PieceScores]:
    """Attention to a piece times the target logit's gradient by it, summed over the heads and the queries of a layer.

    By default the last layer, whose one query is [CLS]. Signed.

    Source: Serrano and Smith, "Is Attention Interpretable?", ACL 2019, section 3.
    """
    model = request.classifier.model
    layer = range(model.config.num_hidden_layers)[_layer(request)]
    return request.in_batches(
        lambda batch, targets, _: attention_x_gradient(model, batch, targets, layer),
        backward=1,
        flops_back=lambda pieces: flops.value_gradient(model.config, pieces, layer),
    )


def _layer(request: Request) -> int:
    return -1 if request.layer is None else request.layer


def _explain(
    request: Request, heads: Callable[[Tensor], Tensor], read: Callable[[list[Tensor]], Tensor]
) -> list[PieceScores]:
    model = request.classifier.model
    return request.in_batches(lambda batch, *_: read(attentions(model, batch, heads)))
