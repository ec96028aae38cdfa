"""DistilBERT: BERT's layer under other names, no token types, no pooler."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from transformers.activations import GELUActivation
from typing_extensions import override

from adapler_explain.backbones.backbone import Backbone, LayerParts, Shape


class DistilBert(Backbone):
    """DistilBERT."""

    new_weights = ("classifier.", "pre_classifier.")
    hidden_dropouts = ("dropout", "seq_classif_dropout")
    attention_dropouts = ("attention_dropout",)

    @override
    def shape(self, config: Any) -> Shape:
        return Shape(config.dim, config.dim, 2 * config.dim * config.hidden_dim, (None,) * config.n_layers)

    @override
    def layers(self, encoder: Any) -> Sequence[nn.Module]:
        modules: Sequence[nn.Module] = encoder.transformer.layer
        return modules

    @override
    def set_layers(self, encoder: Any, kept: nn.ModuleList) -> None:
        encoder.transformer.layer = kept

    @override
    def embed(self, encoder: Any, input_ids: Tensor, token_type_ids: Tensor, position: Tensor) -> Tensor:
        del token_type_ids
        hidden: Tensor = encoder.embeddings(input_ids=input_ids[None], position_ids=position[None])[0]
        return hidden

    @override
    def classify(self, model: Any, encoder: Any, cls_hidden: Tensor) -> Tensor:
        del encoder
        logits: Tensor = model.classifier(model.dropout(model.pre_classifier(cls_hidden).relu()))
        return logits

    @override
    def parts(self, layer: Any) -> LayerParts:
        attention, network = layer.attention, layer.ffn
        return LayerParts(
            query=attention.q_lin,
            key=attention.k_lin,
            value=attention.v_lin,
            attention_output=attention.out_lin,
            attention_norm=layer.sa_layer_norm,
            up=network.lin1,
            activation=network.activation,
            down=network.lin2,
            output_norm=layer.output_layer_norm,
            heads=attention.n_heads,
            is_gelu=isinstance(network.activation, GELUActivation),
        )

    @override
    def attention_dropout(self, layer: Any) -> float:
        probability: float = layer.attention.dropout.p
        return probability

    @override
    def finish(self, layer: Any, context: Tensor, residual: Tensor) -> Tensor:
        attended = layer.sa_layer_norm(layer.attention.out_lin(context) + residual)
        output: Tensor = layer.output_layer_norm(layer.ffn(attended[None])[0] + attended)
        return output
