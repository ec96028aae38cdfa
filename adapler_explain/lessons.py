"""What training after fine-tuning is taught with, on disk: for every window its saliency and the teacher's logits.

A folder of ``part-<n>.safetensors``, each made whole; what is there is not made again. In a file: ``saliency``, the
pieces of its windows one after the other; ``lengths`` ``[windows]``; ``logits`` ``[windows, classes]``; and in the
metadata the names of the windows, ``<example id>/<number>``, as a JSON list.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from adapler_explain import teachers
from adapler_explain.classifier import Classifier
from adapler_explain.progress import Progress
from adapler_explain.run import Item, Run
from eraser_eval.files import replacing

PART_WINDOWS = 1024
TINY = 1e-30


@dataclass(frozen=True)
class Lesson:
    """What is taught about one window.

    Attributes:
        saliency: ``[pieces]``, of each piece, at least 0.
        logits: ``[classes]``, the fine-tuned model's.
    """

    saliency: Tensor
    logits: Tensor


def write_lessons(run: Run, items: Sequence[Item], models: Sequence[Path], folder: Path) -> None:
    """Write the lessons of ``items``, averaged over the fine-tuned ``models``; processes share the work."""
    bounds = range(0, len(items), PART_WINDOWS)
    paths = {start: folder / f"part-{start // PART_WINDOWS:05d}.safetensors" for start in bounds}
    missing = [start for start in run.world.share(bounds) if not paths[start].is_file()]
    classifiers = [Classifier.load(path, run.world.device, run.config.window_pieces) for path in models if missing]
    total = sum(len(items[start : start + PART_WINDOWS]) for start in missing)
    with Progress("saliency", total, "windows") as progress:
        for start in missing:
            part = items[start : start + PART_WINDOWS]
            taught = [_lessons(run, part, classifier) for classifier in classifiers]
            saliencies = [torch.stack(rows).mean(0) for rows in zip(*(rows for rows, _ in taught), strict=True)]
            tensors = {
                "saliency": torch.cat(saliencies),
                "lengths": torch.tensor([len(row) for row in saliencies]),
                "logits": torch.stack([logits for _, logits in taught]).mean(0),
            }
            with replacing(paths[start]) as temporary:
                save_file(tensors, temporary, metadata={"windows": json.dumps([item.id for item in part])})
            progress.advance(len(part))


def _lessons(run: Run, part: Sequence[Item], classifier: Classifier) -> tuple[list[Tensor], Tensor]:
    windows = [item.window for item in part]
    golds = [item.label for item in part]
    marked = [np.append(item.example.gold_mask, False)[list(item.window.words)] for item in part]
    rows = teachers.saliency_of(classifier, windows, golds, marked, run.config.teacher)
    return [row.cpu() for row in rows], classifier.logits(windows, prune=False).cpu()


def read_lessons(folder: Path, power: float = 1.0) -> dict[str, Lesson]:
    """The lessons in ``folder``, by window; saliency is raised to ``power``."""
    lessons: dict[str, Lesson] = {}
    for path in sorted(folder.glob("part-*.safetensors")):
        with safe_open(path, framework="pt") as file:
            names = json.loads(file.metadata()["windows"])
            rows = file.get_tensor("saliency").split(file.get_tensor("lengths").tolist())
            logits = file.get_tensor("logits")
        lessons |= {name: Lesson(raised(row, power), own) for name, row, own in zip(names, rows, logits, strict=True)}
    return lessons


def raised(saliency: Tensor, power: float) -> Tensor:
    """``saliency`` ``[pieces]`` to ``power``; of its largest, as only shares count and small numbers would vanish."""
    return saliency if power == 1 else (saliency / saliency.amax().clamp(min=TINY)) ** power
