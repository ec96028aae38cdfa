"""ModernBERT: norms before attention and network, rotary positions, and layers that see a sliding window only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers.models.modernbert.modeling_modernbert import ModernBertRotaryEmbedding, rotate_half
from typing_extensions import override

from adapler_explain.backbones.backbone import Backbone, Shape


class ModernBert(Backbone):
    """ModernBERT. Pieces are rotated by their columns in the whole text: removal does not move those that stay."""

    new_weights = ("classifier.", "head.")
    hidden_dropouts = ("embedding_dropout", "mlp_dropout", "classifier_dropout")
    attention_dropouts = ("attention_dropout",)

    @override
    def refusal(self, config: Any) -> str | None:
        if config.classifier_pooling != "cls":
            return f"config.classifier_pooling must be 'cls', not {config.classifier_pooling!r}: AdapLeR reads [CLS]"
        return super().refusal(config)

    @override
    def shape(self, config: Any) -> Shape:
        usual = super().shape(config)
        return replace(
            usual,
            feed_forward=3 * config.hidden_size * config.intermediate_size,
            reaches=tuple(config.sliding_window if kind == SLIDING else None for kind in config.layer_types),
            fused=True,
        )

    @override
    def layers(self, encoder: Any) -> Sequence[nn.Module]:
        modules: Sequence[nn.Module] = encoder.layers
        return modules

    @override
    def set_layers(self, encoder: Any, kept: nn.ModuleList) -> None:
        encoder.layers = kept

    @override
    def embed(self, encoder: Any, input_ids: Tensor, token_type_ids: Tensor, position: Tensor) -> Tensor:
        del token_type_ids, position
        hidden: Tensor = encoder.embeddings(input_ids=input_ids)
        return hidden

    @override
    def classify(self, model: Any, encoder: Any, cls_hidden: Tensor) -> Tensor:
        logits: Tensor = model.classifier(model.drop(model.head(encoder.final_norm(cls_hidden))))
        return logits

    @override
    def parts(self, layer: Any) -> None:
        del layer

    @override
    def project(
        self, layer: Any, rows: Tensor, hidden: Tensor, row_positions: Tensor, positions: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value = _mapped(layer, hidden)
        if rows is not hidden:
            query = _mapped(layer, rows)[0]
        return _rotated(layer, query, row_positions), _rotated(layer, key, positions), value

    @override
    def reach(self, layer: Any) -> int | None:
        # The module holds one more, as flash attention wants it.
        window: int | None = layer.attn.sliding_window
        return None if window is None else window - 1

    @override
    def attention_dropout(self, layer: Any) -> float:
        probability: float = layer.attn.attention_dropout
        return probability

    @override
    def finish(self, layer: Any, context: Tensor, residual: Tensor) -> Tensor:
        attended = residual + layer.attn.out_drop(layer.attn.Wo(context))
        output: Tensor = attended + layer.mlp(layer.mlp_norm(attended))
        return output


SLIDING = "sliding_attention"


def _mapped(layer: Any, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values ``[n, heads, head size]`` before rotation."""
    query, key, value = layer.attn.Wqkv(layer.attn_norm(hidden)).unflatten(-1, (3, -1, layer.attn.head_dim)).unbind(1)
    return query, key, value


def _rotated(layer: Any, vectors: Tensor, positions: Tensor) -> Tensor:
    """``vectors`` ``[n, heads, head size]`` turned by their ``positions`` ``[n]``."""
    cos, sin = (
        part[0][:, None] for part in _rotary(layer, vectors.device)(vectors, positions[None], layer.attention_type)
    )
    wide = vectors.float()
    rotated: Tensor = wide * cos + rotate_half(wide) * sin
    return rotated.to(vectors.dtype)


# A layer does not hold the encoder's rotary module, but the configuration that it is made from.
_rotaries: WeakKeyDictionary[nn.Module, Any] = WeakKeyDictionary()


def _rotary(layer: Any, device: torch.device) -> Any:
    """The rotary module of ``layer``'s encoder, on ``device``."""
    with torch.inference_mode(False):
        if layer not in _rotaries:
            _rotaries[layer] = ModernBertRotaryEmbedding(layer.config, device)
        return _rotaries[layer].to(device)
