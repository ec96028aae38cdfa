"""From words to class probabilities and back: pieces, windows, batches. Nothing else asks a tokenizer.

A document longer than the encoder is cut into windows of nearly equal size, at word boundaries; nothing is left out.
The document's probabilities are the mean over its windows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from adapler_explain import backbones, packed_encoder
from adapler_explain.config import operating_factor
from adapler_explain.loading import check_kind, load_pretrained, model_checksum
from adapler_explain.windows import BATCH_PIECES, GPU_TIMES, Frame, Input, Pieces, TextError, Window, by_pieces, cut
from eraser_eval.datasets import Split
from eraser_eval.errors import DataError, UsageError
from eraser_eval.records import Example

SURROGATE = re.compile("[\ud800-\udfff]")


class Classifier:
    """A sequence classifier with its tokenizer and the names of its classes.

    Args:
        model: a transformers sequence classifier.
        tokenizer: its fast tokenizer.
        window_pieces: the most pieces in a window, special ones included; None: as many as the encoder takes.

    Attributes:
        labels: class names in the order of the logits.
        checksum: of the files it was loaded from, see :func:`loading.model_checksum`; empty for a model made in memory.

    Raises:
        UsageError: it is no sequence classifier, or the encoder is not supported; the tokenizer is not a fast one or
            lacks [CLS], [SEP] or padding; the window does not fit the encoder.
    """

    def __init__(self, model: Any, tokenizer: Any, window_pieces: int | None) -> None:
        check_kind(model)
        reason = backbones.refusal(model.config)
        if reason:
            raise UsageError(reason)
        if not tokenizer.is_fast or None in (tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id):
            raise UsageError("the tokenizer must be a fast one with cls, sep and pad tokens")
        longest = backbones.longest(model)
        window_pieces = window_pieces or longest
        if not 8 <= window_pieces <= longest:
            raise UsageError(f"a window must be 8 to {longest} pieces, not {window_pieces}")
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
        pieces = window_pieces or getattr(model.config, "window_pieces", None)
        classifier = cls(model.to(device).eval(), tokenizer, pieces)
        classifier.checksum = model_checksum(path, model)
        return classifier

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        device: torch.device = self.model.device
        return device

    def windows(self, words: Sequence[str], query: str = "", pair_at: int | None = None) -> list[Window]:
        """The windows of a document, or of a pair of texts, in reading order.

        They are what the tokenizer makes of the words joined by spaces, special pieces included: where all fits in one
        window, what it makes of the text, of query and text, or of both texts. A text that does not fit is cut into
        windows of nearly equal size; of a pair the first text is cut, and each window holds the whole second.

        Args:
            words: the document's, or those of both texts.
            query: goes before every window, as the first text of a pair; where there is a pair, before its first text.
            pair_at: the index of the second text's first word; None: there is no second text.

        Strings that look like special pieces (``[SEP]``) are read as text.

        Raises:
            TextError: the query or the second text leaves no room, or a text holds no piece.
            UsageError: the tokenizer puts no [CLS] in front.
        """
        return self.cut(self.read(words, query, pair_at))

    def read(self, words: Sequence[str], query: str = "", pair_at: int | None = None) -> Input:
        """The pieces of a document, or of a pair of texts, and of its query; arguments and errors as above."""
        lead = [query] if query else []
        if pair_at is None:
            found = Input(self._pieces(lead, -1), self._pieces(words, 0))
        else:
            both, second = self._pieces([*lead, *words[:pair_at]], -len(lead)), self._pieces(words[pair_at:], pair_at)
            own = both.words.count(-1)
            found = Input(both[:own], both[own:], second)
        if not found.first or (pair_at is not None and not found.second):
            raise TextError("the text holds no piece that the tokenizer knows; remove or mend the document")
        return found

    def cut(self, pieces: Input) -> list[Window]:
        """The windows of what was read, or of what was left of it; one with special pieces alone where nothing is.

        Raises:
            TextError: the query or the second text leaves no room.
        """
        single, double = self._frames
        asked, first, second = pieces.asked, pieces.first, pieces.second
        frame = single if second is None and not asked else double
        length = 0 if second is None else len(second)
        room = self.window_pieces - len(frame) - len(asked) - length
        if room < 1:
            fixed = " and ".join([*(["the query"] if asked else []), *(["the second text"] if second else [])])
            raise TextError(
                f"{fixed} of {len(asked) + length} pieces leaves no room in a window of {self.window_pieces}"
            )
        stretches = [first[a:b] for a, b in cut(first.words, room)] if first else [first]
        if second is not None:
            return [frame.window(asked + stretch, second) for stretch in stretches]
        return [frame.window(asked, stretch) if asked else frame.window(stretch) for stretch in stretches]

    def windows_of(self, example: Example) -> list[Window]:
        """The windows of an example; see :meth:`windows`."""
        return self.cut(self.read_example(example))

    def read_example(self, example: Example) -> Input:
        """The pieces of an example; see :meth:`read`."""
        return self.read(example.words, example.query, example.pair_at)

    @cached_property
    def _frames(self) -> tuple[Frame, Frame]:
        """The special pieces around one text and around two, as the tokenizer itself puts them."""
        encodings = [self.tokenizer(*texts).encodings[0] for texts in (["a"], ["a", "a"])]
        single, double = (Frame.around(e.ids, e.type_ids, e.sequence_ids) for e in encodings)
        for frame, texts in ((single, [0]), (double, [0, 1])):
            found = [text for text, _, _ in frame.parts if text is not None]
            if found != texts or frame.parts[0][1][:1] != (self.tokenizer.cls_token_id,):
                raise UsageError("the tokenizer must put its cls piece before a text, and know the letter a; mend it")
        return single, double

    def _pieces(self, words: Sequence[str], at: int) -> Pieces:
        """The pieces of ``words``, of which the first is the document's word ``at``; -1: it is not of the document.

        The words are read together: some tokenizers (RoBERTa's) write a word after a space otherwise than at a start.

        Raises:
            TextError: half of a surrogate pair is among them, which is no character.
        """
        text = " ".join(words)
        if SURROGATE.search(text):
            raise TextError("the text holds half of a surrogate pair, which is no character; remove or mend it")
        encoding = self.tokenizer(
            text,
            add_special_tokens=False,
            split_special_tokens=True,
            return_offsets_mapping=True,
            verbose=False,
        )
        begin, end = np.array(encoding["offset_mapping"], dtype=np.int64).reshape(-1, 2).T
        # A space belongs to the word after it.
        ends = np.cumsum([len(word) + 1 for word in words]) - 1
        owners = np.searchsorted(ends, np.maximum(begin, end - 1), side="right") + at
        return Pieces(encoding["input_ids"], owners.tolist())

    def batch(self, windows: Sequence[Window]) -> dict[str, Tensor]:
        """The windows as a batch padded on the right: ``input_ids``, ``attention_mask``, and ``token_type_ids`` for
        encoders that know some; zeros where they know one."""
        length = max(len(window) for window in windows)

        def padded(rows: list[tuple[int, ...]], filler: int) -> Tensor:
            return torch.tensor([(*row, *[filler] * (length - len(row))) for row in rows], device=self.device)

        batch = {
            "input_ids": padded([window.input_ids for window in windows], self.tokenizer.pad_token_id),
            "attention_mask": padded([(1,) * len(window) for window in windows], 0),
        }
        for row, window in enumerate(windows):
            if window.absent:
                batch["attention_mask"][row, list(window.absent)] = 0
        segments = backbones.segments(self.model)
        if segments:
            types = padded([window.token_type_ids for window in windows], 0)
            batch["token_type_ids"] = types if segments > 1 else torch.zeros_like(types)
        return batch

    def forward(self, windows: Sequence[Window], **options: Any) -> Any:
        """The model's output for ``windows`` as one batch; ``options`` go to its forward pass."""
        return self.model(**self.batch(windows), **options)

    def budget(self, pieces: int = BATCH_PIECES) -> int:
        """Pieces that fill a pass on the model's device, where so many ``pieces`` fill one on a processor."""
        return pieces * (GPU_TIMES if self.device.type == "cuda" else 1)

    def pruned(
        self, windows: Sequence[Window], budget: int | None = None, operating_point: float | str = 1.0
    ) -> Iterator[tuple[list[Window], Any]]:
        """The pruned outputs of ``windows`` in order, in groups of at most ``budget`` pieces, each with its windows.

        ``operating_point`` is a factor of the thresholds, above 1 keeps fewer pieces; or the name of a stored point.
        """
        for group in by_pieces(windows, budget or self.budget()):
            with torch.inference_mode():
                output = self.forward(group, prune=True, operating_point=operating_point)
            yield group, output

    def factor(self, operating_point: float | str, option: str = "--operating-point") -> float:
        """The factor of the thresholds, above 0, that ``operating_point`` stands for, from the command line.

        Raises:
            UsageError: it is no such number, or the model has no point of that name.
        """
        try:
            factor = operating_factor(self.model.config, operating_point)
        except ValueError as error:
            raise UsageError(f"{option}: {error}") from None
        if factor == 0:
            raise UsageError(f"{option} {operating_point}: give a number above 0, or the name of a stored point")
        return factor

    def logits(
        self,
        windows: Sequence[Window],
        prune: bool,
        budget: int | None = None,
        operating_point: float | str = 1.0,
    ) -> Tensor:
        """Class logits ``[windows, classes]`` in order, with removal or without, in groups of ``budget`` pieces."""
        budget = budget or self.budget()
        if prune:
            return torch.cat([output.logits for _, output in self.pruned(windows, budget, operating_point)])
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
            found.append(classifier.windows_of(example))
        except TextError as error:
            raise DataError(split.file, f"{example.id!r}: {error}", example.line) from None
    return found
