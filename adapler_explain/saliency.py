"""Gradient×input saliency of the pieces of a text: what teaches the contribution predictors, and an explainer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from adapler_explain import backbones


def embedding_gradients(
    model: nn.Module, inputs: dict[str, Tensor], target: Tensor, **options: Any
) -> tuple[Tensor, Tensor]:
    """The embeddings h⁰ of a batch and the gradients of each text's target logit with respect to them.

    Args:
        model: a BERT classifier in ``eval()`` mode.
        inputs: ``input_ids``, ``attention_mask`` and perhaps ``token_type_ids``, each ``[batch, length]``.
        target: ``[batch]``, the class whose logit is differentiated.
        **options: further arguments of the forward pass.

    Returns:
        Two tensors ``[batch, length, hidden]``: embeddings (the embedding layer's output), gradients.
    """
    kept: list[Tensor] = []

    def keep(_module: nn.Module, _arguments: tuple[Any, ...], output: Tensor) -> Tensor:
        kept.append(output.detach().requires_grad_())
        return kept[0]

    handle = backbones.embedding_layer(model).register_forward_hook(keep)
    try:
        with torch.enable_grad():
            logits = model(**inputs, **options).logits
            chosen = logits.gather(-1, target[:, None]).sum()
            (gradient,) = torch.autograd.grad(chosen, kept[0])
    finally:
        handle.remove()
    return kept[0].detach(), gradient


def input_x_gradient(model: nn.Module, inputs: dict[str, Tensor], target: Tensor, **options: Any) -> Tensor:
    """Saliency S ``[batch, length]``: ‖∂y/∂h⁰ ⊙ h⁰‖₂ of each piece, 0 on padding; arguments as above.

    Source: Modarressi et al. 2022, section 3.1.
    """
    embeddings, gradients = embedding_gradients(model, inputs, target, **options)
    norms: Tensor = (embeddings * gradients).norm(dim=-1)
    return norms * inputs["attention_mask"]
