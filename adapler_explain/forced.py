"""Passes in which what is removed is decided from outside: frozen decisions, and words erased at a layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from adapler_explain import backbones, packed_encoder, packed_layer, removal
from adapler_explain.removal import Packed


def logits_with(model: Any, packed: Packed, stay: Callable[[int, Packed], Tensor]) -> Tensor:
    """Class logits ``[batch, classes]`` where ``stay`` decides; differentiable where gradients are on.

    Args:
        model: a classifier, AdapLeR's or any that is supported.
        packed: the embedded pieces.
        stay: from the number of a layer and the pieces before it, ``[total]`` which of them it processes; [CLS] does.
    """
    layers = backbones.layers(model)
    for index, layer in enumerate(layers):
        packed = removal.keep(packed, stay(index, packed))
        last = index == len(layers) - 1
        packed = replace(
            packed,
            hidden=packed_layer.run(layer, packed, last=last, quantized=packed_encoder.is_quantized(model)),
        )
    return backbones.classify(model, packed.hidden)


def frozen(alive: Sequence[Tensor]) -> Callable[[int, Packed], Tensor]:
    """The decisions of an earlier pass, whose ``alive`` it is: ``[batch, length]`` for each layer."""
    return lambda layer, packed: alive[layer][packed.text, packed.position]


def logits_without(
    model: Any, inputs: dict[str, Tensor], erased: Tensor, layer: int, operating_point: float | None
) -> Tensor:
    """Class logits ``[batch, classes]`` where the pieces ``erased`` are removed before ``layer``.

    Args:
        model: a classifier.
        inputs: a padded batch.
        erased: ``[batch, length]``; never [CLS].
        layer: from 0.
        operating_point: factor of the thresholds by which AdapLeR removes as well; None: it removes nothing.
    """
    packed = packed_encoder.enter(model, inputs["input_ids"], inputs["attention_mask"], inputs.get("token_type_ids"))

    eta = None if operating_point is None else model.thresholds(operating_point)

    def stay(index: int, before: Packed) -> Tensor:
        kept = before.text >= 0 if eta is None else model.decide(index, before, eta).kept
        return kept & ~erased[before.text, before.position] if index >= layer else kept

    return logits_with(model, packed, stay)
