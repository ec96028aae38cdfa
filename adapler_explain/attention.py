"""Attention over packed sequences: each text attends to itself alone, one implementation for each kind of device."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from adapler_explain.removal import offsets

# Longest text on CPU whose attention weights are written out, which is a third faster than the fused kernel on short
# texts and slower on long ones; both measured with 12 heads of 64.
OPEN_LENGTH = 192


@dataclass(frozen=True)
class Rows:
    """How many rows of a packed tensor belong to each text.

    Attributes:
        lengths: ``[batch]``, rows of each text.
        longest: a number that no text exceeds, known without asking the device.
        first: :func:`removal.offsets` of the lengths, where they are known.
    """

    lengths: Tensor
    longest: int
    first: Tensor | None = None

    @property
    def bounds(self) -> Tensor:
        """Where each text's rows begin, and where the last one's end: ``[batch + 1]``, int32."""
        return offsets(self.lengths) if self.first is None else self.first


def packed_attention(query: Tensor, key: Tensor, value: Tensor, queries: Rows, keys: Rows) -> Tensor:
    """Attention of the queries of each text to the keys of the same text, ``[total queries, heads, head size]``.

    Args:
        query: ``[total queries, heads, head size]``, the texts one after the other.
        key, value: ``[total keys, heads, head size]``.
        queries, keys: whose they are; a text has at least one of each.
    """
    half = query.dtype in (torch.float16, torch.bfloat16)
    if query.device.type == "cuda" and half and has_flash(query.device):
        return variable_length(query, key, value, queries, keys)
    if query.device.type == "cuda" and (half or query.dtype == torch.float32):
        return nested(query, key, value, queries, keys)
    return by_text(query, key, value, queries.lengths.tolist(), keys.lengths.tolist())


# ---------------------------------------------------------------- CPU, and devices without the kernels below


def by_text(query: Tensor, key: Tensor, value: Tensor, queries: list[int], lengths: list[int]) -> Tensor:
    """:func:`packed_attention` text by text, on views: what a text gives does not depend on the texts beside it."""
    by_head = (packed.transpose(0, 1) for packed in (query, key, value))
    columns = (packed.split(sizes, 1) for packed, sizes in zip(by_head, (queries, lengths, lengths), strict=True))
    return torch.cat([_attend(*text) for text in zip(*columns, strict=True)], 1).transpose(0, 1)


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention of one text, ``[heads, pieces, head size]``."""
    length = key.shape[1]
    if length == 1:
        # A text that is down to [CLS].
        return value
    if length > OPEN_LENGTH or query.dtype != torch.float32:
        # PyTorch's fused kernel is for four dimensions.
        return scaled_dot_product_attention(query[None], key[None], value[None])[0]
    scale = query.shape[-1] ** -0.5
    weights = torch.baddbmm(query.new_empty(()), query, key.mT, beta=0, alpha=scale).softmax(-1)
    return torch.bmm(weights, value)


# ---------------------------------------------------------------- training, on any device


def by_batch(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    queries: Rows,
    keys: Rows,
    *,
    bias: Tensor | None = None,
    allowed: Tensor | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """:func:`packed_attention` of all texts at once, on padded tensors: differentiable, with a bias and dropout.

    Args:
        query, key, value, queries, keys: as in :func:`packed_attention`; a text has either one query (queries.longest
            is 1) or one for each of its keys.
        bias: ``[total keys]``, added to the attention scores of a key; it may want a gradient.
        allowed: bool ``[batch, query columns, key columns]`` of the padded texts: who sees whom; None: everybody.
        dropout: of attention weights.
    """
    batch, width = len(keys.lengths), int(keys.lengths.max())
    places = padded_places(keys.lengths, width)
    mask = _padded(bias if bias is not None else query.new_zeros(len(key)), places, batch, width, -torch.inf)[:, None]
    if allowed is not None:
        mask = mask.masked_fill(~allowed, -torch.inf)
    single = queries.longest == 1
    wide_query = query[:, None] if single else _padded(query, places, batch, width)
    wide_key, wide_value = (_padded(rows, places, batch, width).transpose(1, 2) for rows in (key, value))
    attended = scaled_dot_product_attention(
        wide_query.transpose(1, 2),
        wide_key,
        wide_value,
        attn_mask=mask[:, None].to(query.dtype),
        dropout_p=dropout,
    ).transpose(1, 2)
    return attended[:, 0] if single else attended.flatten(0, 1).index_select(0, places)


def padded_places(lengths: Tensor, width: int) -> Tensor:
    """``[total]``: where each row of packed texts stands among the rows of texts padded to ``width``."""
    texts = torch.arange(len(lengths), device=lengths.device)
    first = torch.repeat_interleave(texts * width - lengths.cumsum(0) + lengths, lengths)
    return first + torch.arange(len(first), device=lengths.device)


def _padded(rows: Tensor, places: Tensor, batch: int, width: int, filler: float = 0.0) -> Tensor:
    """Packed ``rows`` ``[total, ...]`` as ``[batch, width, ...]``."""
    wide = rows.new_full((batch * width, *rows.shape[1:]), filler).index_copy(0, places, rows)
    return wide.view(batch, width, *rows.shape[1:])


# ---------------------------------------------------------------- GPU


def variable_length(query: Tensor, key: Tensor, value: Tensor, queries: Rows, keys: Rows) -> Tensor:
    """:func:`packed_attention` by one flash-attention kernel, in half precision."""
    first_key = keys.bounds
    first_query = first_key if queries is keys else queries.bounds
    attended: Tensor = _kernel()(query, key, value, first_query, first_key, queries.longest, keys.longest)
    return attended


@cache
def _kernel() -> Any:
    """flash-attn's kernel where that package is installed, else PyTorch's; None where neither is there."""
    if find_spec("flash_attn") is not None:
        from flash_attn import flash_attn_varlen_func

        return flash_attn_varlen_func
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    return varlen_attn


@cache
def has_flash(device: torch.device) -> bool:
    """Whether the variable-length kernel runs on the GPU ``device``."""
    return torch.cuda.get_device_capability(device) >= (8, 0) and _kernel() is not None


def nested(query: Tensor, key: Tensor, value: Tensor, queries: Rows, keys: Rows) -> Tensor:
    """:func:`packed_attention` by nested tensors: for float32, which flash attention does not take."""
    first_key = keys.bounds
    first_query = first_key if queries is keys else queries.bounds

    def jagged(packed: Tensor, first: Tensor, longest: int) -> Tensor:
        # Not every kernel takes the views that come from one projection.
        texts = torch.nested.nested_tensor_from_jagged(packed.contiguous(), first, min_seqlen=1, max_seqlen=longest)
        return texts.transpose(1, 2)

    attended = scaled_dot_product_attention(
        jagged(query, first_query, queries.longest),
        jagged(key, first_key, keys.longest),
        jagged(value, first_key, keys.longest),
    )
    return attended.transpose(1, 2).values()
