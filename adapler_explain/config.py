"""Settings that travel with the weights."""

from __future__ import annotations

from huggingface_hub.dataclasses import strict
from transformers import BertConfig


@strict
class AdaplerBertConfig(BertConfig):
    """The configuration of a BERT classifier with AdapLeR's length reduction.

    Attributes:
        predictor_width: hidden units of each contribution predictor.
        window_pieces: the pieces of a window, special ones included, that long documents are cut into.
    """

    model_type = "adapler_bert"

    predictor_width: int = 32
    window_pieces: int = 512
