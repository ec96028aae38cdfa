"""What is asked of an architecture."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn


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


@dataclass(frozen=True)
class Shape:
    """The sizes that operations are counted from.

    Attributes:
        hidden: width of the hidden states.
        embedding: width of the embeddings; where it is not ``hidden`` a linear map stands between.
        feed_forward: weights of the linear maps of a layer's feed-forward network.
        reaches: for each layer how many columns away its attention sees; None: everywhere.
        fused: whether queries, keys and values come from one map, so that none is made without the others.
    """

    hidden: int
    embedding: int
    feed_forward: int
    reaches: tuple[int | None, ...]
    fused: bool = False


class Backbone(ABC):
    """The attribute names of one architecture: of its encoder, its layers, and the classifier on top.

    The arguments are described where the methods are called, in :mod:`adapler_explain.backbones`.

    Attributes:
        new_weights: beginnings of names that a pretrained encoder without a classifier may lack.
        hidden_dropouts, attention_dropouts: configuration entries of dropout, of hidden states and attention weights.
    """

    new_weights: ClassVar[tuple[str, ...]] = ("classifier.",)
    hidden_dropouts: ClassVar[tuple[str, ...]] = ("hidden_dropout_prob",)
    attention_dropouts: ClassVar[tuple[str, ...]] = ("attention_probs_dropout_prob",)

    # ---------------------------------------------------------------- configuration

    def refusal(self, config: Any) -> str | None:
        """Why the encoder of ``config`` cannot be used; None: it can."""
        if getattr(config, "is_decoder", False):
            return "config.is_decoder must be false: AdapLeR reads a [CLS] that sees the whole text"
        return None

    def segments(self, config: Any) -> int:
        """How many token types the encoder tells apart; 0: it takes none."""
        del config
        return 0

    def longest(self, config: Any) -> int:
        """The most pieces of a text."""
        pieces: int = config.max_position_embeddings
        return pieces

    def shape(self, config: Any) -> Shape:
        """The sizes of the encoder of ``config``."""
        hidden = config.hidden_size
        return Shape(hidden, hidden, 2 * hidden * config.intermediate_size, (None,) * config.num_hidden_layers)

    # ---------------------------------------------------------------- encoder and classifier

    def embedding_layer(self, encoder: Any) -> nn.Module:
        """The module whose output enters layer 0."""
        module: nn.Module = encoder.embeddings
        return module

    def layers(self, encoder: Any) -> Sequence[nn.Module]:
        """The layers, first to last."""
        modules: Sequence[nn.Module] = encoder.encoder.layer
        return modules

    def set_layers(self, encoder: Any, kept: nn.ModuleList) -> None:
        """Make ``kept`` the layers."""
        encoder.encoder.layer = kept

    @abstractmethod
    def embed(self, encoder: Any, input_ids: Tensor, token_type_ids: Tensor, position: Tensor) -> Tensor:
        """Embeddings ``[total, hidden]`` of packed pieces."""

    @abstractmethod
    def classify(self, model: Any, encoder: Any, cls_hidden: Tensor) -> Tensor:
        """Logits ``[batch, classes]`` of [CLS]'s last hidden states."""

    # ---------------------------------------------------------------- one layer

    @abstractmethod
    def parts(self, layer: Any) -> LayerParts | None:
        """The parts of a layer whose norms come last; None for others."""

    def project(
        self, layer: Any, rows: Tensor, hidden: Tensor, row_positions: Tensor, positions: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values."""
        del row_positions, positions
        known = self.parts(layer)
        assert known is not None
        query, key, value = (
            linear(entering).unflatten(-1, (known.heads, -1))
            for linear, entering in ((known.query, rows), (known.key, hidden), (known.value, hidden))
        )
        return query, key, value

    def reach(self, layer: Any) -> int | None:
        """How many columns away the layer's attention sees; None: everywhere."""
        del layer
        return None

    @abstractmethod
    def attention_dropout(self, layer: Any) -> float:
        """Probability that training drops an attention weight."""

    @abstractmethod
    def finish(self, layer: Any, context: Tensor, residual: Tensor) -> Tensor:
        """All of a layer that follows its attention."""
