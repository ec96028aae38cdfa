"""The three stages of AdapLeR's training: fine-tuning, saliency, and training with soft removal."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import AutoModelForSequenceClassification

from adapler_explain import losses
from adapler_explain.classifier import Classifier
from adapler_explain.modeling import AdaplerBertForSequenceClassification
from adapler_explain.progress import Progress
from adapler_explain.saliency import input_x_gradient
from adapler_explain.training import Batch, Run, TrainConfig
from eraser_eval.files import write_json

LOG_EVERY = 50


def fine_tune(run: Run, target: Path) -> None:
    """Stage 1: plain fine-tuning; ``target`` holds the best epoch, and the best epochs below it."""
    config = run.config
    model = run.model(AutoModelForSequenceClassification)
    weights = list(model.parameters())
    optimiser, schedule = optimiser_of(run, decay_groups(weights, config.fine_tune_lr, config), config.fine_tune_epochs)
    scores: list[float] = []
    for epoch in range(config.fine_tune_epochs):
        model.train()
        for batch in run.batches(model, epoch, f"fine-tuning, epoch {epoch + 1} of {config.fine_tune_epochs}"):
            loss = cross_entropy(model(**batch.inputs).logits, batch.labels, run.class_weights)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimiser.step()
            schedule.step()
            if batch.number % LOG_EVERY == 0:
                run.log(stage="fine-tune", epoch=epoch, step=batch.number, loss=loss.item())
        scores.append(run.validate(model, prune=False)["accuracy"])
        run.log(stage="fine-tune", epoch=epoch, val_accuracy=scores[-1])
        run.save(model, target / f"epoch-{epoch}")
        for worse in ranked(scores)[config.saliency_epochs :]:
            shutil.rmtree(target / f"epoch-{worse}", ignore_errors=True)
    for file in (target / f"epoch-{ranked(scores)[0]}").iterdir():
        shutil.copy2(file, target / file.name)
    write_json(target / "val.json", {"accuracy": scores, "best_epoch": ranked(scores)[0]})


def extract_saliency(run: Run, target: Path) -> None:
    """Stage 2: gradient×input of the gold class, averaged over the best fine-tuned epochs."""
    config = run.config
    used = {item.key: item for epoch in range(config.epochs) for item in run.drawn(epoch)}
    items = sorted(used.values(), key=lambda item: len(item.window))
    totals = {item.key: torch.zeros(len(item.window)) for item in items}
    folders = sorted((run.folder / "fine-tuned").glob("epoch-*"))
    with Progress("saliency", len(items) * len(folders), "windows") as progress:
        for folder in folders:
            classifier = Classifier.load(folder, config.device, config.window_pieces)
            for start in range(0, len(items), config.batch_size):
                batch = items[start : start + config.batch_size]
                inputs = classifier.batch([item.window for item in batch])
                gold = torch.tensor([item.label for item in batch], device=classifier.device)
                values = input_x_gradient(classifier.model, inputs, gold, **classifier.dense_options()).cpu()
                for item, row in zip(batch, values, strict=True):
                    totals[item.key] += row[: len(item.window)] / len(folders)
                progress.advance(len(batch))
    save_file(totals, target)


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
    """Stage 3: soft removal; keeps the fastest epoch that is accurate enough."""
    config = run.config
    saliency = load_file(run.folder / "saliency.safetensors")
    fine_tuned = json.loads((run.folder / "fine-tuned" / "val.json").read_text(encoding="utf-8"))
    floor = max(fine_tuned["accuracy"]) - config.tolerance
    model = run.model(AdaplerBertForSequenceClassification, config.start)
    reduction = model.adapler
    thresholds = [reduction.eta, reduction.theta]
    predictors = list(reduction.predictors.parameters())
    encoder = [parameter for name, parameter in model.named_parameters() if not name.startswith("adapler.")]
    groups = [
        *decay_groups(encoder, config.lr, config),
        *decay_groups(predictors, config.predictor_lr, config),
        {"params": thresholds, "lr": config.threshold_lr, "weight_decay": 0.0},
    ]
    optimiser, schedule = optimiser_of(run, groups, config.epochs)
    best: dict[str, Any] | None = None
    for epoch in range(config.epochs):
        model.train()
        for batch in run.batches(model, epoch, f"AdapLeR training, epoch {epoch + 1} of {config.epochs}"):
            first = epoch == 0 and batch.number == 0
            sharpness = 1000.0 if first else config.sharpness * config.sharpness_growth**epoch
            task, contribution, length = adapler_losses(model, batch, saliency, run.class_weights, sharpness)
            set_gradients(
                encoder + predictors, reduction, task + config.gamma * contribution, task + config.phi * length
            )
            for group in (encoder, predictors, thresholds):
                torch.nn.utils.clip_grad_norm_(group, 1.0)
            optimiser.step()
            schedule.step()
            with torch.no_grad():
                reduction.eta.clamp_(0.01, 1.0)
                # Removal reads max(0.001, theta): below that theta would have no gradient and never come back.
                reduction.theta.clamp_(min=1e-3)
            if batch.number % LOG_EVERY == 0:
                terms = {"task": task.item(), "contribution": contribution.item(), "length": length.item()}
                run.log(stage="adapler", epoch=epoch, step=batch.number, **terms, **thresholds_of(reduction))
        result = run.validate(model, prune=True) | {"epoch": epoch} | thresholds_of(reduction)
        result["meets_rule"] = result["accuracy"] > floor + 1e-9
        run.log(stage="adapler", floor=floor, **result)
        if best is None or better(result, best):
            best = result
            shutil.rmtree(target, ignore_errors=True)
            run.save(model, target)
            write_json(target / "val.json", result)


def adapler_losses(
    model: Any, batch: Batch, saliency: dict[str, Tensor], class_weights: Tensor, sharpness: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The task, contribution and length losses of one batch; scalars.

    Args:
        model: in ``train()`` mode.
        batch: windows with their gold classes.
        saliency: window key to the saliency of its pieces.
        class_weights: ``[classes]``.
        sharpness: λ.
    """
    output = model.forward_soft(**batch.inputs, sharpness=sharpness)
    task = cross_entropy(output.logits, batch.labels, class_weights)
    taught = torch.zeros_like(output.contributions[0])
    for row, item in zip(taught, batch.items, strict=True):
        row[: len(item.window)] = saliency[item.key]
    eta, theta = model.adapler.eta.detach(), model.adapler.theta.detach()
    divergences = losses.contribution_divergences(
        output.contributions, taught, batch.inputs["attention_mask"], eta, theta, sharpness
    )
    return task, losses.contribution_loss(divergences), losses.length_loss(output.lengths)


def set_gradients(weights: list[Tensor], reduction: Any, weight_loss: Tensor, threshold_loss: Tensor) -> None:
    """Set ``.grad``: of ``weights`` from one loss, of η and θ from the other; θ takes its gradient divided by θ."""
    thresholds = [reduction.eta, reduction.theta]
    eta_gradient, theta_gradient = torch.autograd.grad(threshold_loss, thresholds, retain_graph=True)
    for parameter, gradient in zip(weights, torch.autograd.grad(weight_loss, weights), strict=True):
        parameter.grad = gradient
    reduction.eta.grad = eta_gradient
    reduction.theta.grad = theta_gradient / reduction.theta.detach().clamp(min=1e-3)


def optimiser_of(run: Run, groups: list[dict[str, Any]], epochs: int) -> tuple[Any, Any]:
    """AdamW over ``groups`` and its schedule: linear warm-up, then linear decay to zero."""
    steps = sum(-(-len(run.drawn(epoch)) // run.config.batch_size) for epoch in range(epochs))
    warmup = max(1, round(run.config.warmup * steps))

    def factor(step: int) -> float:
        return min((step + 1) / warmup, (steps - step) / max(1, steps - warmup))

    optimiser = torch.optim.AdamW(groups)
    return optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, factor)


def decay_groups(parameters: list[Tensor], lr: float, config: TrainConfig) -> list[dict[str, Any]]:
    """Two optimiser groups: matrices, which decay, and vectors (biases, LayerNorm), which do not."""
    return [
        {"params": [p for p in parameters if p.dim() > 1], "lr": lr, "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "lr": lr, "weight_decay": 0.0},
    ]


def ranked(scores: Sequence[float]) -> list[int]:
    """Epochs from the best score to the worst; of equal ones the later first."""
    return sorted(range(len(scores)), key=lambda epoch: (scores[epoch], epoch), reverse=True)


def better(result: dict[str, Any], best: dict[str, Any]) -> bool:
    """Whether an epoch is kept over another: the faster of those that meet the rule, else the more accurate."""
    if result["meets_rule"] != best["meets_rule"]:
        return bool(result["meets_rule"])
    key = "flops_speedup" if result["meets_rule"] else "accuracy"
    return bool(result[key] > best[key])


def thresholds_of(reduction: Any) -> dict[str, list[float]]:
    """``eta`` and ``theta`` with four decimals, for a log."""
    return {
        "eta": [round(value, 4) for value in reduction.eta.tolist()],
        "theta": [round(value, 4) for value in reduction.theta.tolist()],
    }
