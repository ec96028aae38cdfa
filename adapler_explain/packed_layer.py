"""One encoder layer on packed pieces: through its stock modules where gradients are wanted, else through maps made
once from its weights, in blocks of rows that stay in the processor's cache."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any
from weakref import WeakKeyDictionary, ref

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.optimizer import register_optimizer_step_post_hook

from adapler_explain import backbones
from adapler_explain.attention import Rows, by_batch, packed_attention, padded_places
from adapler_explain.linear import kind_for
from adapler_explain.removal import Packed

# Rows of a block on CPU. Measured on hidden size 768: at 512 the widest tensor of a block (6 MB) is still cached and
# the matrix products are as fast as on 4096; and memory that is used again costs no page faults.
BLOCK_ROWS = 512


def run(layer: nn.Module, packed: Packed, *, last: bool = False, quantized: bool = False) -> Tensor:
    """What ``layer`` makes of packed pieces, each text attending to itself alone.

    Args:
        layer: a stock layer, see :mod:`adapler_explain.backbones`.
        packed: the pieces that enter it.
        last: compute the [CLS] rows only, which are all that the classifier reads; the others are keys and values.
        quantized: int8 linear maps.

    Returns:
        ``[total, hidden]``; ``[batch, hidden]`` of the last layer.

    Raises:
        ValueError: ``quantized`` where gradients are on, the layer is not a plain one, or the machine cannot.
    """
    parts = backbones.parts(layer)
    compute: Callable[[Packed], Tensor]
    if parts is not None and not torch.is_grad_enabled() and _is_plain(layer, parts):
        compute = _prepared(layer, parts, last, quantized)
    elif quantized:
        raise ValueError(
            "int8 inference is for plain layers in eval() mode (no hooks, adapters or dropout; not ModernBERT's), "
            "without gradients: call it under torch.inference_mode()"
        )
    else:
        compute = partial(through_modules, layer, last=last)
    if torch.is_grad_enabled() or packed.hidden.device.type != "cpu":
        return compute(packed)
    if last:
        return torch.cat([compute(block) for block in blocks(packed)])
    hidden = torch.empty_like(packed.hidden)
    begin = 0
    for block in blocks(packed):
        end = begin + len(block.hidden)
        hidden[begin:end] = compute(block)
        begin = end
    return hidden


def blocks(packed: Packed) -> Iterator[Packed]:
    """``packed`` in runs of whole texts that hold about the same number of pieces, near :data:`BLOCK_ROWS`."""
    total = len(packed.hidden)
    if total <= BLOCK_ROWS:
        yield packed
        return
    ends = packed.lengths.cumsum(0).tolist()
    count = -(-total // BLOCK_ROWS)
    bounds = [0, *(bisect_left(ends, total * number / count) + 1 for number in range(1, count)), len(ends)]
    for first, after in pairwise(sorted({min(bound, len(ends)) for bound in bounds})):
        begin, end = ends[first - 1] if first else 0, ends[after - 1]
        yield Packed(
            hidden=packed.hidden[begin:end],
            text=packed.text[begin:end] - first,
            position=packed.position[begin:end],
            lengths=packed.lengths[first:after],
            longest=packed.longest,
        )


def through_modules(layer: Any, packed: Packed, *, last: bool, bias: Tensor | None = None) -> Tensor:
    """The layer through its own modules: for gradients, hooks, adapters and dropout. Arguments as in :func:`run`.

    ``bias`` ``[total]`` is added to the attention scores of a piece as a key: soft removal.
    """
    rows, positions = packed.hidden, packed.position
    if last:
        rows, positions = rows.index_select(0, packed.cls_rows), positions.new_zeros(len(packed.lengths))
    query, key, value = backbones.project(layer, rows, packed.hidden, positions, packed.position)
    queries, keys = _queries_and_keys(packed, last)
    reach = backbones.reach(layer)
    if torch.is_grad_enabled() or reach is not None:
        allowed = None if reach is None else _near(packed, last, reach)
        dropout = backbones.attention_dropout(layer) if layer.training else 0.0
        context = by_batch(query, key, value, queries, keys, bias=bias, allowed=allowed, dropout=dropout)
    else:
        context = packed_attention(query, key, value, queries, keys)
    return backbones.finish(layer, context.flatten(1), rows)


def _near(packed: Packed, last: bool, reach: int) -> Tensor:
    """``[batch, queries, keys]`` of padded texts: whether two pieces stood at most ``reach`` apart in their text."""
    places = padded_places(packed.lengths, width := int(packed.lengths.max()))
    columns = packed.position.new_zeros(len(packed.lengths) * width).index_copy(0, places, packed.position)
    keys = columns.unflatten(0, (-1, width))
    queries = keys[:, :1] if last else keys
    near: Tensor = (queries[:, :, None] - keys[:, None]).abs() <= reach
    return near


def _queries_and_keys(packed: Packed, last: bool) -> tuple[Rows, Rows]:
    keys = Rows(packed.lengths, packed.longest, packed.first)
    return (Rows(torch.ones_like(packed.lengths), 1) if last else keys), keys


def _is_plain(layer: nn.Module, parts: backbones.LayerParts) -> bool:
    """Whether ``layer`` computes what its weights say: no hook, wrapper or dropout, and changes of weights are seen."""
    return (
        all(type(module) is nn.Linear and module.bias is not None for module in parts.maps)
        and all(type(module) is nn.LayerNorm and module.bias is not None for module in parts.norms)
        and not any(module.training or module._forward_hooks or module._forward_pre_hooks for module in layer.modules())
        and not parts.query.weight.is_inference()
    )


class Prepared:
    """A layer with its linear maps ready to run. It holds none of the layer's own modules, and so does not keep them.

    Args:
        parts: the stock layer's parts.
        last: see :func:`run`.
        quantized: int8 linear maps.
    """

    def __init__(self, parts: backbones.LayerParts, last: bool, quantized: bool) -> None:
        kind = kind_for(parts.query.weight, quantized)
        self.last, self.heads, self.width = last, parts.heads, parts.query.out_features
        groups = ([parts.query], [parts.key, parts.value]) if last else ([parts.query, parts.key, parts.value],)
        self.projections = [kind(group) for group in groups]
        self.attention_output = kind([parts.attention_output])
        self.up, self.down = kind([parts.up]), kind([parts.down])
        self.activation = None if parts.is_gelu else parts.activation
        self.attention_norm, self.output_norm = map(_norm, parts.norms)

    def __call__(self, packed: Packed) -> Tensor:
        """See :func:`run`."""
        rows = packed.hidden.index_select(0, packed.cls_rows) if self.last else packed.hidden
        inputs = (rows, packed.hidden) if self.last else (rows,)
        projected = [project(hidden) for project, hidden in zip(self.projections, inputs, strict=True)]
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)) for wide in projected for part in wide.split(self.width, -1)
        )
        context = packed_attention(query, key, value, *_queries_and_keys(packed, self.last)).flatten(1)
        attended = self.attention_norm(self.attention_output.plus(context, rows))
        widened = self.activation(self.up(attended)) if self.activation else self.up.gelu(attended)
        return self.output_norm(self.down.plus(widened, attended))


def _norm(module: nn.LayerNorm) -> Callable[[Tensor], Tensor]:
    weight, bias = module.weight.detach(), module.bias.detach()
    return partial(F.layer_norm, normalized_shape=module.normalized_shape, weight=weight, bias=bias, eps=module.eps)


@dataclass(frozen=True)
class Source:
    """What maps were made from: the weights, where they were, how often they had been changed, and their digest."""

    asked: tuple[bool, bool]
    weights: tuple[tuple[ref[Tensor], int, int], ...]
    digest: list[float]

    def is_still(self, asked: tuple[bool, bool], weights: Iterable[Tensor]) -> bool:
        """Whether maps for ``weights`` would be the same."""
        return self.asked == asked and all(
            known() is weight and place == weight.data_ptr() and changes == weight._version
            for (known, place, changes), weight in zip(self.weights, weights, strict=True)
        )


# A layer's maps, and what they were made from. They go when the layer goes, and when weights may have changed unseen:
# the fused kernels of PyTorch's optimizers do not count what they change.
_made: WeakKeyDictionary[nn.Module, tuple[Source, Prepared]] = WeakKeyDictionary()
register_optimizer_step_post_hook(lambda *_: _made.clear())


def digest(weights: Iterable[Tensor]) -> list[float]:
    """Norm and sum of each of ``weights``, and the sum of each third entry, which sees where entries change places."""
    parts: tuple[Callable[[Tensor], Tensor], ...] = (torch.linalg.vector_norm, torch.sum, _sum_of_thirds)
    found: list[float] = torch.stack([part(weight.detach()).float() for weight in weights for part in parts]).tolist()
    return found


def _sum_of_thirds(weight: Tensor) -> Tensor:
    return weight.flatten()[::3].sum()


def refresh(model: nn.Module) -> None:
    """Throw away the maps whose weights were changed in a way that leaves no trace (``weight.data``).

    That reads all weights, which is slower than looking for traces, and faster than making the maps.
    """
    for module in model.modules():
        known = _made.get(module)
        if known is not None:
            weights = [weight() for weight, _, _ in known[0].weights]
            if known[0].digest != digest(weight for weight in weights if weight is not None):
                del _made[module]


def forget(model: nn.Module) -> None:
    """Throw away the maps made from the layers of ``model``."""
    for module in model.modules():
        _made.pop(module, None)


def _prepared(layer: nn.Module, parts: backbones.LayerParts, last: bool, quantized: bool) -> Prepared:
    """The layer's maps, made anew when a weight was changed, moved or replaced since."""
    modules: tuple[Any, ...] = (*parts.maps, *parts.norms)
    weights: list[Tensor] = [weight for module in modules for weight in (module.weight, module.bias)]
    asked = (last, quantized)
    known = _made.get(layer)
    if known is None or not known[0].is_still(asked, weights):
        traces = tuple((ref(weight), weight.data_ptr(), weight._version) for weight in weights)
        source = Source(asked, traces, digest(weights))
        known = (source, Prepared(parts, last, quantized))
        _made[layer] = known
    return known[1]
