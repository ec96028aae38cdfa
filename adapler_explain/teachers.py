"""Teachers: what says how much each piece of a text matters, for the contribution predictors to learn.

A teacher gives a saliency S ``[batch, length]``: at least 0, finite, 0 on padding. Only a piece's share of its text is
learned. Adding a teacher is adding a function and a row in :data:`TEACHERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from adapler_explain import rollout, saliency
from adapler_explain.batches import Batches
from adapler_explain.classifier import Classifier
from adapler_explain.windows import Window
from eraser_eval.records import BoolArray

# What 8 steps give differs from what 64 give by 7 % of the saliency on HateXplain, 16 by 1 % at twice the cost.
STEPS = 8
# Share of what [CLS] leaves that is spread over the words people marked; the rest follows gradient × input.
HUMAN_SHARE = 0.9
# Pieces of a group of texts, whose activations are kept for the gradient.
GROUP_PIECES = 2048


@dataclass(frozen=True)
class Texts:
    """A batch of texts that a teacher explains.

    Attributes:
        inputs: ``input_ids``, ``attention_mask`` and ``token_type_ids``, each ``[batch, length]``.
        gold: ``[batch]``, gold classes.
        marked: bool ``[batch, length]``, pieces of words that people marked; all False in a text where none did.
        baseline: ``[batch, length]``, the pieces where integrated gradients begin: [PAD] between [CLS] and [SEP].
    """

    inputs: dict[str, Tensor]
    gold: Tensor
    marked: Tensor
    baseline: Tensor


def input_x_gradient(model: Any, texts: Texts) -> Tensor:
    """‖gradient × embedding‖₂, the paper's teacher. Source: Modarressi et al. 2022, section 3.1."""
    return saliency.input_x_gradient(model, texts.inputs, texts.gold)


def integrated_gradients(model: Any, texts: Texts) -> Tensor:
    """|integrated gradients|, :data:`STEPS` steps. Source: Sundararajan et al. 2017."""
    return saliency.integrated_gradients(model, texts.inputs, texts.gold, texts.baseline, STEPS).abs()


def attention_rollout(model: Any, texts: Texts) -> Tensor:
    """The [CLS] row of attention rollout; it does not know the class. Source: Abnar and Zuidema 2020."""
    row = rollout.roll(rollout.mean_attentions(model, texts.inputs))
    return F.pad(row, (0, texts.marked.shape[1] - row.shape[1]))


def lrp(model: Any, texts: Texts) -> Tensor:
    """Relevance for the gold class, 0 where it speaks against it.

    On movies (60 documents of val, bundled model without removal) that agrees more with people than its absolute value:
    average precision 0.166 against 0.158. Source: Ali et al. 2022, Achtibat et al. 2024; see
    :mod:`adapler_explain.propagation`.
    """
    return saliency.relevance(model, texts.inputs, texts.gold).relu()


def human(model: Any, texts: Texts) -> Tensor:
    """What people marked: an even S over the marked pieces, mixed with gradient × input; sums to 1.

    [CLS] keeps its share c of gradient × input, which is normalised to b. Every other piece has :data:`HUMAN_SHARE` ·
    (1 − c) · (1 / marked pieces, where it is marked) + (1 − :data:`HUMAN_SHARE`) · b. A text without marks has b.
    """
    base = normalised(input_x_gradient(model, texts), texts)
    even = texts.marked / texts.marked.sum(-1, keepdim=True).clamp(min=1)
    mixed = HUMAN_SHARE * (1 - base[:, :1]) * even + (1 - HUMAN_SHARE) * base
    mixed[:, 0] = base[:, 0]
    return torch.where(texts.marked.any(-1, keepdim=True), mixed, base)


@dataclass(frozen=True)
class Teacher:
    """A row of :data:`TEACHERS`.

    Attributes:
        function: S of a batch, before :func:`taught` mends it; the model is in ``eval()`` mode.
        title: for tables.
        passes: passes through the encoder that a text costs; forward and, but for attention, backward.
        supervised: whether it reads what people marked.
    """

    function: Callable[[Any, Texts], Tensor]
    title: str
    passes: int = 1
    supervised: bool = False


TEACHERS: dict[str, Teacher] = {
    "input-x-gradient": Teacher(input_x_gradient, "Input × gradient"),
    "integrated-gradients": Teacher(integrated_gradients, "Integrated gradients", passes=STEPS),
    "attention-rollout": Teacher(attention_rollout, "Attention rollout"),
    "lrp": Teacher(lrp, "Layer-wise relevance"),
    "human": Teacher(human, "Human rationales", supervised=True),
}


def normalised(values: Tensor, texts: Texts) -> Tensor:
    """``values`` ``[batch, length]`` with each text's sum 1; even over the pieces of a text where all are 0."""
    present = texts.inputs["attention_mask"].to(values.dtype)
    values = torch.where(values.sum(-1, keepdim=True) > 0, values, present)
    return values / values.sum(-1, keepdim=True)


def taught(model: Any, texts: Texts, name: str) -> Tensor:
    """S ``[batch, length]`` of the teacher ``name``: at least 0, finite, 0 on padding.

    What is not finite counts as 0; a text where all is 0 has an even S.
    """
    values = TEACHERS[name].function(model, texts).nan_to_num(0.0, 0.0, 0.0)
    return torch.where(values.sum(-1, keepdim=True) > 0, values, normalised(values, texts))


def saliency_of(
    classifier: Classifier, windows: Sequence[Window], golds: Sequence[int], marked: Sequence[BoolArray], name: str
) -> list[Tensor]:
    """S ``[pieces]`` of every window by the teacher ``name``, on the classifier's device.

    Args:
        classifier: the fine-tuned model, in ``eval()`` mode; nothing is removed.
        windows: of any documents.
        golds: the gold class of each.
        marked: for each window, ``[pieces]``, which pieces belong to words that people marked.
        name: a key of :data:`TEACHERS`.
    """

    def call(places: list[int]) -> list[Tensor]:
        group = [windows[place] for place in places]
        texts = texts_of(classifier, group, [golds[place] for place in places], [marked[place] for place in places])
        values = taught(classifier.model, texts, name)
        return [row[: len(window)] for row, window in zip(values, group, strict=True)]

    return Batches(pieces=classifier.budget(GROUP_PIECES)).run(windows, call, classifier.device)


def texts_of(
    classifier: Classifier, windows: Sequence[Window], golds: Sequence[int], marked: Sequence[BoolArray]
) -> Texts:
    """The windows as one padded batch; arguments as in :func:`saliency_of`."""
    inputs = classifier.batch(windows)
    marks = torch.zeros_like(inputs["input_ids"], dtype=torch.bool)
    for row, values in zip(marks, marked, strict=True):
        row[: len(values)] = torch.from_numpy(values)
    gold = torch.tensor(golds, device=classifier.device)
    return Texts(inputs, gold, marks, saliency.blanked(inputs["input_ids"], classifier.tokenizer))
