"""BERT, and what is made like it: MiniLM (a BERT), RoBERTa, ELECTRA."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from torch import Tensor, nn
from transformers.activations import GELUActivation
from typing_extensions import override

from adapler_explain.backbones.backbone import Backbone, LayerParts, Shape


class Bert(Backbone):
    """BERT; its classifier reads [CLS] through the encoder's pooler."""

    new_weights: ClassVar[tuple[str, ...]] = ("classifier.", "bert.pooler.")

    @override
    def segments(self, config: Any) -> int:
        types: int = config.type_vocab_size
        return types

    @override
    def embed(self, encoder: Any, input_ids: Tensor, token_type_ids: Tensor, position: Tensor) -> Tensor:
        embedded = encoder.embeddings(
            input_ids=input_ids[None], token_type_ids=token_type_ids[None], position_ids=position[None]
        )
        hidden: Tensor = embedded[0]
        return hidden

    @override
    def classify(self, model: Any, encoder: Any, cls_hidden: Tensor) -> Tensor:
        logits: Tensor = model.classifier(model.dropout(encoder.pooler(cls_hidden[:, None])))
        return logits

    @override
    def parts(self, layer: Any) -> LayerParts:
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

    @override
    def attention_dropout(self, layer: Any) -> float:
        probability: float = layer.attention.self.dropout.p
        return probability

    @override
    def finish(self, layer: Any, context: Tensor, residual: Tensor) -> Tensor:
        output: Tensor = layer.feed_forward_chunk(layer.attention.output(context, residual))
        return output


class Roberta(Bert):
    """RoBERTa: positions are counted from the padding piece's number on, and the classifier has its own dense layer."""

    new_weights = ("classifier.",)

    @override
    def longest(self, config: Any) -> int:
        pieces: int = config.max_position_embeddings - config.pad_token_id - 1
        return pieces

    @override
    def embed(self, encoder: Any, input_ids: Tensor, token_type_ids: Tensor, position: Tensor) -> Tensor:
        return super().embed(encoder, input_ids, token_type_ids, position + encoder.embeddings.padding_idx + 1)

    @override
    def classify(self, model: Any, encoder: Any, cls_hidden: Tensor) -> Tensor:
        del encoder
        logits: Tensor = model.classifier(cls_hidden[:, None])
        return logits


class Electra(Bert):
    """ELECTRA: embeddings may be narrower than the hidden states; their projection counts as part of them."""

    new_weights = ("classifier.",)

    @override
    def shape(self, config: Any) -> Shape:
        return replace(super().shape(config), embedding=config.embedding_size)

    @override
    def embedding_layer(self, encoder: Any) -> nn.Module:
        module: nn.Module = getattr(encoder, "embeddings_project", encoder.embeddings)
        return module

    @override
    def embed(self, encoder: Any, input_ids: Tensor, token_type_ids: Tensor, position: Tensor) -> Tensor:
        embedded = super().embed(encoder, input_ids, token_type_ids, position)
        return self.embedding_layer(encoder)(embedded) if hasattr(encoder, "embeddings_project") else embedded

    @override
    def classify(self, model: Any, encoder: Any, cls_hidden: Tensor) -> Tensor:
        del encoder
        logits: Tensor = model.classifier(cls_hidden[:, None])
        return logits
