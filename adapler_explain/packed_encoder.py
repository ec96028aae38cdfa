"""A stock encoder on packed pieces: padding is accepted at the door and removed at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from adapler_explain import backbones, packed_layer
from adapler_explain.removal import Packed, offsets


def enter(
    model: Any, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
) -> Packed:
    """The pieces of a padded batch with their embeddings.

    Args:
        model: a classifier, see :mod:`adapler_explain.backbones`.
        input_ids: ``[batch, length]``, each row beginning with [CLS], padded on the right.
        attention_mask: ``[batch, length]``, 1 for pieces and 0 for padding; None: no padding.
        token_type_ids: ``[batch, length]``; None: zeros. Not read where the encoder knows no token types.

    Raises:
        ValueError: there is no row, or one begins with padding.
    """
    if not len(input_ids):
        raise ValueError("an empty batch: give at least one text")
    mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
    if not bool(mask[:, 0].all()):
        raise ValueError("a row begins with padding; pad on the right (tokenizer.padding_side = 'right')")
    text, position = mask.nonzero(as_tuple=True)
    ids = input_ids[text, position]
    types = torch.zeros_like(ids) if token_type_ids is None else token_type_ids[text, position]
    lengths = mask.bool().sum(-1)
    return Packed(
        hidden=_embedded(model, ids, types, position),
        text=text,
        position=position,
        lengths=lengths,
        longest=input_ids.shape[1],
        first=offsets(lengths) if lengths.is_cuda else None,
    )


def dense_logits(
    model: Any, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
) -> Tensor:
    """Class logits ``[batch, classes]`` of any supported classifier without removal: the stock model's up to rounding.

    Arguments as in :func:`enter`. Sooner done than by the stock model: padding costs nothing, and the last layer
    computes what the classifier reads.
    """
    return logits_of(model, enter(model, input_ids, attention_mask, token_type_ids))


def logits_of(model: Any, packed: Packed) -> Tensor:
    """Class logits ``[batch, classes]`` of embedded pieces, without removal; differentiable where gradients are on."""
    layers = backbones.layers(model)
    for index, layer in enumerate(layers):
        last = index == len(layers) - 1
        packed = replace(packed, hidden=packed_layer.run(layer, packed, last=last, quantized=is_quantized(model)))
    return backbones.classify(model, packed.hidden)


def is_quantized(model: Any) -> bool:
    """Whether the linear maps of the model's layers run in int8."""
    return getattr(model, "quantized", False)


def _embedded(model: Any, ids: Tensor, types: Tensor, position: Tensor) -> Tensor:
    """Embeddings ``[total, hidden]``, on CPU in blocks of rows as the layers are."""
    if torch.is_grad_enabled() or ids.device.type != "cpu":
        return backbones.embed_packed(model, ids, types, position)
    hidden = torch.empty(len(ids), model.config.hidden_size, dtype=model.dtype, device=ids.device)
    for begin in range(0, len(ids), packed_layer.BLOCK_ROWS):
        block = slice(begin, begin + packed_layer.BLOCK_ROWS)
        hidden[block] = backbones.embed_packed(model, ids[block], types[block], position[block])
    return hidden
