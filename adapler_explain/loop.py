"""The optimisation of one stage: steps over epochs that can be cut off anywhere and go on to the same weights.

All that a step draws (dropout) comes from a seed of its own, and a step's windows are parted in the same way whatever
the number of processes: an interrupted run, or one on several processes, computes what the plain run computes.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from adapler_explain import checkpoint
from adapler_explain.dashboard import Dashboard
from adapler_explain.run import SOFT, Item, Run
from eraser_eval.errors import UserError

LOG_EVERY = 50
# A cross entropy, or a mean divergence, that no training that goes well has.
EXPLODED = 1e3
Terms = dict[str, Any]


class DivergedError(UserError):
    """Training has gone astray: a loss or a gradient is no finite number, or out of all bounds."""

    exit_code = 2


@dataclass(frozen=True)
class Part:
    """The windows of a step that go through the model at once.

    Attributes:
        epoch, step: which step, both from 0.
        items: the windows.
        inputs: ``input_ids``, ``attention_mask`` and perhaps ``token_type_ids``, each ``[batch, length]``.
        labels: ``[batch]``, gold classes.
        share: the part's share of the step's windows: what a mean over the part counts in the step's.
        weight: sum of the class weights over all windows of the step.
    """

    epoch: int
    step: int
    items: Sequence[Item]
    inputs: dict[str, Tensor]
    labels: Tensor
    share: float
    weight: Tensor


@dataclass
class Course:
    """What one stage optimises, and how.

    Attributes:
        name: of the stage, for logs and people.
        epochs: how many.
        model: what is trained.
        optimiser: over the model's parameters; its groups' learning rates are the highest ones.
        groups: parameters whose gradients are clipped together.
        learn: adds the gradients of a part to ``.grad`` and returns the part's share of each loss term.
        close: called after every epoch with its number: validates, keeps what is to be kept, returns what to log.
            Called again for the same epoch, with the same weights, where it was interrupted.
        settle: called after every step.
        state: JSON that ``close`` works on; kept in checkpoints.
    """

    name: str
    epochs: int
    model: Any
    optimiser: torch.optim.Optimizer
    groups: Sequence[Sequence[Tensor]]
    learn: Callable[[Part], Terms]
    close: Callable[[int], dict[str, Any]]
    settle: Callable[[], None] = lambda: None
    state: dict[str, Any] = field(default_factory=dict)


@dataclass
class Place:
    """The step that comes next."""

    epoch: int = 0
    step: int = 0


def follow(run: Run, course: Course, folder: Path) -> None:
    """Run ``course`` to its end from where the checkpoint in ``folder`` says that it stands.

    Raises:
        DivergedError: with the step, its texts and the last good checkpoint.
    """
    path = folder / "checkpoint.safetensors"
    place = _restored(run, course, path)
    rates = [group["lr"] for group in course.optimiser.param_groups]
    saved = time.monotonic()

    def save() -> None:
        nonlocal saved
        if run.world.is_first:
            state = {"epoch": place.epoch, "step": place.step, "course": course.state, "log": run.log_size()}
            checkpoint.save(path, course.model, course.optimiser, state)
        saved = time.monotonic()

    while place.epoch < course.epochs:
        course.model.train()
        steps = run.steps(place.epoch)
        with Dashboard(course.name, place.epoch, course.epochs, len(steps), quiet=not run.world.is_first) as board:
            while place.step < len(steps):
                factor = warmed(place.epoch * len(steps) + place.step, course.epochs * len(steps), run.config.warmup)
                for group, rate in zip(course.optimiser.param_groups, rates, strict=True):
                    group["lr"] = rate * factor
                terms = _take_step(run, course, place, steps[place.step], path)
                board.show(place.step + 1, terms)
                if place.step % LOG_EVERY == 0:
                    run.log(stage=course.name, epoch=place.epoch, step=place.step, **terms)
                place.step += 1
                if time.monotonic() - saved >= 60 * run.config.checkpoint_minutes:
                    save()
        row = course.close(place.epoch)
        run.log(**({"stage": course.name, "epoch": place.epoch} | row))
        if run.world.is_first:
            print(f"{course.name}, epoch {place.epoch + 1} of {course.epochs}, val: {said(row)}", file=sys.stderr)
        place.epoch, place.step = place.epoch + 1, 0
        save()
    if run.world.is_first:
        path.unlink(missing_ok=True)
    run.world.wait()


def _restored(run: Run, course: Course, path: Path) -> Place:
    """The place that the checkpoint names; the course and the log are put back to it."""
    state = checkpoint.restore(path, course.model, course.optimiser)
    run.world.wait()
    if not state:
        return Place()
    course.state.update(state["course"])
    run.cut_log(state["log"])
    return Place(state["epoch"], state["step"])


def said(row: Mapping[str, Any]) -> str:
    """What an epoch came to on val, in a line.

    >>> said({"score": 0.875, "accuracy": 0.9, "flops_speedup": 3.0, "kept": [0.5, 0.25], "meets_rule": False})
    'score 0.8750, accuracy 0.9000, 3.00× fewer FLOPs, kept 0.50 0.25, loses too much'
    """
    parts = [f"{name} {row[name]:.4f}" for name in ("score", "accuracy")]
    if "flops_speedup" in row:
        kept = " ".join(f"{share:.2f}" for share in row["kept"])
        parts += [f"{row['flops_speedup']:.2f}× fewer FLOPs", f"kept {kept}"]
    if not row.get("meets_rule", True):
        parts.append("loses too much")
    return ", ".join(parts)


def warmed(step: int, steps: int, warmup: float) -> float:
    """Factor of the learning rate: linear warm-up over the share ``warmup`` of the steps, then linear decay to 0.

    >>> [round(warmed(step, 10, 0.2), 3) for step in (0, 1, 2, 6, 9)]
    [0.5, 1.0, 1.0, 0.5, 0.125]
    """
    rising = max(1, round(warmup * steps))
    return min((step + 1) / rising, (steps - step) / max(1, steps - rising))


def _take_step(run: Run, course: Course, place: Place, items: Sequence[Item], last_good: Path) -> Terms:
    """One step of the optimiser; its loss terms, each the mean over the step's windows, of all processes together."""
    course.optimiser.zero_grad(set_to_none=True)
    sums: dict[str, Any] = {}
    for number, part in run.world.share([*enumerate(parts(run, course, place, items))]):
        torch.manual_seed(seed_of(run.config.seed, course.name, place.epoch, place.step, number))
        for name, value in course.learn(part).items():
            sums[name] = sums.get(name, 0) + np.asarray(value)
    run.world.add_gradients([parameter for group in course.groups for parameter in group])
    terms = _summed(run.world.gather(sums))
    norms = [float(torch.nn.utils.clip_grad_norm_(group, run.config.clip)) for group in course.groups]
    wrong = [name for name, value in terms.items() if not np.all(np.abs(value) < EXPLODED)]
    if "length" in wrong and np.isfinite(terms["length"]):
        wrong.remove("length")
    if wrong or not math.isfinite(sum(norms)):
        what = f"{wrong[0]} loss is {terms[wrong[0]]}" if wrong else "gradient is not finite"
        good = f"the last good checkpoint is {last_good}" if last_good.is_file() else "there is no checkpoint of it yet"
        done = [stage for stage in ("fine-tuned", "saliency", SOFT) if (run.folder / stage).is_dir()]
        kept = f" ({', '.join(done)} may be copied there)" if done else ""
        raise DivergedError(
            f"{course.name}, epoch {place.epoch + 1}, step {place.step + 1}: the {what}; {good}; give lower learning "
            f"rates and another --output-dir{kept}, or look at the step's texts: "
            f"{', '.join(dict.fromkeys(item.id for item in items))}"
        )
    course.optimiser.step()
    course.settle()
    return terms


def parts(run: Run, course: Course, place: Place, items: Sequence[Item]) -> Iterator[Part]:
    """The step's windows in ``accumulate`` parts, or one for each process where these are more."""
    classifier = run.classifier(course.model)
    labels = torch.tensor([item.label for item in items], device=classifier.device)
    weight = run.class_weights[labels].sum()
    count = min(len(items), max(run.config.accumulate, run.world.size))
    for index in np.array_split(np.arange(len(items)), count):
        part = [items[i] for i in index]
        inputs = classifier.batch([item.window for item in part])
        yield Part(place.epoch, place.step, part, inputs, labels[index], len(part) / len(items), weight)


def seed_of(seed: int, stage: str, *numbers: int) -> int:
    """The seed of one part of one step, from the run's."""
    return int(np.random.SeedSequence([seed, *stage.encode(), *numbers]).generate_state(1, np.uint64)[0] >> 1)


def _summed(gathered: Sequence[dict[str, Any]]) -> Terms:
    names = dict.fromkeys(name for terms in gathered for name in terms)
    return {name: np.sum([terms[name] for terms in gathered if name in terms], axis=0).tolist() for name in names}
