"""Texts with words taken away, from the pieces that the tokenizer made once: nothing is decoded or tokenised again.

What the text is without the words (``remove``, cut into windows anew), with a mask piece in their place (``mask``), or
with the pieces there and unseen (``pad``: the attention mask is 0, all others keep their positions).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from adapler_explain import forced
from adapler_explain.classifier import Classifier
from adapler_explain.windows import Input, Window, by_pieces
from eraser_eval.errors import UsageError
from eraser_eval.records import BoolArray

OPERATORS = ("remove", "mask", "pad")
AT_LAYER = "layer:"


@dataclass(frozen=True)
class Operator:
    """How words are erased.

    Attributes:
        name: one of :data:`OPERATORS`; or ``layer``: they are there until a layer, which no longer sees them.
        layer: from 0.
    """

    name: str
    layer: int = 0

    @classmethod
    def of(cls, text: str, classifier: Classifier, option: str = "--faithfulness") -> Operator:
        """The operator called ``text``: one of :data:`OPERATORS`, or ``layer:`` and a layer.

        Raises:
            UsageError: there is none, or the model cannot do it.
        """
        layers = classifier.model.config.num_hidden_layers
        if text.startswith(AT_LAYER):
            number = text.removeprefix(AT_LAYER)
            if not number.isdecimal() or int(number) >= layers:
                raise UsageError(f"{option} {text}: the model has layers 0 to {layers - 1}")
            return cls("layer", int(number))
        if text not in OPERATORS:
            raise UsageError(f"{option} {text}: choose from {', '.join(OPERATORS)}, {AT_LAYER}NUMBER")
        if text == "mask" and classifier.tokenizer.mask_token_id is None:
            raise UsageError(f"{option} mask: the model's tokenizer has no mask piece; choose remove or pad")
        return cls(text)

    def __str__(self) -> str:
        """As it is written on the command line."""
        return f"{AT_LAYER}{self.layer}" if self.name == "layer" else self.name


def changed(window: Window, erased: BoolArray, name: str, mask_id: int | None) -> Window:
    """``window`` with the words ``erased`` ``[words]`` removed, masked or unseen; special and query pieces stay.

    >>> window = Window((2, 7, 8, 3), (0, 0, 0, 0), (-1, 0, 1, -1))
    >>> changed(window, np.array([True, False]), "remove", None).input_ids
    (2, 8, 3)
    >>> changed(window, np.array([True, False]), "pad", None).absent
    (1,)
    """
    owners = np.asarray(window.words)
    gone = (owners >= 0) & erased[owners]
    if name == "pad":
        return replace(window, absent=tuple(np.flatnonzero(gone).tolist()))
    if name == "mask":
        assert mask_id is not None
        ids = np.where(gone, mask_id, np.asarray(window.input_ids))
        return replace(window, input_ids=tuple(ids.tolist()))
    left = np.flatnonzero(~gone).tolist()
    rows = (window.input_ids, window.token_type_ids, window.words)
    return Window(*(tuple(row[place] for place in left) for row in rows))


@dataclass(frozen=True)
class Erased:
    """A document with words erased, ready for the model.

    Attributes:
        windows: what it reads.
        gone: for each window the columns that a layer no longer sees; empty but for the operator ``layer``.
    """

    windows: Sequence[Window]
    gone: Sequence[tuple[int, ...]] = ()


def erase(
    classifier: Classifier, pieces: Input, windows: Sequence[Window], erased: BoolArray, operator: Operator
) -> Erased:
    """The document without the words ``erased`` ``[words]``.

    Args:
        classifier: whose windows they are.
        pieces: the document.
        windows: the document, cut.
        erased: which words go.
        operator: how.
    """
    if operator.name == "remove":
        return Erased(classifier.cut(pieces.without(erased)))
    if operator.name == "layer":
        rows = [np.asarray(window.words) for window in windows]
        return Erased(windows, [tuple(np.flatnonzero((row >= 0) & erased[row]).tolist()) for row in rows])
    mask_id = classifier.tokenizer.mask_token_id
    return Erased([changed(window, erased, operator.name, mask_id) for window in windows])


def probabilities(
    classifier: Classifier, inputs: Sequence[Erased], prune: bool, operator: Operator, operating_point: float = 1.0
) -> list[np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """Class probabilities ``[classes]`` of each input, the mean over its windows; all go in packed batches.

    Args:
        classifier: the model.
        inputs: of any documents, from :func:`erase` with ``operator``.
        prune: with removal of what contributes little.
        operator: how words were erased.
        operating_point: factor of the thresholds.
    """
    windows = [window for one in inputs for window in one.windows]
    if operator.name == "layer":
        gone = [columns for one in inputs for columns in one.gone]
        logits = _logits_at(classifier, windows, gone, operator.layer, prune, operating_point)
    else:
        logits = classifier.logits(windows, prune, operating_point=operating_point)
    shares = logits.cpu().double().softmax(-1).numpy()
    bounds = np.cumsum([0] + [len(one.windows) for one in inputs])
    return [shares[a:b].mean(0) for a, b in pairwise(bounds)]


def _logits_at(
    classifier: Classifier,
    windows: Sequence[Window],
    gone: Sequence[tuple[int, ...]],
    layer: int,
    prune: bool,
    operating_point: float,
) -> Tensor:
    """Class logits ``[windows, classes]`` where ``layer`` and those after it do not see the columns ``gone``."""
    made = []
    begin = 0
    for group in by_pieces(windows, classifier.budget()):
        batch = classifier.batch(group)
        erased = torch.zeros_like(batch["input_ids"], dtype=torch.bool)
        for row, columns in zip(erased, gone[begin : begin + len(group)], strict=True):
            row[list(columns)] = True
        begin += len(group)
        point = operating_point if prune else None
        with torch.inference_mode():
            made.append(forced.logits_without(classifier.model, batch, erased, layer, point))
    return torch.cat(made)
