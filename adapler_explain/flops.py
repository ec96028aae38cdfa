"""Floating-point operations of an encoder and of its pruned form, counted for one text at a time.

For BERT and RoBERTa in the shape of BERT-base the constants are those of the authors' counter (Modarressi et al. 2022,
section 4.2), which also counts element-wise work. For every other encoder the matrix products are counted from the
configuration, two operations for each multiply-add, which is what ``torch.utils.flop_counter`` counts too.

A layer of ModernBERT that sees a sliding window is counted with the pairs of pieces in each other's reach. Kernels for
padded batches compute the other pairs too and throw them away; counting those would flatter removal. After removal
those in reach are at most as many as if the pieces that stay stood side by side, and that is what is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adapler_explain import backbones
from adapler_explain.backbones import Shape


def dense(config: Any, pieces: int) -> int:
    """FLOPs of the encoder without removal, and of its classifier, on one text of ``pieces`` pieces."""
    if _is_bert_base(config):
        authors: int = 37872 * pieces**2 + 170216500 * pieces + 1181953 + 1537 * config.num_labels
        return authors
    shape = backbones.shape(config)
    layers = sum(_layer(shape, pieces, reach) for reach in shape.reaches)
    return _embedding(shape, pieces) + layers + _head(config)


def pruned(config: Any, pieces: int, kept: Sequence[int]) -> int:
    """FLOPs of the encoder with hard removal on one text.

    The authors' constants count a whole last layer. Other encoders are counted as they run: in the last layer, [CLS]
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
    return removing(config, pieces, kept)


def removing(config: Any, pieces: int, kept: Sequence[int]) -> int:
    """FLOPs of our own pass with hard removal on one text, the predictors' among them.

    Counted from the configuration for every encoder, as the other costs of explanations are; arguments as in
    :func:`pruned`.
    """
    width = config.predictor_width
    predictor: int = 2 * (config.hidden_size * width + width)
    before = [pieces, *kept[:-1]]
    return sum(predictor * n for n in before) + _as_it_runs(config, pieces, kept)


def unpruned(config: Any, pieces: int) -> int:
    """FLOPs of our own pass without removal on one text: in the last layer, [CLS] alone is a query.

    Counted from the configuration for every encoder.
    """
    return _as_it_runs(config, pieces, [pieces] * config.num_hidden_layers)


def decided(config: Any, pieces: int, kept: Sequence[int]) -> int:
    """FLOPs of a pass in which it is known beforehand what is removed: :func:`removing` without the predictors'.

    Counted from the configuration for every encoder; arguments as there.
    """
    return _as_it_runs(config, pieces, kept)


def gradient(config: Any, processed: Sequence[int]) -> int:
    """FLOPs of the way back of such a pass, from a logit to the embeddings; no weight has a gradient.

    Each linear map once, and each product of attention twice, as both of its factors have a gradient.

    Args:
        config: the model's.
        processed: pieces that each layer processes.
    """
    shape = backbones.shape(config)
    *reaches, last = shape.reaches
    layers = sum(_layer(shape, n, reach, products=4) for n, reach in zip(processed[:-1], reaches, strict=True))
    return layers + _last_layer(shape, processed[-1], last, products=4) + _head(config)


def relevance(config: Any, pieces: int) -> int:
    """FLOPs of the way back of layer-wise relevance with nothing removed: of attention through the values alone."""
    shape = backbones.shape(config)
    *reaches, last = shape.reaches
    # A fused map goes back as a whole.
    maps = 4 if shape.fused else 2
    layers = sum(_layer(shape, pieces, reach, maps, products=1) for reach in reaches)
    return layers + _last_layer(shape, pieces, last, maps=1, products=1) + _head(config)


def value_gradient(config: Any, pieces: int, layer: int) -> int:
    """FLOPs of the way back from a logit to the values of attention in ``layer``, from 0, with nothing removed."""
    shape = backbones.shape(config)
    *reaches, last = shape.reaches
    is_last = layer == len(reaches)
    rows = 1 if is_last else pieces
    of_layer = 2 * (shape.hidden**2 + shape.feed_forward) * rows
    if is_last:
        return _head(config) + of_layer + 2 * shape.hidden * min(pieces, pieces if last is None else last + 1)
    above = sum(_layer(shape, pieces, reach, products=4) for reach in reaches[layer + 1 :])
    above += _last_layer(shape, pieces, last, products=4)
    return _head(config) + above + of_layer + 2 * shape.hidden * _pairs(pieces, reaches[layer])


def _as_it_runs(config: Any, pieces: int, processed: Sequence[int]) -> int:
    """FLOPs of our own pass on a text whose layers process ``processed`` pieces, without the predictors'."""
    shape = backbones.shape(config)
    *reaches, last = shape.reaches
    layers = sum(_layer(shape, n, reach) for n, reach in zip(processed[:-1], reaches, strict=True))
    return _embedding(shape, pieces) + layers + _last_layer(shape, processed[-1], last) + _head(config)


def _embedding(shape: Shape, pieces: int) -> int:
    """The linear map from narrower embeddings to the hidden states."""
    return 2 * shape.embedding * shape.hidden * pieces if shape.embedding != shape.hidden else 0


def _layer(shape: Shape, pieces: int, reach: int | None, maps: int = 4, products: int = 2) -> int:
    """A layer's; of ``maps`` of attention's four linear maps, and of so many products of attention."""
    linear = 2 * (maps * shape.hidden**2 + shape.feed_forward)
    return linear * pieces + products * 2 * shape.hidden * _pairs(pieces, reach)


def _last_layer(shape: Shape, pieces: int, reach: int | None, maps: int = 2, products: int = 2) -> int:
    """The layer of which the classifier reads [CLS] alone: all pieces are keys and values, one is a query.

    Of [CLS] (query, output) and of all pieces (key, value) ``maps`` linear maps each. A fused map makes queries of all
    pieces, and once more all three of [CLS].
    """
    hidden = shape.hidden
    of_cls = 2 * ((4 if shape.fused else maps) * hidden**2 + shape.feed_forward)
    of_each = 2 * (3 if shape.fused else maps) * hidden**2
    seen = pieces if reach is None else min(pieces, reach + 1)
    return of_cls + of_each * pieces + products * 2 * hidden * seen


def _pairs(pieces: int, reach: int | None) -> int:
    """The ordered pairs, a piece with itself among them, that stand at most ``reach`` apart in a text.

    >>> _pairs(3, None), _pairs(3, 1), _pairs(3, 5)
    (9, 7, 9)
    """
    if reach is None or pieces <= reach + 1:
        return pieces**2
    return pieces * (2 * reach + 1) - reach * (reach + 1)


def _head(config: Any) -> int:
    """The dense layer before the classifier (pooler, pre-classifier or head), and the classifier."""
    hidden: int = config.hidden_size
    classes: int = config.num_labels
    return 2 * hidden**2 + 2 * hidden * classes


def _is_bert_base(config: Any) -> bool:
    if backbones.stock_type(config.model_type) not in ("bert", "roberta"):
        return False
    shape = (config.num_hidden_layers, config.hidden_size, config.intermediate_size, config.num_attention_heads)
    return shape == (12, 768, 3072, 12)
