"""How well and with how much work a classifier does on a split: the one loop of validation, tuning and task tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from adapler_explain import flops, packed_encoder
from adapler_explain.classifier import Classifier, all_windows
from adapler_explain.loading import check_device
from adapler_explain.progress import Progress
from adapler_explain.windows import Window, by_pieces
from eraser_eval.datasets import Split, limited, load
from eraser_eval.errors import MissingError, UsageError
from eraser_eval.task_score import TASK_METRICS, accuracy, macro_f1

IntArray = NDArray[np.int64]
Groups = Iterator[tuple[list[Window], NDArray[np.float64], IntArray]]
Passes = Callable[[Sequence[Window]], Groups]


@dataclass(frozen=True)
class Measured:
    """What a classifier made of a split, or of a share of it.

    Attributes:
        places: ``[documents]``, ascending: which of the split's documents.
        gold: ``[documents]``, index of the right class.
        probabilities: ``[documents, classes]``, means over a document's windows.
        labels: the classes, in the data set's order.
        metric: the task's, a key of :data:`eraser_eval.task_score.TASK_METRICS`.
        pieces: of all windows, special ones included.
        kept_pieces: ``[layers]``, pieces that each layer processed.
        flops_unpruned, flops_pruned: operations, one window at a time, see :mod:`adapler_explain.flops`; the same
            where nothing was removed.
    """

    places: IntArray
    gold: IntArray
    probabilities: NDArray[np.float64]
    labels: tuple[str, ...]
    metric: str
    pieces: int
    kept_pieces: IntArray
    flops_unpruned: int
    flops_pruned: int

    @cached_property
    def predicted(self) -> IntArray:
        """``[documents]``, index of the most probable class."""
        found: IntArray = self.probabilities.argmax(-1)
        return found

    @property
    def predicted_labels(self) -> list[str]:
        """The most probable class of each document."""
        return [self.labels[index] for index in self.predicted]

    @property
    def documents(self) -> int:
        """How many there are."""
        return len(self.places)

    @property
    def score(self) -> float:
        """By the task's metric."""
        return TASK_METRICS[self.metric](self.gold, self.predicted, len(self.labels))

    @property
    def accuracy(self) -> float:
        """The share of documents whose class is right."""
        return accuracy(self.gold, self.predicted)

    @property
    def macro_f1(self) -> float:
        """The mean F1 of the classes that occur."""
        return macro_f1(self.gold, self.predicted)

    @property
    def flops_speedup(self) -> float:
        """How many times fewer operations than without removal: a ratio of sums over the documents."""
        return self.flops_unpruned / self.flops_pruned

    @property
    def kept(self) -> list[float]:
        """The share of the pieces that each layer processed."""
        shares: list[float] = (self.kept_pieces / self.pieces).tolist()
        return shares


def measure(
    classifier: Classifier,
    split: Split,
    windows: Sequence[Sequence[Window]],
    prune: bool,
    operating_point: float | str = 1.0,
    shard: tuple[int, int] = (0, 1),
    passes: Passes | None = None,
) -> Measured:
    """What ``classifier``, in ``eval()`` mode, makes of ``split``, in groups of many documents' windows.

    Args:
        classifier: with AdapLeR's part where ``prune``; its classes are the split's.
        split: what it is measured on.
        windows: for each example of the split its windows, see :func:`adapler_explain.classifier.all_windows`.
        prune: remove pieces?
        operating_point: factor of the thresholds, or the name of a stored one.
        passes: makes the passes of windows instead of ``classifier``: for each group its windows, their class
            probabilities ``[batch, classes]`` and the pieces that each layer processed ``[batch, layers]``.
        shard: ``(k, n)``: every ``n``-th document from the ``k``-th on; :func:`merge` puts shards together.

    Raises:
        UsageError: the classes are not those of the split.
        MissingError: the model gives no finite probabilities.
    """
    check_classes(classifier, split)
    places = range(shard[0], len(split.examples), shard[1])
    mine = [window for place in places for window in windows[place]]
    counts = np.array([len(windows[place]) for place in places], dtype=np.int64)
    owners = np.repeat(np.arange(len(places)), counts)
    config = classifier.model.config
    totals = np.zeros((len(places), len(classifier.labels)))
    kept = np.zeros(config.num_hidden_layers, dtype=np.int64)
    unpruned = pruned = done = 0
    # One bar speaks for all shards.
    with Progress("measuring", len(mine), "windows") if shard[0] == 0 else nullcontext() as progress:
        made = passes(mine) if passes else _passes(classifier, mine, prune, operating_point)
        for group, probabilities, alive in made:
            np.add.at(totals, owners[done : done + len(group)], probabilities)
            done += len(group)
            kept += alive.sum(0)
            lengths = [len(window) for window in group]
            dense = sum(flops.dense(config, length) for length in lengths)
            unpruned += dense
            rows = zip(lengths, alive.tolist(), strict=True)
            pruned += sum(flops.pruned(config, length, row) for length, row in rows) if prune else dense
            if progress is not None:
                progress.advance(len(group))
    if not np.isfinite(totals).all():
        raise MissingError("the model gives no finite probabilities; its weights are damaged, give another checkpoint")
    labels = split.info.labels
    return Measured(
        places=np.array(places, dtype=np.int64),
        gold=np.array([labels.index(split.examples[place].label) for place in places], dtype=np.int64),
        probabilities=(totals / counts[:, None])[:, [classifier.labels.index(label) for label in labels]],
        labels=labels,
        metric=split.info.metric,
        pieces=sum(map(len, mine)),
        kept_pieces=kept,
        flops_unpruned=unpruned,
        flops_pruned=pruned,
    )


def _passes(classifier: Classifier, windows: Sequence[Window], prune: bool, operating_point: float | str) -> Groups:
    """Groups of ``windows`` with their class probabilities and the pieces that each layer processed of each window."""
    if prune:
        for group, output in classifier.pruned(windows, operating_point=operating_point):
            yield group, probabilities_of(output.logits), torch.stack(output.alive, -1).sum(1).cpu().numpy()
        return
    layers = classifier.model.config.num_hidden_layers
    for group in by_pieces(windows, classifier.budget()):
        with torch.inference_mode():
            logits = packed_encoder.dense_logits(classifier.model, **classifier.batch(group))
        yield group, probabilities_of(logits), np.repeat([[len(window)] for window in group], layers, axis=1)


def probabilities_of(logits: Any) -> NDArray[np.float64]:
    """Class probabilities of ``logits`` ``[batch, classes]``."""
    shares: NDArray[np.float64] = logits.cpu().double().softmax(-1).numpy()
    return shares


def merge(parts: Sequence[Measured]) -> Measured:
    """One measurement of what ``parts`` measured, the documents in the split's order.

    Raises:
        ValueError: a document is in two parts, or the parts are of different classes or metrics.
    """
    places = np.concatenate([part.places for part in parts])
    order = np.argsort(places, kind="stable")
    if (np.diff(places[order]) == 0).any():
        raise ValueError("a document was measured twice")
    if len({(part.labels, part.metric) for part in parts}) > 1:
        raise ValueError("the parts are of different classes or metrics")
    return Measured(
        places=places[order],
        gold=np.concatenate([part.gold for part in parts])[order],
        probabilities=np.concatenate([part.probabilities for part in parts])[order],
        labels=parts[0].labels,
        metric=parts[0].metric,
        pieces=sum(part.pieces for part in parts),
        kept_pieces=np.sum([part.kept_pieces for part in parts], axis=0),
        flops_unpruned=sum(part.flops_unpruned for part in parts),
        flops_pruned=sum(part.flops_pruned for part in parts),
    )


def check_classes(classifier: Classifier, split: Split) -> None:
    """Raise UsageError unless the classes of ``classifier`` are those of ``split``, in any order."""
    if set(classifier.labels) != set(split.info.labels):
        raise UsageError(
            f"the model's classes {', '.join(classifier.labels)} are not those of "
            f"{split.info.name} ({', '.join(split.info.labels)}); give a model of this task"
        )


def opened(
    checkpoint: str, dataset: str, split: str, data_root: str | None, limit: int, device: str
) -> tuple[Classifier, Split, list[list[Window]]]:
    """An AdapLeR classifier, the split that it is measured on, and the windows of each document.

    Raises:
        UsageError: an option cannot be used, the checkpoint is no AdapLeR one, or its classes are not the split's.
        MissingError: the checkpoint or the data is not there.
        DataError: the data is broken.
    """
    check_device(device)
    if not Path(checkpoint).is_dir():
        raise MissingError(f"{checkpoint}: no such folder; give that of an AdapLeR model")
    data = limited(load(dataset, split, Path(data_root) if data_root else None), limit)
    classifier = Classifier.load(checkpoint, device)
    if not hasattr(classifier.model, "adapler"):
        raise UsageError(f"{checkpoint}: not an AdapLeR checkpoint; train one with 'adapler-explain train'")
    check_classes(classifier, data)
    return classifier, data, all_windows(classifier, data)


def fine_tuned_beside(checkpoint: Path) -> str | None:
    """The fine-tuned model in the training run that made ``checkpoint``, where it is there."""
    found = checkpoint.resolve().parent / "fine-tuned"
    return str(found) if list(found.glob("*.safetensors")) else None
