"""Attention over packed sequences."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention


def packed_attention(query: Tensor, key: Tensor, value: Tensor, lengths: list[int]) -> Tensor:
    """Self-attention of each text to itself alone, ``[total, heads, head size]``.

    Args:
        query, key, value: ``[total, heads, head size]``, the texts one after the other.
        lengths: pieces of each text; they sum to ``total``.
    """
    texts = zip(query.split(lengths), key.split(lengths), value.split(lengths), strict=True)
    return torch.cat(
        [
            scaled_dot_product_attention(q.transpose(0, 1), k.transpose(0, 1), v.transpose(0, 1)).transpose(0, 1)
            for q, k, v in texts
        ]
    )
