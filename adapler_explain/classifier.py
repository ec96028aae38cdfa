"""From words to class probabilities and back: pieces, windows, batches. The only user of a tokenizer.

A document longer than the encoder is cut into windows of nearly equal size, at word boundaries; nothing is left out.
The document's probabilities are the mean over its windows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers import logging as transformers_logging

import adapler_explain.modeling  # noqa: F401  (registers the model with transformers' Auto classes)
from adapler_explain import backbones, packed_encoder
from adapler_explain.windows import BATCH_PIECES, TextError, Window, by_pieces, cut
from eraser_eval.datasets import Split
from eraser_eval.errors import DataError, MissingError, UsageError
from eraser_eval.files import checksum


class Classifier:
    """A sequence classifier with its tokenizer and the names of its classes.

    Args:
        model: a transformers sequence classifier.
        tokenizer: its fast tokenizer.
        window_pieces: the most pieces in a window, special ones included.

    Attributes:
        labels: class names in the order of the logits.
        checksum: of the files it was loaded from, see :func:`model_checksum`; empty for a model made in memory.

    Raises:
        UsageError: the tokenizer is not a fast one or lacks [CLS], [SEP] or padding; the window does not fit the
        encoder.
    """

    def __init__(self, model: Any, tokenizer: Any, window_pieces: int) -> None:
        if not backbones.is_supported(model):
            raise UsageError(f"model_type {model.config.model_type!r} is not supported; give a BERT classifier")
        if not tokenizer.is_fast or None in (tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id):
            raise UsageError("the tokenizer must be a fast one with cls, sep and pad tokens")
        if not 8 <= window_pieces <= model.config.max_position_embeddings:
            raise UsageError(
                f"a window must be 8 to {model.config.max_position_embeddings} pieces, not {window_pieces}"
            )
        self.model = model
        self.tokenizer = tokenizer
        self.window_pieces = window_pieces
        self.checksum = ""
        self.labels = tuple(model.config.id2label[index] for index in range(model.config.num_labels))

    @classmethod
    def load(
        cls, path: str | Path, device: str = "cpu", window_pieces: int | None = None, **options: Any
    ) -> Classifier:
        """The classifier saved at ``path`` (a folder or a hub id), in float32 and ``eval()`` mode.

        Raises:
            MissingError: nothing that can be loaded is there; weights that are not safetensors are never read.
        """
        model, tokenizer = load_pretrained(path, dtype=torch.float32, **options)
        pieces = window_pieces or getattr(model.config, "window_pieces", model.config.max_position_embeddings)
        classifier = cls(model.to(device).eval(), tokenizer, pieces)
        classifier.checksum = model_checksum(path, model)
        return classifier

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        device: torch.device = self.model.device
        return device

    def windows(self, words: Sequence[str], query: str = "") -> list[Window]:
        """The windows of a document in reading order.

        Args:
            words: the document's words; each is cut into pieces by itself.
            query: goes before every window, as the first text of a pair.

        Strings that look like special pieces (``[SEP]``) are read as text.

        Raises:
            TextError: the query leaves no room, or the words hold no piece.
        """
        special = self.tokenizer
        first = special(query, add_special_tokens=False, split_special_tokens=True)["input_ids"] if query else []
        head = [special.cls_token_id, *first, *([special.sep_token_id] if first else [])]
        room = self.window_pieces - len(head) - 1
        if room < 1:
            raise TextError(f"the query of {len(first)} pieces leaves no room in a window of {self.window_pieces}")
        encoding = special(
            list(words), is_split_into_words=True, add_special_tokens=False, split_special_tokens=True, verbose=False
        )
        pieces, owners = encoding["input_ids"], encoding.word_ids()
        if not pieces:
            raise TextError("the text holds no piece that the tokenizer knows; remove or mend the document")
        segment = 1 if first else 0
        return [
            Window(
                input_ids=(*head, *pieces[a:b], special.sep_token_id),
                token_type_ids=(*[0] * len(head), *[segment] * (b - a + 1)),
                words=(*[-1] * len(head), *owners[a:b], -1),
            )
            for a, b in cut(owners, room)
        ]

    def batch(self, windows: Sequence[Window]) -> dict[str, Tensor]:
        """The windows as a batch padded on the right: ``input_ids``, ``attention_mask``, ``token_type_ids``."""
        length = max(len(window) for window in windows)

        def padded(rows: list[tuple[int, ...]], filler: int) -> Tensor:
            return torch.tensor([(*row, *[filler] * (length - len(row))) for row in rows], device=self.device)

        return {
            "input_ids": padded([window.input_ids for window in windows], self.tokenizer.pad_token_id),
            "attention_mask": padded([(1,) * len(window) for window in windows], 0),
            "token_type_ids": padded([window.token_type_ids for window in windows], 0),
        }

    def forward(self, windows: Sequence[Window], **options: Any) -> Any:
        """The model's output for ``windows`` as one batch; ``options`` go to its forward pass."""
        return self.model(**self.batch(windows), **options)

    def pruned(
        self, windows: Sequence[Window], budget: int = BATCH_PIECES, operating_point: float = 1.0
    ) -> Iterator[tuple[list[Window], Any]]:
        """The pruned outputs of ``windows`` in order, in groups of at most ``budget`` pieces, each with its windows.

        ``operating_point`` is a factor of the thresholds: above 1 keeps fewer pieces.
        """
        for group in by_pieces(windows, budget):
            with torch.inference_mode():
                output = self.forward(group, prune=True, operating_point=operating_point)
            yield group, output

    def logits(self, windows: Sequence[Window], prune: bool, budget: int = BATCH_PIECES) -> Tensor:
        """Class logits ``[windows, classes]`` in order, with removal or without, in groups of ``budget`` pieces."""
        if prune:
            return torch.cat([output.logits for _, output in self.pruned(windows, budget)])
        with torch.inference_mode():
            groups = [packed_encoder.dense_logits(self.model, **self.batch(g)) for g in by_pieces(windows, budget)]
        return torch.cat(groups)

    def dense_options(self) -> dict[str, bool]:
        """What to give :meth:`forward` for a pass that removes nothing."""
        return {"prune": False} if hasattr(self.model, "adapler") else {}


def all_windows(classifier: Classifier, split: Split) -> list[list[Window]]:
    """The windows of every example of a split.

    Raises:
        DataError: a document cannot be cut, with its line.
    """
    found = []
    for example in split.examples:
        try:
            found.append(classifier.windows(example.words, example.query))
        except TextError as error:
            raise DataError(split.file, f"{example.id!r}: {error}", example.line) from None
    return found


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
    lacking = sorted({*info["missing_keys"], *(key[0] for key in info["mismatched_keys"])})
    lacking = [name for name in lacking if not name.startswith(new)]
    if lacking:
        raise MissingError(
            f"{path}: lacks {len(lacking)} weights of the model ({lacking[0]}, …); give a complete checkpoint"
        )
    return model, tokenizer


def check_device(name: str) -> None:
    """Raise UsageError unless ``name`` is a torch device that this machine has."""
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"--device {name}: {str(error).strip().splitlines()[0]}") from None


def model_checksum(path: str | Path, model: Any) -> str:
    """What fixes a model: the checksum of a folder's weights, configuration and tokenizer, or a hub id with commit."""
    folder = Path(path)
    if not folder.is_dir():
        return f"hub:{path}@{getattr(model.config, '_commit_hash', None)}"
    names = ("config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt")
    return checksum([*sorted(folder.glob("*.safetensors")), *(folder / n for n in names if (folder / n).is_file())])
