"""The one place that knows the attribute names of transformers' stock encoders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from transformers.activations import GELUActivation


def is_supported(model: nn.Module) -> bool:
    """Whether this module knows the encoder of ``model``."""
    config: Any = getattr(model, "config", None)
    return config is not None and config.model_type in ("bert", "adapler_bert") and not config.is_decoder


def embedding_layer(model: nn.Module) -> nn.Module:
    """The embedding module of a BERT classifier: ids to the hidden states h⁰ that enter layer 0."""
    module: nn.Module = _encoder(model).embeddings
    return module


def layers(model: nn.Module) -> Sequence[nn.Module]:
    """The encoder's layers, first to last."""
    modules: Sequence[nn.Module] = _encoder(model).encoder.layer
    return modules


def set_layers(model: Any, kept: Sequence[nn.Module]) -> None:
    """Make ``kept`` the encoder's layers."""
    _encoder(model).encoder.layer = nn.ModuleList(kept)


def embed_packed(model: nn.Module, input_ids: Tensor, token_type_ids: Tensor, position: Tensor) -> Tensor:
    """Embeddings ``[total, hidden]`` of packed pieces; ids and columns are ``[total]``."""
    embedded = embedding_layer(model)(
        input_ids=input_ids[None], token_type_ids=token_type_ids[None], position_ids=position[None]
    )
    hidden: Tensor = embedded[0]
    return hidden


@dataclass(frozen=True)
class LayerParts:
    """What an encoder layer is made of: attention, feed-forward network, and a norm after each.

    Attributes:
        query, key, value, attention_output: linear maps of the attention.
        attention_norm: after the attention and its residual.
        up, activation, down: the feed-forward network.
        output_norm: after the feed-forward network and its residual.
        heads: attention heads.
        is_gelu: whether the activation is the exact GELU.
    """

    query: nn.Linear
    key: nn.Linear
    value: nn.Linear
    attention_output: nn.Linear
    attention_norm: nn.LayerNorm
    up: nn.Linear
    activation: Callable[[Tensor], Tensor]
    down: nn.Linear
    output_norm: nn.LayerNorm
    heads: int
    is_gelu: bool

    @property
    def maps(self) -> tuple[nn.Linear, ...]:
        """The linear maps."""
        return self.query, self.key, self.value, self.attention_output, self.up, self.down

    @property
    def norms(self) -> tuple[nn.LayerNorm, nn.LayerNorm]:
        """The norms."""
        return self.attention_norm, self.output_norm


def parts(layer: Any) -> LayerParts:
    """The parts of one stock BERT layer."""
    attention, output = layer.attention.self, layer.attention.output
    activation = layer.intermediate.intermediate_act_fn
    return LayerParts(
        query=attention.query,
        key=attention.key,
        value=attention.value,
        attention_output=output.dense,
        attention_norm=output.LayerNorm,
        up=layer.intermediate.dense,
        activation=activation,
        down=layer.output.dense,
        output_norm=layer.output.LayerNorm,
        heads=attention.num_attention_heads,
        is_gelu=isinstance(activation, GELUActivation),
    )


def finish(layer: Any, context: Tensor, residual: Tensor) -> Tensor:
    """All of a layer that follows its attention, by its own modules, dropout included; rows ``[n, hidden]``."""
    output: Tensor = layer.feed_forward_chunk(layer.attention.output(context, residual))
    return output


def classify(model: Any, cls_hidden: Tensor) -> Tensor:
    """Logits ``[batch, classes]`` from the last hidden states of [CLS], ``[batch, hidden]``."""
    pooled = _encoder(model).pooler(cls_hidden[:, None])
    logits: Tensor = model.classifier(model.dropout(pooled))
    return logits


def _encoder(model: Any) -> Any:
    if not is_supported(model):
        raise TypeError(f"{type(model).__name__} is not a BERT classifier; supported: model_type 'bert'")
    return model.bert
