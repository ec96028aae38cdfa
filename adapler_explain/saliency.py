"""What the pieces of a text contribute to a class's logit, by gradients with respect to their embeddings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from adapler_explain import packed_encoder
from adapler_explain.propagation import Propagation
from adapler_explain.removal import Packed
from adapler_explain.windows import GPU_TIMES

# Pieces of a pass over several places of a path: what fills it where texts are short.
PATH_PIECES = 2048
LogitsOf = Callable[[nn.Module, Packed], Tensor]
Reads = Callable[[Tensor, Tensor], Tensor]


def embedding_gradients(
    model: nn.Module, inputs: dict[str, Tensor], target: Tensor, logits_of: LogitsOf | None = None
) -> tuple[Tensor, Tensor]:
    """The embeddings h⁰ of a batch and the gradients of each text's target logit with respect to them.

    Args:
        model: a classifier in ``eval()`` mode; nothing is removed.
        inputs: ``input_ids``, ``attention_mask`` and perhaps ``token_type_ids``, each ``[batch, length]``.
        target: ``[batch]``, the class whose logit is differentiated.
        logits_of: makes the logits ``[batch, classes]``; None: without removal.

    Returns:
        Two tensors ``[batch, length, hidden]``, 0 on padding: embeddings (the embedding layer's output), gradients.
    """
    packed = entered(model, inputs)
    return spread(packed.hidden, packed), spread(target_gradients(model, packed, target, logits_of), packed)


def input_x_gradient(model: nn.Module, inputs: dict[str, Tensor], target: Tensor) -> Tensor:
    """Saliency S ``[batch, length]``: ‖∂y/∂h⁰ ⊙ h⁰‖₂ of each piece, 0 on padding; arguments as above.

    Source: Modarressi et al. 2022, section 3.1.
    """
    embeddings, gradients = embedding_gradients(model, inputs, target)
    norms: Tensor = (embeddings * gradients).norm(dim=-1)
    return norms


def integrated_gradients(
    model: nn.Module, inputs: dict[str, Tensor], target: Tensor, baseline: Tensor, steps: int
) -> Tensor:
    """Signed attributions ``[batch, length]``, sums over the embedding; 0 on padding; arguments as above and these.

    They sum to the difference of the target's logit between text and baseline, to the error of the quadrature.

    Args:
        model, inputs, target: as above.
        baseline: ``[batch, length]``, the pieces that the path begins at, see :func:`blanked`.
        steps: nodes of the Gauss-Legendre rule, a gradient each.

    Source: Sundararajan et al., "Axiomatic Attribution for Deep Networks", ICML 2017.
    """
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    path = [(float(node + 1) / 2, float(weight / 2)) for node, weight in zip(nodes, weights, strict=True)]
    return along(model, inputs, target, baseline, path)


def along(
    model: nn.Module,
    inputs: dict[str, Tensor],
    target: Tensor,
    baseline: Tensor,
    path: Sequence[tuple[float | Tensor, float]],
) -> Tensor:
    """(x - baseline) times the weighted sum of gradients on the way, ``[batch, length]``, as above.

    ``path`` holds the places, from 0 (baseline) to 1 (text), each one for all texts or ``[batch]``, and their weights.
    """
    packed = entered(model, inputs)
    start = entered(model, inputs | {"input_ids": baseline}).hidden
    way = packed.hidden - start
    total = torch.zeros_like(way)
    together = max(1, PATH_PIECES * (GPU_TIMES if way.is_cuda else 1) // len(way))
    for begin in range(0, len(path), together):
        places, weights = zip(*path[begin : begin + together], strict=True)
        shares = [place[packed.text, None].to(way) if isinstance(place, Tensor) else place for place in places]
        hidden = torch.cat([start + way * share for share in shares])
        many = repeated(packed, len(places))
        found = target_gradients(model, replace(many, hidden=hidden), target.repeat(len(places)))
        for gradients, weight in zip(found.split(len(way)), weights, strict=True):
            total += gradients * weight
    return spread((way * total).sum(-1), packed)


def repeated(packed: Packed, times: int) -> Packed:
    """The texts of ``packed`` so many times over, one round after the other; with the hidden states of the first."""
    texts = len(packed.lengths)
    return Packed(
        hidden=packed.hidden,
        text=torch.cat([packed.text + texts * number for number in range(times)]),
        position=packed.position.repeat(times),
        lengths=packed.lengths.repeat(times),
        longest=packed.longest,
    )


def relevance(model: nn.Module, inputs: dict[str, Tensor], target: Tensor) -> Tensor:
    """Signed relevances ``[batch, length]``, sums over the embedding; 0 on padding; arguments as above.

    They sum to the target's logit, less what the biases of the layers contribute. Source: :mod:`propagation`.
    """
    packed = entered(model, inputs)
    with Propagation():
        gradients = target_gradients(model, packed, target)
    return spread((packed.hidden * gradients).sum(-1), packed)


def blanked(input_ids: Tensor, tokenizer: Any) -> Tensor:
    """``input_ids`` with [PAD] in the place of all pieces but [CLS] and [SEP]."""
    special = (input_ids == tokenizer.cls_token_id) | (input_ids == tokenizer.sep_token_id)
    return torch.where(special, input_ids, tokenizer.pad_token_id)


def entered(model: nn.Module, inputs: dict[str, Tensor]) -> Packed:
    """The packed embeddings of a batch, without gradient; ``longest`` is the width of the padded batch."""
    with torch.no_grad():
        return packed_encoder.enter(model, inputs["input_ids"], inputs["attention_mask"], inputs.get("token_type_ids"))


def target_gradients(model: nn.Module, packed: Packed, target: Tensor, logits_of: LogitsOf | None = None) -> Tensor:
    """Gradients ``[total, hidden]`` of each text's target logit, class ``target`` ``[batch]``, by ``packed.hidden``.

    ``logits_of`` makes the logits ``[batch, classes]``; None: without removal.
    """
    with torch.enable_grad():
        hidden = packed.hidden.detach().requires_grad_()
        logits = (logits_of or packed_encoder.logits_of)(model, replace(packed, hidden=hidden))
        (gradients,) = torch.autograd.grad(logits.gather(-1, target[:, None]).sum(), hidden)
    return gradients


def spread(values: Tensor, packed: Packed) -> Tensor:
    """``values`` ``[total, ...]`` of packed pieces at their places in the padded batch ``[batch, length, ...]``."""
    padded = values.new_zeros((len(packed.lengths), packed.longest, *values.shape[1:]))
    return padded.index_put((packed.text, packed.position), values)
