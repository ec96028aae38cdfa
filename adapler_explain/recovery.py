"""Recovery, the stage after soft removal: the encoder is trained with hard removal, as it will run.

Soft removal leaves a trace of every piece that is to go, and inference does not. What the model lost by that, and by
thresholds higher than those it was trained at, may come back in an epoch or two, which cost little, as they are pruned.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from adapler_explain.keeping import judged_over, keep_better, unpack_best
from adapler_explain.lessons import read_lessons
from adapler_explain.loop import Course, Part, Terms, follow
from adapler_explain.modeling import AdaplerForSequenceClassification
from adapler_explain.run import SOFT, Run
from adapler_explain.stages import decay_groups, drawn_factor, taught_loss

# Steps from the highest factor of the thresholds that recovery trains at down to 1, and from there to the lowest.
STEPS = 3


def recover(run: Run, target: Path) -> None:
    """Stage 4: encoder and classifier learn; predictors and thresholds stand.

    Of the epochs and the model that soft removal ended with, which counts as epoch -1, the one is kept that scores best
    over the thresholds of recovery; they are raised as far as val allows, or lowered.

    Source: this project's.
    """
    config = run.config
    lessons = read_lessons(run.folder / "saliency")
    soft = json.loads((run.folder / SOFT / "val.json").read_text(encoding="utf-8"))
    model = run.model(AdaplerForSequenceClassification, SOFT)
    # Points that were tuned before this run took the model over are not of the weights to come.
    model.config.operating_points = None
    model.adapler.requires_grad_(False)
    rungs = ((1 + config.recovery_jitter) ** (step / STEPS) for step in range(-STEPS, STEPS + 1))
    factors = sorted(set(rungs), reverse=True)
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]

    def learn(part: Part) -> Terms:
        factor = drawn_factor(config.recovery_jitter, config.seed, part)
        with run.autocast():
            output = model(**part.inputs, prune=True, operating_point=factor)
        loss = taught_loss(run, part, output.logits, [lessons[item.id] for item in part.items])
        loss.backward()
        pieces = part.inputs["attention_mask"].sum(-1)
        kept = torch.stack([(alive.sum(-1) / pieces).mean() for alive in output.alive]) * part.share
        return {"task": loss.item(), "kept": kept.tolist()}

    def close(epoch: int) -> dict[str, Any]:
        result = judged_over(run, model, soft["reference"], factors) | {"epoch": epoch}
        return keep_better(run, course, target, result)

    optimiser = torch.optim.AdamW(decay_groups(weights, config.lr, config.weight_decay), fused=True)
    course = Course("recovery", config.recovery_epochs, model, optimiser, [weights], learn, close)
    best = target / "best" / "val.json"
    begun = best.is_file()
    run.world.wait()
    if begun:
        course.state["best"] = json.loads(best.read_text(encoding="utf-8"))
    else:
        run.log(stage=course.name, **close(-1))
    follow(run, course, target)
    unpack_best(run, target)
