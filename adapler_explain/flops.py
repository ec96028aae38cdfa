"""Floating-point operations of an encoder and of its pruned form, counted for one text at a time.

For the shape of BERT-base the constants are those of the authors' counter (Modarressi et al. 2022, section 4.2), which
also counts element-wise work. For every other shape the matrix products are counted from the configuration, two
operations for each multiply-add, which is what ``torch.utils.flop_counter`` counts too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def dense(config: Any, pieces: int) -> int:
    """FLOPs of the encoder without removal, and of its classifier, on one text of ``pieces`` pieces."""
    if _is_bert_base(config):
        authors: int = 37872 * pieces**2 + 170216500 * pieces + 1181953 + 1537 * config.num_labels
        return authors
    count: int = config.num_hidden_layers * _layer(config, pieces) + _head(config)
    return count


def pruned(config: Any, pieces: int, kept: Sequence[int]) -> int:
    """FLOPs of the encoder with hard removal on one text.

    The authors' constants count a whole last layer. Other shapes are counted as they run: in the last layer, [CLS]
    alone is a query.

    Args:
        config: with ``predictor_width``.
        pieces: pieces of the text before any removal.
        kept: pieces that each layer really processes, [CLS] included.
    """
    if _is_bert_base(config):
        layers = sum(3156 * n**2 + 14233554 * n for n in kept)
        authors: int = 1183537 + 1537 * (config.num_labels - 1) + 6152 * kept[0] + layers
        return authors
    width = config.predictor_width
    predictor: int = 2 * (config.hidden_size * width + width)
    before = [pieces, *kept[:-1]]
    layers = sum(_layer(config, n) for n in kept[:-1]) + _last_layer(config, kept[-1])
    return sum(predictor * n for n in before) + layers + _head(config)


def unpruned(config: Any, pieces: int) -> int:
    """FLOPs of our own pass without removal on one text: in the last layer, [CLS] alone is a query.

    Counted from the configuration for every shape.
    """
    count: int = (config.num_hidden_layers - 1) * _layer(config, pieces) + _last_layer(config, pieces) + _head(config)
    return count


def _layer(config: Any, pieces: int) -> int:
    hidden: int = config.hidden_size
    intermediate: int = config.intermediate_size
    linear = 2 * (4 * hidden**2 + 2 * hidden * intermediate)
    return linear * pieces + 4 * hidden * pieces**2


def _last_layer(config: Any, pieces: int) -> int:
    """The layer of which the classifier reads [CLS] alone: all pieces are keys and values, one is a query."""
    hidden: int = config.hidden_size
    others = 2 * (2 * hidden**2 + 2 * hidden * config.intermediate_size)
    count: int = others + (4 * hidden**2 + 4 * hidden) * pieces
    return count


def _head(config: Any) -> int:
    hidden: int = config.hidden_size
    classes: int = config.num_labels
    return 2 * hidden**2 + 2 * hidden * classes


def _is_bert_base(config: Any) -> bool:
    shape = (config.num_hidden_layers, config.hidden_size, config.intermediate_size, config.num_attention_heads)
    return shape == (12, 768, 3072, 12)
