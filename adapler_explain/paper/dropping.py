"""Who decides what falls: as many pieces as AdapLeR drops of each text in each layer, chosen otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from adapler_explain import forced, packed_encoder
from adapler_explain.classifier import Classifier
from adapler_explain.explainers import EXPLAINERS
from adapler_explain.explainers.request import Asked, PieceScores, Request
from adapler_explain.measure import IntArray, measure, probabilities_of
from adapler_explain.predict import mean_of
from adapler_explain.removal import Packed
from adapler_explain.windows import Window, by_pieces
from eraser_eval.datasets import Split
from eraser_eval.grid import Grid
from eraser_eval.task_score import metric_title

Stay = Callable[[int, Packed], Tensor]
# For each layer the scores of the pieces of every window.
Ranking = list[list[PieceScores]]
DECIDERS = {
    "contribution": "AdapLeR's predictors",
    "input-x-gradient": "input × gradient of an unpruned pass",
    "attention": "[CLS]'s attention in the layer, of an unpruned pass",
    "random": "chance",
}


def dropping_figures(
    split: Split,
    windows: Sequence[Sequence[Window]],
    adapler: Classifier,
    fine_tuned: Classifier,
    operating_point: float,
    seed: int = 0,
) -> dict[str, Any]:
    """Scores on ``split`` where each of :data:`DECIDERS` drops as many pieces as AdapLeR does.

    Of ``adapler``'s weights and of the ``fine_tuned`` model's, which was never told to do with fewer. [CLS] stays.

    Args:
        split: what it is measured on.
        windows: for each example of the split its windows; the same for both models.
        adapler: decides how many pieces of each text each layer processes.
        fine_tuned: the model that training began with.
        operating_point: factor of AdapLeR's thresholds.
        seed: of chance.
    """
    flat = [window for document in windows for window in document]
    alive = [
        np.stack([layer[row, : len(window)] for layer in layers])
        for group, output in adapler.pruned(flat, operating_point=operating_point)
        for layers in [[layer.cpu().numpy() for layer in output.alive]]
        for row, window in enumerate(group)
    ]
    pruned = measure(adapler, split, windows, True, operating_point)
    rows = []
    for name, title in DECIDERS.items():
        row: dict[str, Any] = {"decider": name, "title": title}
        for role, classifier in (("adapler", adapler), ("fine_tuned", fine_tuned)):
            ranking = rankings(name, classifier, split, windows, alive, seed)
            made = measure(classifier, split, windows, False, passes=deciding(classifier, ranking, alive))
            row[role] = made.score
        rows.append(row)
    return {
        "title": split.info.title,
        "split": split.name,
        "documents": len(split.examples),
        "data_checksum": split.checksum,
        "metric": pruned.metric,
        "operating_factor": operating_point,
        "flops_speedup": pruned.flops_speedup,
        "kept_per_layer": pruned.kept,
        "pruned": pruned.score,
        "unpruned": {
            "adapler": measure(adapler, split, windows, False).score,
            "fine_tuned": measure(fine_tuned, split, windows, False).score,
        },
        "deciders": rows,
    }


def rankings(
    decider: str,
    classifier: Classifier,
    split: Split,
    windows: Sequence[Sequence[Window]],
    alive: Sequence[np.ndarray],
    seed: int,
) -> Ranking:
    """By which scores ``decider`` keeps pieces, for every layer and window."""
    layers = classifier.model.config.num_hidden_layers
    if decider == "contribution":
        return [[one[layer].astype(np.float64) for one in alive] for layer in range(layers)]
    if decider == "random":
        generators = (np.random.default_rng([seed, place]) for place in range(len(alive)))
        draws: list[PieceScores] = [next(generators).random(one.shape[1:]) for one in alive]
        return [draws] * layers
    asked = []
    logits = classifier.logits([window for document in windows for window in document], prune=False)
    begin = 0
    for example, document in zip(split.examples, windows, strict=True):
        target = int(mean_of(logits[begin : begin + len(document)]).argmax())
        asked.append(Asked(example, document, target, seed))
        begin += len(document)
    request = Request(classifier, asked)
    explainer = EXPLAINERS[decider]
    if not explainer.layered:
        return [explainer.explain(request)] * layers
    return [explainer.explain(replace(request, layer=layer)) for layer in range(layers)]


def deciding(
    classifier: Classifier, ranking: Ranking, alive: Sequence[np.ndarray]
) -> Callable[[Sequence[Window]], Iterator[tuple[list[Window], np.ndarray, IntArray]]]:
    """Passes of ``classifier``, for :func:`measure`, in which ``ranking`` decides which pieces stay."""

    def passes(windows: Sequence[Window]) -> Iterator[tuple[list[Window], np.ndarray, IntArray]]:
        done = 0
        for group in by_pieces(windows, classifier.budget()):
            places = range(done, done + len(group))
            done += len(group)
            batch = classifier.batch(group)
            mask = batch["attention_mask"]
            scores = torch.full((len(ranking), *mask.shape), -torch.inf, dtype=torch.float64)
            for row, place in enumerate(places):
                for layer, found in enumerate(ranking):
                    scores[layer, row, : len(found[place])] = torch.from_numpy(found[place])
            counts = torch.tensor(np.stack([alive[place].sum(1) for place in places], axis=1))
            stay = highest(scores.to(mask.device), counts.to(mask.device))
            with torch.inference_mode():
                packed = packed_encoder.enter(classifier.model, **batch)
                logits = forced.logits_with(classifier.model, packed, stay)
            yield group, probabilities_of(logits), counts.T.numpy()

    return passes


def highest(scores: Tensor, counts: Tensor) -> Stay:
    """In each layer [CLS] and the highest-scoring pieces that are left of each text; of equal ones the earlier.

    Args:
        scores: ``[layers, batch, length]``.
        counts: ``[layers, batch]``, how many pieces stay, [CLS] among them.
    """

    def stay(layer: int, packed: Packed) -> Tensor:
        own = scores[layer][packed.text, packed.position].masked_fill(packed.is_cls, torch.inf)
        by_score = torch.argsort(own, descending=True, stable=True)
        order = by_score[torch.argsort(packed.text[by_score], stable=True)]
        text = packed.text[order]
        rank = torch.arange(len(order), device=order.device) - packed.cls_rows[text]
        kept = torch.zeros_like(packed.text, dtype=torch.bool)
        kept[order] = rank < counts[layer][text]
        return kept

    return stay


def grid(found: Mapping[str, Any]) -> Grid:
    """The table of :func:`dropping_figures`."""
    metric = metric_title(found["metric"])
    rows = [
        [row["title"], *(f"{100 * row[role]:.1f}" for role in ("adapler", "fine_tuned"))] for row in found["deciders"]
    ]
    whole = ["nothing falls", *(f"{100 * found['unpruned'][role]:.1f}" for role in ("adapler", "fine_tuned"))]
    return Grid(
        ["what falls is decided by", f"{metric}, AdapLeR's weights", f"{metric}, fine-tuned weights"],
        rows,
        f"Equal budgets: as many pieces of each text and layer as AdapLeR drops ({found['flops_speedup']:.2f}× fewer "
        f"FLOPs, predictors not counted for the others). {found['title']}, {found['split']}, {found['documents']} "
        "documents.",
        foot=[whole],
    )
