"""Attention weights of the packed pass, and how they flow through the layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from adapler_explain import packed_encoder
from adapler_explain.propagation import attention_weights
from adapler_explain.saliency import entered


class Recorder(TorchFunctionMode):
    """Within the block, something of each attention is kept, in the order of computation.

    Args:
        heads: what is kept of a layer's weights ``[batch, heads, queries, keys]``, which are then computed in the open
            and without gradient; None: the values are kept, in their graph.

    Attributes:
        kept: that of the weights.
        values: ``[batch, heads, keys, size]``.
    """

    def __init__(self, heads: Callable[[Tensor], Tensor] | None = None) -> None:
        super().__init__()
        self.heads = heads
        self.kept: list[Tensor] = []
        self.values: list[Tensor] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is F.scaled_dot_product_attention:
            if self.heads is not None:
                return self._attention(self.heads, *args, **kwargs or {})
            self.values.append(args[2])
        return func(*args, **kwargs or {})

    @torch.no_grad()
    def _attention(
        self,
        heads: Callable[[Tensor], Tensor],
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        scale: float | None = None,
    ) -> Tensor:
        del dropout_p
        weights = attention_weights(query, key, attn_mask, scale)
        self.kept.append(heads(weights))
        return weights @ value


def attentions(model: nn.Module, inputs: dict[str, Tensor], heads: Callable[[Tensor], Tensor]) -> list[Tensor]:
    """Attention weights of each layer, first to last, as ``heads`` puts them together: ``[batch, longest, longest]``.

    The last layer's are of [CLS] alone, ``[batch, 1, longest]``: the classifier reads nothing else. Padding gets none.

    Args:
        model: a classifier in ``eval()`` mode; nothing is removed.
        inputs: ``input_ids``, ``attention_mask`` and perhaps ``token_type_ids``, each ``[batch, length]``.
        heads: from ``[batch, heads, queries, keys]``, ``[batch, queries, keys]``.
    """
    packed = entered(model, inputs)
    # With gradients on, the packed pass attends by one call a layer.
    recorder = Recorder(heads)
    with torch.enable_grad(), recorder:
        packed_encoder.logits_of(model, packed)
    return recorder.kept


def mean_attentions(model: nn.Module, inputs: dict[str, Tensor]) -> list[Tensor]:
    """:func:`attentions`, mean over the heads."""
    return attentions(model, inputs, lambda weights: weights.mean(1))


def attention_x_gradient(model: nn.Module, inputs: dict[str, Tensor], target: Tensor, layer: int) -> Tensor:
    """Σ A ∂y/∂A ``[batch, longest]`` of each piece as a key, over the heads and queries of ``layer``; 0 on padding.

    What a weight is multiplied by is its key's value, so that the sum is value times the gradient by the value.

    Args:
        model, inputs: as above.
        target: ``[batch]``, the class whose logit y is differentiated.
        layer: from 0, or from the end.
    """
    packed = entered(model, inputs)
    hidden = packed.hidden.detach().requires_grad_()
    recorder = Recorder()
    with torch.enable_grad(), recorder:
        logits = packed_encoder.logits_of(model, replace(packed, hidden=hidden))
        value = recorder.values[layer]
        (gradient,) = torch.autograd.grad(logits.gather(-1, target[:, None]).sum(), value)
    return (value * gradient).sum((1, 3)).detach()


def roll(means: Sequence[Tensor]) -> Tensor:
    """The [CLS] row ``[batch, longest]`` of the attention rollout; sums to 1.

    Half attention, half identity in each layer, multiplied through the layers.

    Args:
        means: from :func:`mean_attentions`.

    Source: Abnar and Zuidema, "Quantifying Attention Flow in Transformers", ACL 2020, section 3.
    """
    row = torch.zeros_like(means[0][:, :1])
    row[..., 0] = 1.0
    for mean in reversed(means):
        row = (row[..., : mean.shape[1]] @ mean + row) / 2
    return row[:, 0]
