"""The one place that knows the attribute names of transformers' stock encoders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from adapler_explain.attention import packed_attention


def is_supported(model: nn.Module) -> bool:
    """Whether this module knows the encoder of ``model``."""
    return hasattr(model, "bert")


def embedding_layer(model: nn.Module) -> nn.Module:
    """The embedding module of a BERT classifier: ids to the hidden states h⁰ that enter layer 0."""
    module: nn.Module = _encoder(model).embeddings
    return module


def layers(model: nn.Module) -> Sequence[nn.Module]:
    """The encoder's layers, first to last."""
    modules: Sequence[nn.Module] = _encoder(model).encoder.layer
    return modules


def embed_packed(model: nn.Module, input_ids: Tensor, token_type_ids: Tensor, position: Tensor) -> Tensor:
    """Embeddings ``[total, hidden]`` of packed pieces; ids and columns are ``[total]``."""
    embedded = embedding_layer(model)(
        input_ids=input_ids[None], token_type_ids=token_type_ids[None], position_ids=position[None]
    )
    hidden: Tensor = embedded[0]
    return hidden


def run_packed(layer: Any, hidden: Tensor, lengths: list[int]) -> Tensor:
    """One stock BERT layer on packed hidden states ``[total, hidden]``, each text attending to itself alone."""
    attention = layer.attention.self
    shape = (len(hidden), attention.num_attention_heads, attention.attention_head_size)
    query, key, value = (project(hidden).view(shape) for project in (attention.query, attention.key, attention.value))
    context = packed_attention(query, key, value, lengths).reshape(len(hidden), -1)
    output: Tensor = layer.feed_forward_chunk(layer.attention.output(context, hidden))
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
