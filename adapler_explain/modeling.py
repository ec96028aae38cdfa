"""AdapLeR's classifiers over transformers' own: one class an architecture, and the one that picks among them."""

from __future__ import annotations

from typing import Any

from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    BertForSequenceClassification,
    DistilBertForSequenceClassification,
    ElectraForSequenceClassification,
    ModernBertForSequenceClassification,
    PreTrainedConfig,
    RobertaForSequenceClassification,
)

from adapler_explain import backbones
from adapler_explain.config import (
    AdaplerBertConfig,
    AdaplerDistilBertConfig,
    AdaplerElectraConfig,
    AdaplerModernBertConfig,
    AdaplerRobertaConfig,
)
from adapler_explain.pruning import Pruned, PrunedOutput

__all__ = ["AdaplerForSequenceClassification", "PrunedOutput", "stock_class"]


class AdaplerBertForSequenceClassification(Pruned, BertForSequenceClassification):
    """A BERT (or MiniLM) classifier that drops pieces, see :class:`Pruned`."""

    config_class = AdaplerBertConfig
    config: AdaplerBertConfig


class AdaplerRobertaForSequenceClassification(Pruned, RobertaForSequenceClassification):
    """A RoBERTa classifier that drops pieces, see :class:`Pruned`."""

    config_class = AdaplerRobertaConfig
    config: AdaplerRobertaConfig


class AdaplerDistilBertForSequenceClassification(Pruned, DistilBertForSequenceClassification):
    """A DistilBERT classifier that drops pieces, see :class:`Pruned`."""

    config_class = AdaplerDistilBertConfig
    config: AdaplerDistilBertConfig


class AdaplerElectraForSequenceClassification(Pruned, ElectraForSequenceClassification):
    """An ELECTRA classifier that drops pieces, see :class:`Pruned`."""

    config_class = AdaplerElectraConfig
    config: AdaplerElectraConfig


class AdaplerModernBertForSequenceClassification(Pruned, ModernBertForSequenceClassification):
    """A ModernBERT classifier that drops pieces, see :class:`Pruned`."""

    config_class = AdaplerModernBertConfig
    config: AdaplerModernBertConfig


MODELS: dict[str, Any] = {
    "bert": AdaplerBertForSequenceClassification,
    "roberta": AdaplerRobertaForSequenceClassification,
    "distilbert": AdaplerDistilBertForSequenceClassification,
    "electra": AdaplerElectraForSequenceClassification,
    "modernbert": AdaplerModernBertForSequenceClassification,
}
for _model in MODELS.values():
    AutoConfig.register(_model.config_class.model_type, _model.config_class)
    AutoModelForSequenceClassification.register(_model.config_class, _model)


class AdaplerForSequenceClassification:
    """AdapLeR's classifier of the architecture that a checkpoint has; made by its two class methods alone."""

    def __init__(self) -> None:
        raise TypeError("use AdaplerForSequenceClassification.from_pretrained(path) or .from_config(config)")

    @classmethod
    def from_pretrained(cls, path: Any, **options: Any) -> Any:
        """The model of an AdapLeR checkpoint, or a new AdapLeR model over the weights of a stock one.

        Args:
            path: folder or hub id: an AdapLeR checkpoint, or a classifier or bare encoder of model type bert, roberta,
                distilbert, electra or modernbert.
            **options: for ``from_pretrained`` of transformers.

        Raises:
            ValueError: the checkpoint is of another model type, or of a configuration that AdapLeR cannot serve.
        """
        config = options.get("config")
        found = config.to_dict() if config is not None else PreTrainedConfig.get_config_dict(path, **options)[0]
        if config is not None:
            options["config"] = _own(config)
        return _class_for(found.get("model_type")).from_pretrained(path, **options)

    @classmethod
    def from_config(cls, config: Any) -> Any:
        """A model with random weights, from AdapLeR's or a stock encoder's configuration.

        Raises:
            ValueError: as above.
        """
        return _class_for(config.model_type)(_own(config))


def stock_class(model: Any) -> Any:
    """The class of transformers that the AdapLeR model ``model`` prunes."""
    return next(kind for kind in type(model).__mro__ if not issubclass(kind, Pruned))


def _class_for(model_type: str | None) -> Any:
    kind = backbones.stock_type(model_type or "")
    if kind not in MODELS:
        raise ValueError(backbones.unknown(model_type))
    return MODELS[kind]


def _own(config: Any) -> Any:
    """``config`` as AdapLeR's, with its defaults where it is a stock one."""
    own = _class_for(config.model_type).config_class
    return config if isinstance(config, own) else own.from_dict(config.to_dict() | {"model_type": own.model_type})
