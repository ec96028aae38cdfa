"""Attention weights of the packed pass, and how they flow through the layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from adapler_explain import packed_encoder
from adapler_explain.propagation import attention_weights
from adapler_explain.saliency import entered


class Recorder(TorchFunctionMode):
    """Within the block, attention is computed in the open and the mean of its weights over the heads is kept.

    Attributes:
        means: ``[batch, queries, keys]`` of each attention, in the order of computation.
    """

    def __init__(self) -> None:
        super().__init__()
        self.means: list[Tensor] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is F.scaled_dot_product_attention:
            return self._attention(*args, **kwargs or {})
        return func(*args, **kwargs or {})

    @torch.no_grad()
    def _attention(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        scale: float | None = None,
    ) -> Tensor:
        del dropout_p
        weights = attention_weights(query, key, attn_mask, scale)
        self.means.append(weights.mean(1))
        return weights @ value


def mean_attentions(model: nn.Module, inputs: dict[str, Tensor]) -> list[Tensor]:
    """Attention weights of each layer, first to last, mean over the heads: ``[batch, longest, longest]``.

    The last layer's are of [CLS] alone, ``[batch, 1, longest]``: the classifier reads nothing else. Padding gets none.

    Args:
        model: a classifier in ``eval()`` mode; nothing is removed.
        inputs: ``input_ids``, ``attention_mask`` and perhaps ``token_type_ids``, each ``[batch, length]``.
    """
    packed = entered(model, inputs)
    # With gradients on, the packed pass attends by one call a layer.
    recorder = Recorder()
    with torch.enable_grad(), recorder:
        packed_encoder.logits_of(model, packed)
    return recorder.means


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
