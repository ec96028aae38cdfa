"""Checkpoints from disk: safetensors alone, complete, of a supported encoder; what fixes one; devices."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers import logging as transformers_logging

import adapler_explain.modeling  # noqa: F401  (registers the model with transformers' Auto classes)
from adapler_explain import backbones
from adapler_explain.config import without_points
from eraser_eval.errors import MissingError, UsageError
from eraser_eval.files import checksum

# transformers' names of models that do not classify a whole text.
OTHER_PURPOSE = re.compile(
    "For(MaskedLM|CausalLM|PreTraining|NextSentencePrediction|TokenClassification|QuestionAnswering|MultipleChoice)$"
)


def load_pretrained(
    path: str | Path, model_class: Any = AutoModelForSequenceClassification, new: tuple[str, ...] = (), **options: Any
) -> Any:
    """The model and the tokenizer saved at ``path``, from safetensors alone and, for a folder, without the network.

    Args:
        path: folder or hub id.
        model_class: what to load it as.
        new: beginnings of the names of weights that ``path`` may lack, or have for other classes; they are then new.
        **options: for ``from_pretrained``.

    Raises:
        MissingError: nothing that can be loaded is there, or weights are missing.
        UsageError: the encoder is not supported.
    """
    folder = Path(path)
    if folder.is_dir() and not list(folder.glob("*.safetensors")):
        raise MissingError(
            f"{path}: no *.safetensors in this folder; convert the weights (pickled ones are never read)"
        )
    options |= {"use_safetensors": True, "output_loading_info": True, "ignore_mismatched_sizes": True}
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        model, info = model_class.from_pretrained(str(path), **options)
        tokenizer = AutoTokenizer.from_pretrained(str(path))
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise MissingError(f"{path}: no model that can be loaded is there ({reason})") from None
    finally:
        transformers_logging.set_verbosity(verbosity)
    refusal = backbones.refusal(model.config)
    if refusal:
        raise UsageError(f"{path}: {refusal}")
    lacking = sorted({*info["missing_keys"], *(key[0] for key in info["mismatched_keys"])})
    lacking = [name for name in lacking if not name.startswith(new)]
    if lacking:
        raise MissingError(
            f"{path}: lacks {len(lacking)} weights of the model ({lacking[0]}, …); give a complete checkpoint"
        )
    return model, tokenizer


def check_kind(model: Any) -> None:
    """Raise UsageError where ``model`` is no sequence classifier: a bare encoder, or one for another purpose."""
    kinds = [kind.__name__ for kind in type(model).__mro__]
    other = any(OTHER_PURPOSE.search(kind) for kind in kinds)
    classifies = any(kind.endswith("ForSequenceClassification") for kind in kinds)
    if (other and not classifies) or not (hasattr(model, "config") and hasattr(model, "classifier")):
        raise UsageError(f"{kinds[0]} is no sequence classifier of transformers; give one")


def check_device(name: str, option: str = "--device") -> None:
    """Raise UsageError unless ``name``, from ``option``, is a torch device that this machine has."""
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"{option} {name}: {str(error).strip().splitlines()[0]}") from None
    if torch.device(name).type == "meta":
        raise UsageError(f"{option} {name}: computes nothing; give cpu, cuda or mps")


def model_checksum(path: str | Path, model: Any) -> str:
    """What fixes a model: the checksum of a folder's weights, configuration and tokenizer, or a hub id with commit.

    Operating points stored in the configuration do not count: a run says which factor it took.
    """
    folder = Path(path)
    if not folder.is_dir():
        return f"hub:{path}@{getattr(model.config, '_commit_hash', None)}"
    names = ["config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt"]
    # What a tokenizer is made from where it was not saved whole.
    names += [] if (folder / "tokenizer.json").is_file() else ["vocab.json", "merges.txt"]
    found = [*sorted(folder.glob("*.safetensors")), *(folder / n for n in names if (folder / n).is_file())]
    return checksum(without_points(path.read_bytes()) if path.name == "config.json" else path for path in found)
