"""Which epoch of a stage is kept, its thresholds adjusted so that it is good enough on val.

Of soft removal the fastest that is; of recovery, whose epochs are about as fast as each other at equal thresholds, the
one that scores best over a ladder of them.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from adapler_explain import removal
from adapler_explain.frontier import CLOSE_SCORE, MARGIN, steady
from adapler_explain.loop import Course
from adapler_explain.run import Run
from eraser_eval.files import write_json

# Factors of the thresholds of an epoch that loses too much.
LOWERED = (1.0, 0.95, 0.9, 0.85, 0.8, 0.7)


def keep_better(run: Run, course: Course, target: Path, result: dict[str, Any]) -> dict[str, Any]:
    """``result`` of an epoch, with its thresholds; saved as ``best`` below ``target`` where it beats what is there."""
    reduction = course.model.adapler
    eta = removal.at_factor(reduction.eta, result["factor"])
    result |= {"metric": run.val_split.info.metric, "supervised": run.is_supervised}
    result |= {"eta": eta.tolist(), "theta": reduction.theta.tolist()}
    best = course.state.get("best")
    if best is None or result["epoch"] <= best["epoch"] or better(result, best):
        course.state["best"] = result
        if run.world.is_first:
            with holding(reduction.eta, eta):
                save_whole(run, course.model, target / "best")
            write_json(target / "best" / "val.json", result)
    return result


def unpack_best(run: Run, target: Path) -> None:
    """What is in ``best`` becomes the stage's output."""
    if run.world.is_first:
        for file in (target / "best").iterdir():
            file.rename(target / file.name)
        (target / "best").rmdir()


def judged(run: Run, model: Any, reference: float, factors: Sequence[float]) -> dict[str, Any]:
    """What an epoch's model does on val, at the first of ``factors`` of its thresholds that meets the rule.

    The rule: a score above ``reference`` less the tolerance. Where none meets it, and without ``rescale``, the
    thresholds stay as they are.
    """
    asis: dict[str, Any] = {}
    for factor in factors if run.config.rescale else (1.0,):
        row = run.validate(model, True, factor) | {"factor": factor, "reference": reference}
        row["meets_rule"] = meets_rule(run, row["score"], reference)
        if factor == 1.0:
            asis = row
        if row["meets_rule"]:
            return row
    return asis


def judged_over(run: Run, model: Any, reference: float, factors: Sequence[float]) -> dict[str, Any]:
    """As :func:`judged`, but every one of ``factors``, descending, is measured, and the :func:`steady` score decides.

    ``ladder`` has of each factor ``[factor, score, flops_speedup]``, ``mean_score`` the mean of their scores. Where
    none meets the rule, :data:`LOWERED` ones follow.
    """
    rows = {factor: run.validate(model, True, factor) for factor in (factors if run.config.rescale else (1.0,))}
    scores = {factor: row["score"] for factor, row in rows.items()}
    ladder = [[factor, row["score"], row["flops_speedup"]] for factor, row in rows.items()]
    known = {"reference": reference, "mean_score": sum(scores.values()) / len(scores), "ladder": ladder}
    for factor, row in rows.items():
        if meets_rule(run, steady(scores, factor, MARGIN), reference):
            return row | known | {"factor": factor, "meets_rule": True}
    for factor in (factor for factor in LOWERED if factor < min(rows) and run.config.rescale):
        row = run.validate(model, True, factor)
        if meets_rule(run, row["score"], reference):
            return row | known | {"factor": factor, "meets_rule": True}
    return rows[1.0] | known | {"factor": 1.0, "meets_rule": False}


def meets_rule(run: Run, score: float, reference: float) -> bool:
    """Whether ``score`` is above ``reference`` less the tolerance."""
    return score > reference - run.config.tolerance + CLOSE_SCORE


@contextmanager
def holding(parameter: Tensor, values: Tensor) -> Iterator[None]:
    """Within, ``parameter`` holds ``values``."""
    before = parameter.detach().clone()
    try:
        with torch.no_grad():
            parameter.copy_(values)
        yield
    finally:
        with torch.no_grad():
            parameter.copy_(before)


def save_whole(run: Run, model: Any, folder: Path) -> None:
    """Save ``model`` as ``folder``, which is replaced whole."""
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    run.save(model, temporary)
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)


def ranked(scores: Sequence[float]) -> list[int]:
    """Epochs from the best score to the worst; of equal ones the later first."""
    return sorted(range(len(scores)), key=lambda epoch: (scores[epoch], epoch), reverse=True)


def better(result: dict[str, Any], best: dict[str, Any]) -> bool:
    """Whether an epoch is kept over another that does not meet the rule, or of two alike.

    The one with the better mean score, where that is known; else the faster of those that meet the rule, and the better
    of others.
    """
    if result["meets_rule"] != best["meets_rule"]:
        return bool(result["meets_rule"])
    key = "mean_score" if "mean_score" in result else "flops_speedup" if result["meets_rule"] else "score"
    return bool(result[key] > best[key])
