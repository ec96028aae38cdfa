"""What AdapLeR adds to a stock classifier, whatever its architecture: one loop over the stock layers, with removal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.utils.generic import ModelOutput

from adapler_explain import backbones, packed_encoder, packed_layer, removal
from adapler_explain.config import operating_factor
from adapler_explain.contribution import LengthReduction
from adapler_explain.removal import Packed
from adapler_explain.soft_pass import SoftOutput, soft_pass


class Removals:
    """What was removed, and why.

    Attributes:
        alive: a bool tensor ``[batch, length]`` per layer: the pieces that the layer processes.
        contributions: ``[batch, length]`` per layer: the predictor's distribution c over the pieces alive before the
            layer's removal; 0 elsewhere.
        margins: ``[batch, length]`` per layer: removal score over threshold, s / δ, of the same pieces. A piece that
            is not [CLS] stays when its margin is at least 1.
    """

    alive: tuple[Tensor, ...] | None = None
    contributions: tuple[Tensor, ...] | None = None
    margins: tuple[Tensor, ...] | None = None


@dataclass
class PrunedOutput(Removals, ModelOutput):
    """What a pruned forward pass returns.

    The attributes of :class:`Removals` are not among its items: transformers' pipelines cut those text by text, and its
    Trainer collects them.

    Attributes:
        loss: cross entropy, when labels were given.
        logits: ``[batch, classes]``.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None


def padded(values: Sequence[Tensor], places: Sequence[Tensor], shape: tuple[int, int]) -> tuple[Tensor, ...]:
    """Packed ``values`` ``[total]`` of each layer at their places in the padded batch of ``shape``; 0 elsewhere."""
    layers = values[0].new_zeros(len(values), shape[0] * shape[1])
    for number, (found, there) in enumerate(zip(values, places, strict=True)):
        layers[number].index_copy_(0, there, found)
    made: tuple[Tensor, ...] = layers.unflatten(1, shape).unbind()
    return made


def marked(places: Sequence[Tensor], shape: tuple[int, int]) -> tuple[Tensor, ...]:
    """Of each layer a bool tensor of ``shape``, True at its ``places`` ``[total]`` in the padded batch."""
    layers = places[0].new_zeros(len(places), shape[0] * shape[1], dtype=torch.bool)
    for row, there in zip(layers, places, strict=True):
        row.index_fill_(0, there, True)
    made: tuple[Tensor, ...] = layers.unflatten(1, shape).unbind()
    return made


class Pruned(PreTrainedModel):
    """A classifier that drops pieces of little contribution, layer by layer: the part before a stock classifier.

    A subclass names this class and transformers' stock one, in this order, and its ``config_class``. It loads any stock
    checkpoint; only the parameters below ``adapler.`` (and, from a bare encoder, the classifier) are then new. In
    ``eval()`` mode the forward pass removes pieces for good; with ``prune=False``, and by default in ``train()`` mode,
    it is the stock model's, to the bit.

    Without gradients the layers run on maps made once from their weights (on CPU as much memory again), which are made
    anew when a weight changes or an optimizer steps; a change through ``weight.data`` alone cannot be seen: call
    ``train()`` and ``eval()``. Layers with hooks, adapters or dropout, and those of ModernBERT, run as they stand.

    Attributes:
        quantized: run the layers' linear maps in int8 (CPU, without gradients); the weights stay as they are.

    Raises:
        ValueError: the configuration is one that AdapLeR cannot serve, see :func:`backbones.refusal`.

    Source: Modarressi, Mohebbi, Pilehvar, "AdapLeR", ACL 2022.
    """

    quantized: bool = False

    def __init__(self, config: Any) -> None:
        reason = backbones.refusal(config)
        if reason:
            raise ValueError(reason)
        super().__init__(config)
        self.adapler = LengthReduction(config.num_hidden_layers, config.hidden_size, config.predictor_width)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: torch.nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, LengthReduction):
            module.reset_thresholds()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        prune: bool | None = None,
        operating_point: float | str = 1.0,
        **stock: Any,
    ) -> Any:
        """Class logits of a padded batch, with hard removal or (``prune=False``) without any.

        Args:
            input_ids: ``[batch, length]``, each row beginning with [CLS], padded on the right.
            attention_mask: ``[batch, length]``, 1 for pieces and 0 for padding; None: no padding.
            token_type_ids: ``[batch, length]`` or None for zeros; for encoders that know some.
            labels: ``[batch]``, for a loss.
            prune: remove pieces? None: in ``eval()`` mode only.
            operating_point: factor of the thresholds, above 1 keeps fewer pieces; or the name of a stored point.
            **stock: further arguments of the stock forward pass, for ``prune=False`` alone.

        Returns:
            :class:`PrunedOutput`, or the stock ``SequenceClassifierOutput`` without pruning.

        Raises:
            ValueError: ``input_ids`` is missing while pruning, a row begins with padding, or ``stock`` is not empty;
                or there is no such operating point.
        """
        if not (prune if prune is not None else not self.training):
            if token_type_ids is not None:
                stock["token_type_ids"] = token_type_ids
            return super().forward(input_ids, attention_mask=attention_mask, labels=labels, **stock)
        stock.pop("return_dict", None)
        if input_ids is None or any(value is not None for value in stock.values()):
            raise ValueError(
                f"a pruned forward pass needs input_ids and does not take {sorted(stock)}; give prune=False"
            )
        packed = packed_encoder.enter(self, input_ids, attention_mask, token_type_ids)
        return self._forward_pruned(packed, operating_factor(self.config, operating_point), labels)

    def decide(self, layer: int, packed: Packed, eta: Tensor) -> removal.Decision:
        """Which of ``packed``'s pieces stay for ``layer`` (from 0) at the thresholds ``eta`` of :meth:`thresholds`."""
        reduction = self.adapler
        logits = reduction.predictors[layer](packed.hidden)
        return removal.decide(logits, reduction.cls_multiplier(layer), eta[layer], packed)

    def thresholds(self, operating_point: float = 1.0) -> Tensor:
        """η of every layer, ``[layers]``, at the factor ``operating_point``."""
        return removal.at_factor(self.adapler.eta, operating_point)

    def _forward_pruned(self, packed: Packed, operating_point: float, labels: Tensor | None) -> PrunedOutput:
        shape = len(packed.lengths), packed.longest
        layers, eta = backbones.layers(self), self.thresholds(operating_point)
        decisions: list[removal.Decision] = []
        # Where the pieces of each layer's decision, and at the end the last layer's, stand in the padded batch.
        places = [packed.places(shape[1])]
        for index, layer in enumerate(layers):
            decision = self.decide(index, packed, eta)
            packed = removal.keep(packed, decision.kept, decision.counts)
            decisions.append(decision)
            places.append(packed.places(shape[1]))
            last = index == len(layers) - 1
            packed = replace(packed, hidden=packed_layer.run(layer, packed, last=last, quantized=self.quantized))
        logits = backbones.classify(self, packed.hidden)
        loss = None if labels is None else torch.nn.functional.cross_entropy(logits, labels)
        output = PrunedOutput(loss, logits)
        output.contributions = padded([decision.contributions for decision in decisions], places[:-1], shape)
        output.margins = padded([decision.margins for decision in decisions], places[:-1], shape)
        output.alive = marked(places[1:], shape)
        return output

    def train(self, mode: bool = True) -> Self:
        """As in PyTorch; what inference made from the weights is thrown away, as training is about to change them."""
        if mode:
            packed_layer.forget(self)
        super().train(mode)
        return self

    def forward_soft(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None, *, sharpness: float
    ) -> SoftOutput:
        """The forward pass of training: pieces fade instead of vanishing, and everything is differentiable.

        Args:
            input_ids: ``[batch, length]``, each row beginning with [CLS].
            attention_mask: ``[batch, length]``.
            token_type_ids: ``[batch, length]`` or None for zeros.
            sharpness: λ, see :func:`adapler_explain.removal.soft_mask`.

        Source: Modarressi et al. 2022, section 3.2.
        """
        packed = packed_encoder.enter(self, input_ids, attention_mask, token_type_ids)
        return soft_pass(self, packed, sharpness)
