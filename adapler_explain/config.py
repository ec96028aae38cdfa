"""Settings that travel with the weights. (Annotations are not postponed: transformers checks values by them.)"""

import json
import math
from dataclasses import dataclass
from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import BertConfig, DistilBertConfig, ElectraConfig, ModernBertConfig, RobertaConfig


@dataclass(kw_only=True, repr=False)
class AdaplerConfig:
    """What AdapLeR's length reduction adds to the configuration of an encoder with a classifier.

    The configuration of a stock checkpoint of the same architecture is read as one with the defaults below.

    Attributes:
        predictor_width: hidden units of each contribution predictor.
        window_pieces: the pieces of a window, special ones included, that long documents are cut into.
        operating_points: named factors of the thresholds, with what they were measured to cost and save.
    """

    predictor_width: int = 32
    window_pieces: int = 512
    operating_points: dict[str, Any] | None = None

    @classmethod
    def get_config_dict(
        cls, pretrained_model_name_or_path: Any, **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The entries of ``config.json`` at a path or hub id, and those of ``kwargs`` that are not for finding it."""
        found, rest = super().get_config_dict(pretrained_model_name_or_path, **kwargs)  # type: ignore[misc]
        own: str = cls.model_type  # type: ignore[attr-defined]
        if f"adapler_{found.get('model_type')}" == own:
            found["model_type"] = own
        return found, rest


@strict
class AdaplerBertConfig(AdaplerConfig, BertConfig):
    """The configuration of a BERT (or MiniLM) classifier with AdapLeR's length reduction."""

    model_type = "adapler_bert"


@strict
class AdaplerRobertaConfig(AdaplerConfig, RobertaConfig):
    """The configuration of a RoBERTa classifier with AdapLeR's length reduction."""

    model_type = "adapler_roberta"


@strict
class AdaplerDistilBertConfig(AdaplerConfig, DistilBertConfig):
    """The configuration of a DistilBERT classifier with AdapLeR's length reduction."""

    model_type = "adapler_distilbert"


@strict
class AdaplerElectraConfig(AdaplerConfig, ElectraConfig):
    """The configuration of an ELECTRA classifier with AdapLeR's length reduction."""

    model_type = "adapler_electra"


@strict
class AdaplerModernBertConfig(AdaplerConfig, ModernBertConfig):
    """The configuration of a ModernBERT classifier with AdapLeR's length reduction."""

    model_type = "adapler_modernbert"


def operating_factor(config: Any, operating_point: float | str) -> float:
    """The factor of the thresholds that ``operating_point`` stands for: above 1 keeps fewer pieces.

    Args:
        config: a model's.
        operating_point: the factor, also as text; or the name of a point that ``adapler-explain tune`` stored in the
            attribute ``operating_points`` of ``config``, name to what was measured there; empty: 1.

    Raises:
        ValueError: no such point, or no number of at least 0.
    """
    stored = getattr(config, "operating_points", None) or {}
    if operating_point in stored:
        return float(stored[operating_point]["factor"])
    try:
        factor = float(operating_point or 1.0) if isinstance(operating_point, str) else float(operating_point)
    except ValueError:
        names = f"of {', '.join(stored)}" if stored else "that 'adapler-explain tune' stores (this model has none)"
        raise ValueError(f"operating point {operating_point!r}: give a number or a name {names}") from None
    if not 0 <= factor < math.inf:
        raise ValueError(f"operating point {operating_point}: give a finite number of at least 0")
    return factor


def without_points(config_file: bytes) -> bytes:
    """The content of a ``config.json``, as transformers writes it, before any operating point was stored."""
    content = json.loads(config_file)
    if "operating_points" not in content:
        return config_file
    del content["operating_points"]
    return json.dumps(content, indent=2).encode() + b"\n"
