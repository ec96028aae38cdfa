"""The first three stages of AdapLeR's training: fine-tuning, saliency, and training with soft removal."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div
from transformers import AutoModelForSequenceClassification

from adapler_explain import losses, packed_encoder, removal
from adapler_explain.keeping import LOWERED, judged, keep_better, ranked, save_whole, unpack_best
from adapler_explain.lessons import Lesson, read_lessons, write_lessons
from adapler_explain.loop import Course, Part, Terms, follow
from adapler_explain.modeling import AdaplerForSequenceClassification
from adapler_explain.run import Run
from adapler_explain.soft_pass import soft_pass
from eraser_eval.files import write_json


def fine_tune(run: Run, target: Path) -> None:
    """Stage 1: plain fine-tuning; ``target`` holds the best epoch, and the best epochs below it."""
    config = run.config
    model = run.model(AutoModelForSequenceClassification)
    weights = list(model.parameters())

    def learn(part: Part) -> Terms:
        with run.autocast():
            logits = packed_encoder.logits_of(model, packed_encoder.enter(model, **part.inputs))
        loss = task_loss(run, part, logits)
        loss.backward()
        return {"task": loss.item()}

    def close(epoch: int) -> dict[str, Any]:
        row = run.validate(model, prune=False)
        course.state["rows"] = [*course.state.get("rows", [])[:epoch], row]
        scores = [known["score"] for known in course.state["rows"]]
        if run.world.is_first:
            save_whole(run, model, target / f"epoch-{epoch}")
            for worse in ranked(scores)[config.saliency_epochs :]:
                shutil.rmtree(target / f"epoch-{worse}", ignore_errors=True)
        return row

    optimiser = torch.optim.AdamW(decay_groups(weights, config.fine_tune_lr, config.weight_decay), fused=True)
    course = Course("fine-tuning", config.fine_tune_epochs, model, optimiser, [weights], learn, close)
    follow(run, course, target)
    if run.world.is_first:
        rows = course.state["rows"]
        best = ranked([row["score"] for row in rows])[0]
        for file in (target / f"epoch-{best}").iterdir():
            shutil.copy2(file, target / file.name)
        values = {key: [row[key] for row in rows] for key in ("score", "accuracy")}
        write_json(target / "val.json", values | {"metric": run.val_split.info.metric, "best_epoch": best})


def extract_saliency(run: Run, target: Path) -> None:
    """Stage 2: the teacher's saliency, averaged over the best fine-tuned epochs, and those models' mean logits."""
    config = run.config
    used = {item.id: item for epoch in range(config.taught_epochs) for item in run.drawn(epoch)}
    items = sorted(used.values(), key=lambda item: (len(item.window), item.id))
    folders = sorted((run.folder / "fine-tuned").glob("epoch-*"))
    write_lessons(run, items, folders, target)


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """Within, numbers below 1e-38 count as 0.

    Fading pieces make attention weights of 1e-40, and a matrix product with such denormal numbers takes many times
    longer.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@denormals_flushed()
def train_adapler(run: Run, target: Path) -> None:
    """Stage 3: soft removal; keeps the fastest epoch that is good enough."""
    config = run.config
    lessons = read_lessons(run.folder / "saliency", config.teacher_power)
    fine_tuned = json.loads((run.folder / "fine-tuned" / "val.json").read_text(encoding="utf-8"))
    reference = max(fine_tuned["score"])
    model = run.model(AdaplerForSequenceClassification, config.start)
    reduction = model.adapler
    reduction.reset_thresholds(config.eta)
    model.config.reference_score, model.config.reference_metric = reference, run.val_split.info.metric
    model.config.reference_documents = len(run.val_split.examples)
    model.config.teacher, model.config.teacher_power = config.teacher, config.teacher_power
    thresholds = [reduction.eta, *([reduction.theta] if config.theta else [])]
    predictors = list(reduction.predictors.parameters())
    encoder = [parameter for name, parameter in model.named_parameters() if not name.startswith("adapler.")]

    def learn(part: Part) -> Terms:
        first = part.epoch == 0 and part.step == 0
        sharpness = config.first_sharpness if first else config.sharpness * config.sharpness_growth**part.epoch
        factor = drawn_factor(config.jitter, config.seed, part)
        task, contribution, length, kept = adapler_losses(run, model, part, lessons, sharpness, factor)
        weight_loss, threshold_loss = task + config.gamma * contribution, task + config.phi * length
        add_gradients(encoder + predictors, reduction, weight_loss, threshold_loss, thresholds)
        terms = {"task": task.item(), "contribution": contribution.item(), "length": length.item()}
        return terms | {"kept": kept.tolist(), "eta": (reduction.eta.detach() * part.share).tolist()}

    def settle() -> None:
        with torch.no_grad():
            reduction.eta.clamp_(0.01, 1.0)
            # Removal reads max(0.001, theta): below that theta would have no gradient and never come back.
            reduction.theta.clamp_(min=1e-3)

    def close(epoch: int) -> dict[str, Any]:
        return keep_better(run, course, target, judged(run, model, reference, LOWERED) | {"epoch": epoch})

    groups = [
        *decay_groups(encoder, config.lr, config.weight_decay),
        *decay_groups(predictors, config.predictor_lr, config.weight_decay),
        {"params": thresholds, "lr": config.threshold_lr, "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, fused=True)
    together = [encoder, predictors, thresholds]
    course = Course("AdapLeR training", config.epochs, model, optimiser, together, learn, close, settle)
    follow(run, course, target)
    unpack_best(run, target)


def task_loss(run: Run, part: Part, logits: Tensor) -> Tensor:
    """The part's share of the step's class-weighted cross entropy, a scalar."""
    weighted = cross_entropy(logits.float(), part.labels, run.class_weights, reduction="sum")
    return weighted / part.weight


def taught_loss(run: Run, part: Part, logits: Tensor, lessons: Sequence[Lesson]) -> Tensor:
    """As :func:`task_loss`; a part of it, ``distill``, is divergence from the fine-tuned model's probabilities."""
    task = task_loss(run, part, logits)
    if run.config.distill:
        taught = torch.stack([lesson.logits for lesson in lessons]).to(logits.device).softmax(-1)
        divergence = kl_div(logits.float().log_softmax(-1), taught, reduction="batchmean") * part.share
        task = (1 - run.config.distill) * task + run.config.distill * divergence
    return task


def adapler_losses(
    run: Run, model: Any, part: Part, lessons: dict[str, Lesson], sharpness: float, factor: float = 1.0
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The part's shares of the task, contribution and length losses, scalars, and of the kept share, ``[layers]``.

    ``factor`` is one of the thresholds.
    """
    with run.autocast():
        output = soft_pass(model, packed_encoder.enter(model, **part.inputs), sharpness, factor=factor)
    assert output.logits is not None and output.contributions is not None and output.lengths is not None
    known = [lessons[item.id] for item in part.items]
    task = taught_loss(run, part, output.logits, known)
    mask = part.inputs["attention_mask"]
    rows = torch.zeros(mask.shape)
    for row, lesson in zip(rows, known, strict=True):
        row[: len(lesson.saliency)] = lesson.saliency
    saliency = rows.to(mask.device)
    eta, theta = removal.at_factor(model.adapler.eta.detach(), factor), model.adapler.theta.detach()
    divergences = losses.contribution_divergences(output.contributions, saliency, mask, eta, theta, sharpness)
    contribution = losses.contribution_loss(divergences) * part.share
    kept = (output.lengths.detach() / mask.sum(-1)).mean(-1)
    return task, contribution, losses.length_loss(output.lengths) * part.share, kept * part.share


def drawn_factor(jitter: float, seed: int, part: Part) -> float:
    """The factor of the thresholds in a step, log-uniform between 1 / (1 + jitter) and 1 + jitter."""
    if not jitter:
        return 1.0
    draw = np.random.default_rng([seed, part.epoch, part.step, 1]).uniform(-1, 1)
    return float((1 + jitter) ** draw)


def add_gradients(
    weights: list[Tensor], reduction: Any, weight_loss: Tensor, threshold_loss: Tensor, thresholds: list[Tensor]
) -> None:
    """Add to ``.grad``: of ``weights`` from one loss, of ``thresholds`` (η, and θ where it is learnt) from the other.

    θ takes its gradient divided by θ.
    """
    found = list(torch.autograd.grad(threshold_loss, thresholds, retain_graph=True))
    for place, parameter in enumerate(thresholds):
        if parameter is reduction.theta:
            found[place] = found[place] / parameter.detach().clamp(min=1e-3)
    gradients = [*torch.autograd.grad(weight_loss, weights), *found]
    for parameter, gradient in zip([*weights, *thresholds], gradients, strict=True):
        parameter.grad = gradient if parameter.grad is None else parameter.grad.add_(gradient)


def decay_groups(parameters: list[Tensor], lr: float, weight_decay: float) -> list[dict[str, Any]]:
    """Two optimiser groups: matrices, which decay, and vectors (biases, LayerNorm), which do not."""
    return [
        {"params": [p for p in parameters if p.dim() > 1], "lr": lr, "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "lr": lr, "weight_decay": 0.0},
    ]
