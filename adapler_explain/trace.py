"""Why each word of one document went where it did: its contributions and what it needed, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from adapler_explain.classifier import Classifier
from adapler_explain.explainers.adapler import survival_of
from adapler_explain.modeling import PrunedOutput
from adapler_explain.predict import efficiency, mean_of
from adapler_explain.windows import Window, word_scores

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Trace:
    """One document's way through a pruned encoder.

    Contributions are in even shares: 1 is what every living piece of a window would have if all had the same.

    Attributes:
        probabilities: ``[classes]``, the mean over the document's windows.
        fell: ``[words]``, how many layers process the word; the number of layers for a word that is kept to the end.
        contribution: ``[layers, words]``, the largest contribution among a word's pieces, as its predictor gave it
            before the layer's removal; 0 in the layers that the word did not reach.
        needed: ``[layers, windows]``, the contribution that a piece needed to stay: the threshold, in the same unit,
            [CLS]'s factor counted in; 0 for a window that was down to [CLS].
        window: ``[words]``, the window that holds the word, the first where more than one does.
        kept_per_layer: pieces that each layer processes, of all windows, special ones included.
        flops_unpruned, flops_pruned: operations, see :mod:`adapler_explain.flops`.
    """

    probabilities: FloatArray
    fell: IntArray
    contribution: FloatArray
    needed: FloatArray
    window: IntArray
    kept_per_layer: tuple[int, ...]
    flops_unpruned: int
    flops_pruned: int

    @property
    def speedup(self) -> float:
        """How many times fewer operations than without removal."""
        return self.flops_unpruned / self.flops_pruned


def trace(
    classifier: Classifier,
    words: Sequence[str],
    query: str = "",
    operating_point: float | str = 1.0,
    pair_at: int | None = None,
) -> Trace:
    """The way of the document ``words`` through ``classifier``, an AdapLeR model.

    Args:
        classifier: with removal.
        words: the document's, or those of a pair of texts.
        query: goes before every window.
        operating_point: factor of the thresholds, above 1 keeps fewer pieces; or the name of a stored point.
        pair_at: the index of the second text's first word; None: there is no second text.

    Raises:
        TextError: the query or the second text leaves no room, or a text holds no piece.
    """
    windows = classifier.windows(words, query, pair_at)
    config = classifier.model.config
    survival: list[FloatArray] = []
    logits = []
    found: list[FloatArray] = []
    needed = np.zeros((config.num_hidden_layers, len(windows)))
    for group, output in classifier.pruned(windows, operating_point=operating_point):
        logits.append(output.logits)
        shares, thresholds = _in_even_shares(output, [len(window) for window in group])
        for row, (window, scores) in enumerate(zip(group, survival_of(output), strict=True)):
            found.append(shares[:, row, : len(window)])
            needed[:, len(survival)] = thresholds[:, row]
            survival.append(scores[: len(window)])
    facts = efficiency(config, survival)
    return Trace(
        probabilities=mean_of(torch.cat(logits)),
        fell=np.floor(word_scores(survival, windows, len(words))).astype(np.int64),
        contribution=np.stack(
            [
                word_scores([shares[layer] for shares in found], windows, len(words), pair_at=pair_at, copies="mean")
                for layer in range(config.num_hidden_layers)
            ]
        ),
        needed=needed,
        window=_window_of(windows, len(words)),
        kept_per_layer=tuple(facts["kept_per_layer"]),
        flops_unpruned=facts["flops_unpruned"],
        flops_pruned=facts["flops_pruned"],
    )


def _in_even_shares(output: PrunedOutput, lengths: Sequence[int]) -> tuple[FloatArray, FloatArray]:
    """Contributions ``[layers, windows, length]`` and thresholds ``[layers, windows]`` in even shares.

    A piece that is not [CLS] has margin c / (δ Z), Z being what [CLS]'s factor leaves of the distribution: what a piece
    needed is c over its margin, the same for all pieces of a window, and is read where rounding hurts least.
    """
    assert output.contributions is not None and output.margins is not None and output.alive is not None
    contributions = torch.stack(output.contributions).cpu().double().numpy()
    margins = torch.stack(output.margins).cpu().double().numpy()
    alive = torch.stack(output.alive).sum(-1).cpu().numpy()
    before = np.concatenate([np.asarray(lengths)[None], alive[:-1]])
    shares = contributions * before[..., None]
    shares[..., 0] = 0.0
    best = shares.argmax(-1)[..., None]
    most, margin = (np.take_along_axis(values, best, -1)[..., 0] for values in (shares, margins))
    return shares, np.divide(most, margin, out=np.zeros_like(most), where=(best[..., 0] > 0) & (margin > 0))


def _window_of(windows: Sequence[Window], words: int) -> IntArray:
    found = np.zeros(words, dtype=np.int64)
    for number, window in reversed(list(enumerate(windows))):
        owners = np.asarray(window.words)
        found[owners[owners >= 0]] = number
    return found
