"""What an explainer is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from adapler_explain import flops
from adapler_explain.batches import Batches
from adapler_explain.classifier import Classifier
from adapler_explain.windows import Window
from eraser_eval.records import BoolArray, Example

PieceScores = NDArray[np.float64]
WordScores = NDArray[np.float64]
Inputs = dict[str, Tensor]


@dataclass
class Cost:
    """What explaining a document took.

    Attributes:
        forward, backward: windows that went through the model, and back.
        flops: operations; of a way back, see :func:`adapler_explain.flops.gradient`.
    """

    forward: int = 0
    backward: int = 0
    flops: int = 0


@dataclass(frozen=True)
class Asked:
    """One document to explain.

    Attributes:
        example: the document; its evidence is read by the baseline ``gold`` alone.
        windows: the document, cut.
        target: index of the class that is explained.
        seed: of methods that draw; it differs between documents.
        cost: grows while it is explained.
        facts: what the explainer has to say beside scores, for the prediction file.
    """

    example: Example
    windows: Sequence[Window]
    target: int
    seed: int
    cost: Cost = field(default_factory=Cost)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def words(self) -> int:
        """The number of words."""
        return len(self.example.words)


@dataclass(frozen=True)
class Request:
    """Documents to explain together.

    Attributes:
        classifier: the model whose predictions are explained.
        asked: the documents.
        batches: how many windows go through the model together, with gradients or attention weights.
        operating_point: factor of the thresholds, of explainers that prune.
        layer: of methods that read one layer (from 0); None: their own.
        idf: word (lower case) to inverse document frequency, of the baseline ``tf-idf``.
    """

    classifier: Classifier
    asked: Sequence[Asked]
    batches: Batches = field(default_factory=Batches)
    operating_point: float = 1.0
    layer: int | None = None
    idf: Mapping[str, float] = field(default_factory=dict)

    @property
    def windows(self) -> list[Window]:
        """The windows of all documents, one document after the other."""
        return [window for asked in self.asked for window in asked.windows]

    @property
    def owners(self) -> list[Asked]:
        """The document of each window."""
        return [asked for asked in self.asked for _ in asked.windows]

    def pruned(self) -> Iterator[tuple[list[Window], Any]]:
        """The pruned outputs of the windows, see :meth:`Classifier.pruned`."""
        done = 0
        for group, output in self.classifier.pruned(self.windows, operating_point=self.operating_point):
            kept = torch.stack(output.alive).sum(-1).T.tolist()
            for asked, window, row in zip(self.owners[done:], group, kept, strict=False):
                asked.cost.forward += 1
                asked.cost.flops += flops.removing(self.classifier.model.config, len(window), row)
            done += len(group)
            yield group, output

    def in_batches(
        self,
        score: Callable[[Inputs, Tensor, list[int]], Tensor],
        *,
        forward: int = 1,
        backward: int = 0,
        flops_back: Callable[[int], int] | None = None,
    ) -> list[PieceScores]:
        """Scores of every window's pieces by ``score``, in batches of windows that are alike in length.

        Args:
            score: from a padded batch, the target of each of its windows and their places among :attr:`windows`, the
                scores ``[batch, length]``.
            forward, backward: how many passes of each kind that takes; they are counted.
            flops_back: the operations of a way back, from a window's pieces; None: those of one to the embeddings.
        """
        windows, owners = self.windows, self.owners

        def run(places: list[int]) -> list[PieceScores]:
            targets = torch.tensor([owners[place].target for place in places], device=self.classifier.device)
            batch = self.classifier.batch([windows[place] for place in places])
            rows = score(batch, targets, places).cpu().double().numpy()
            return [row[: len(windows[place])] for row, place in zip(rows, places, strict=True)]

        made = self.batches.run(windows, run, self.classifier.device)
        self.count(windows, owners, forward=forward, backward=backward, flops_back=flops_back)
        return made

    def count(
        self,
        windows: Sequence[Window],
        owners: Sequence[Asked],
        *,
        forward: int,
        backward: int = 0,
        flops_back: Callable[[int], int] | None = None,
    ) -> None:
        """Add to the cost of ``owners`` that their ``windows`` went through the model without removal so many times."""
        config = self.classifier.model.config
        back = flops_back or (lambda pieces: flops.gradient(config, [pieces] * config.num_hidden_layers))
        for window, asked in zip(windows, owners, strict=True):
            asked.cost.forward += forward
            asked.cost.backward += backward
            asked.cost.flops += forward * flops.unpruned(config, window.seen)
            asked.cost.flops += backward * back(window.seen) if backward else 0

    def of_each(self, values: Sequence[Any]) -> Iterator[tuple[Asked, Sequence[Any]]]:
        """Each document with its windows' part of ``values``, one for each of :attr:`windows`."""
        begin = 0
        for asked in self.asked:
            yield asked, values[begin : begin + len(asked.windows)]
            begin += len(asked.windows)

    def logits(self, windows: Sequence[Window], owners: Sequence[Asked]) -> Tensor:
        """Class logits ``[windows, classes]`` of changed windows, without removal; counted."""
        self.count(windows, owners, forward=1)
        return self.classifier.logits(windows, prune=False)


def erased_words(words: int, places: Sequence[int]) -> BoolArray:
    """The mask ``[words]`` of ``places``."""
    mask = np.zeros(words, dtype=bool)
    mask[list(places)] = True
    return mask
