"""The one place that knows the attribute names of transformers' stock encoders: a file an architecture.

An AdapLeR model has the attributes of the stock model that it is a subclass of, and ``adapler_`` before its model type.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from transformers.models.bert.modeling_bert import BertLayer
from transformers.models.distilbert.modeling_distilbert import TransformerBlock
from transformers.models.electra.modeling_electra import ElectraLayer
from transformers.models.modernbert.modeling_modernbert import ModernBertEncoderLayer
from transformers.models.roberta.modeling_roberta import RobertaLayer

from adapler_explain.backbones.backbone import Backbone, LayerParts, Shape
from adapler_explain.backbones.bert import Bert, Electra, Roberta
from adapler_explain.backbones.distilbert import DistilBert
from adapler_explain.backbones.modernbert import ModernBert

__all__ = ["BACKBONES", "LayerParts", "Shape"]

BACKBONES: dict[str, Backbone] = {
    "bert": Bert(),
    "roberta": Roberta(),
    "distilbert": DistilBert(),
    "electra": Electra(),
    "modernbert": ModernBert(),
}
LAYERS: dict[type[nn.Module], Backbone] = {
    BertLayer: BACKBONES["bert"],
    RobertaLayer: BACKBONES["roberta"],
    TransformerBlock: BACKBONES["distilbert"],
    ElectraLayer: BACKBONES["electra"],
    ModernBertEncoderLayer: BACKBONES["modernbert"],
}

# ---------------------------------------------------------------- configuration


def stock_type(model_type: str) -> str:
    """The model type of the stock encoder: without AdapLeR's prefix."""
    return model_type.removeprefix("adapler_")


def unknown(model_type: str | None) -> str:
    """The line that says that encoders of ``model_type`` are not supported, and which are."""
    return f"model_type {model_type!r} is not supported; give one of {', '.join(BACKBONES)}"


def refusal(config: Any) -> str | None:
    """Why the encoder of ``config`` is not supported, in one line that says what to give instead; None: it is."""
    backbone = BACKBONES.get(stock_type(config.model_type))
    if backbone is None:
        return unknown(config.model_type)
    return backbone.refusal(config)


def is_supported(model: nn.Module) -> bool:
    """Whether this module knows the encoder of ``model``."""
    config: Any = getattr(model, "config", None)
    return config is not None and refusal(config) is None


def segments(model: nn.Module) -> int:
    """How many token types the encoder tells apart; 0: it takes none."""
    return _of(model).segments(model.config)


def longest(model: nn.Module) -> int:
    """The most pieces of a text, special ones included."""
    return _of(model).longest(model.config)


def shape(config: Any) -> Shape:
    """The sizes of the encoder of ``config``.

    Raises:
        TypeError: it is not supported.
    """
    return _checked(config).shape(config)


def new_weights(model_type: str) -> tuple[str, ...]:
    """Beginnings of the names of weights that a pretrained encoder may lack: AdapLeR's, the classifier's, the pooler's.

    Args:
        model_type: of the encoder; of an unknown one, all are meant.
    """
    known = BACKBONES.get(stock_type(model_type))
    found = known.new_weights if known else tuple(name for one in BACKBONES.values() for name in one.new_weights)
    return ("adapler.", *dict.fromkeys(found))


def dropout_options(model_type: str, hidden: float, attention: float) -> dict[str, float]:
    """Configuration entries of an encoder that set the dropout of hidden states and of attention weights."""
    backbone = BACKBONES[stock_type(model_type)]
    return dict.fromkeys(backbone.hidden_dropouts, hidden) | dict.fromkeys(backbone.attention_dropouts, attention)


# ---------------------------------------------------------------- encoder and classifier


def embedding_layer(model: nn.Module) -> nn.Module:
    """The module whose output is the hidden states h⁰ that enter layer 0."""
    return _of(model).embedding_layer(_encoder(model))


def layers(model: nn.Module) -> Sequence[nn.Module]:
    """The encoder's layers, first to last."""
    return _of(model).layers(_encoder(model))


def set_layers(model: nn.Module, kept: Sequence[nn.Module]) -> None:
    """Make ``kept`` the encoder's layers."""
    _of(model).set_layers(_encoder(model), nn.ModuleList(kept))


def embed_packed(model: nn.Module, input_ids: Tensor, token_type_ids: Tensor, position: Tensor) -> Tensor:
    """Embeddings h⁰ ``[total, hidden]`` of packed pieces; ids and columns are ``[total]``.

    Token types are not read where :func:`segments` is 0.
    """
    return _of(model).embed(_encoder(model), input_ids, token_type_ids, position)


def classify(model: nn.Module, cls_hidden: Tensor) -> Tensor:
    """Logits ``[batch, classes]`` from what the last layer made of [CLS], ``[batch, hidden]``."""
    return _of(model).classify(model, _encoder(model), cls_hidden)


# ---------------------------------------------------------------- one layer


def parts(layer: nn.Module) -> LayerParts | None:
    """The parts of one stock layer; None where its norms stand elsewhere."""
    return _of_layer(layer).parts(layer)


def project(
    layer: nn.Module, rows: Tensor, hidden: Tensor, row_positions: Tensor, positions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries ``[rows, heads, head size]`` of ``rows``, keys and values ``[n, heads, head size]`` of ``hidden``.

    Args:
        layer: a stock layer.
        rows: ``[rows, hidden]``, what attends.
        hidden: ``[n, hidden]``, what is attended to.
        row_positions, positions: their columns in the text, ``[rows]`` and ``[n]``; read by rotary encoders only.
    """
    return _of_layer(layer).project(layer, rows, hidden, row_positions, positions)


def reach(layer: nn.Module) -> int | None:
    """How many columns away the layer's attention sees; None: everywhere."""
    return _of_layer(layer).reach(layer)


def attention_dropout(layer: nn.Module) -> float:
    """Probability that training drops an attention weight."""
    return _of_layer(layer).attention_dropout(layer)


def finish(layer: nn.Module, context: Tensor, residual: Tensor) -> Tensor:
    """All of a layer that follows its attention, by its own modules, dropout included; rows ``[n, hidden]``."""
    return _of_layer(layer).finish(layer, context, residual)


# ---------------------------------------------------------------- which architecture


def _checked(config: Any) -> Backbone:
    reason = refusal(config)
    if reason:
        raise TypeError(reason)
    return BACKBONES[stock_type(config.model_type)]


def _of(model: nn.Module) -> Backbone:
    if not hasattr(model, "config"):
        raise TypeError(f"{type(model).__name__} is no model of transformers; give one of {', '.join(BACKBONES)}")
    return _checked(model.config)


def _encoder(model: Any) -> Any:
    return model.base_model


def _of_layer(layer: nn.Module) -> Backbone:
    for kind in type(layer).__mro__:
        if kind in LAYERS:
            return LAYERS[kind]
    raise TypeError(f"{type(layer).__name__} is no layer of {', '.join(BACKBONES)}")
