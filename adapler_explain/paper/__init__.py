"""The experiment of the AdapLeR paper, from trained models or from a pretrained encoder, as one folder.

    <output>/README.md, paper.tex           everything in one document
    <output>/manifest.json                  what was asked
    <output>/tasks.*                        the task table, with speedups
    <output>/rationales-<data set>.*        kept words and other explanations beside people's
    <output>/ablations.*, dropping.*        training with one thing changed; who decides what falls
    <output>/teachers-*.*                   what teaches the predictors, on other data sets
    <output>/figures/<part>/                for a column of a paper, with their data
    <output>/runs/, <output>/explained/     training runs, and runs of ``eval``

What is complete is not made again, so that the same command goes on where it was cut off.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from adapler_explain.loading import check_device
from adapler_explain.paper import tasks
from adapler_explain.paper.making import Making
from adapler_explain.paper.plan import PARTS, SCALES, PaperConfig
from adapler_explain.training import has_tensor_cores
from eraser_eval.errors import UsageError
from eraser_eval.files import exclusive

__all__ = ["PARTS", "PaperConfig", "paper"]


def paper(config: PaperConfig, say: Callable[[str], None] = lambda _: None) -> Path:
    """The folder, complete.

    Args:
        config: what is asked.
        say: is told what begins.

    Raises:
        UserError: an option cannot be used, data or a model that was named is missing, or training failed.
    """
    _check(config)
    folder = Path(config.output_dir)
    with exclusive(folder):
        making = Making(config, SCALES[config.scale], folder, say)
        making.claim()
        made: dict[str, Callable[[], None]] = {
            "tasks": making.tasks,
            "rationales": making.rationales,
            "ablations": making.ablations,
        }
        for part in PARTS:
            if part in config.parts:
                made[part]()
        making.close()
    return folder


def _check(config: PaperConfig) -> None:
    check_device(config.device)
    if config.time_on:
        check_device(config.time_on, "--time-on")
    if config.scale not in SCALES:
        raise UsageError(f"--scale {config.scale}: choose from {', '.join(SCALES)}")
    scale = SCALES[config.scale]
    precisions = {task.train.get("precision") for task in (*scale.tasks, scale.ablation, *scale.teachers)}
    if "tfloat32" in precisions and not has_tensor_cores(config.device):
        raise UsageError(f"--scale {config.scale}: is for an NVIDIA GPU from Ampere on; give --device cuda")
    for option, asked, known in (
        ("parts", config.parts, PARTS),
        ("tasks", config.tasks, [tasks.name_of(task.dataset) for task in scale.tasks]),
        ("rationales", config.rationales, [tasks.name_of(name) for name in scale.rationales]),
    ):
        for name in asked:
            if name not in known:
                raise UsageError(f"--{option} {name}: choose from {', '.join(known)}")
    if config.model is None and config.scale != "quick":
        raise UsageError("--model: give the pretrained encoder that training starts from, or --quick for the sample")
