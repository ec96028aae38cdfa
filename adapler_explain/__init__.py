"""AdapLeR: BERT-like encoders that drop pieces layer by layer, and what the pieces they keep explain."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from eraser_eval import __version__

if TYPE_CHECKING:
    from adapler_explain.explanation import Explanation, explain
    from adapler_explain.modeling import AdaplerForSequenceClassification
    from adapler_explain.training import TrainConfig, train

__all__ = ["AdaplerForSequenceClassification", "Explanation", "TrainConfig", "__version__", "explain", "train"]

# What needs torch is imported when it is asked for.
LAZY = {
    "AdaplerForSequenceClassification": "modeling",
    "Explanation": "explanation",
    "TrainConfig": "training",
    "explain": "explanation",
    "train": "training",
}


def __getattr__(name: str) -> Any:
    """A public name from the module that holds it."""
    if name in LAZY:
        return getattr(import_module(f"adapler_explain.{LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
