"""What the paper's experiment is made of: its tasks at each scale, and the variants of training that are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from eraser_eval.datasets import bundled


@dataclass(frozen=True)
class Task:
    """One task: how it is trained, and what is reported of it.

    Attributes:
        dataset: a known data set, or a path.
        train: settings of :class:`adapler_explain.training.TrainConfig` beside the recipe's and the data set's own.
        split: what is reported.
        measured, tuned: most documents of that split, and of val for tuning; 0: all.
        seeds: a training run for each.
        max_drop: what the operating point may lose of the score on val.
    """

    dataset: str
    train: Mapping[str, object] = field(default_factory=dict)
    split: str = "test"
    measured: int = 0
    tuned: int = 0
    seeds: tuple[int, ...] = (0,)
    max_drop: float = 0.01


@dataclass(frozen=True)
class Scale:
    """How large everything is.

    Attributes:
        meaning: one line for people.
        tasks: the task table.
        ablation: what the variants are trained on, with words that people marked; reported on val.
        rationales: data sets whose rationales are compared with people's, each with a model of :attr:`tasks`.
        explained: most documents of each; 0: all.
        teachers: data sets on which what teaches the predictors is compared closely, over seeds; reported on val.
        rooted: whether the data sets lie below the data root.
    """

    meaning: str
    tasks: tuple[Task, ...]
    ablation: Task
    rationales: tuple[str, ...]
    explained: int = 0
    teachers: tuple[Task, ...] = ()
    rooted: bool = True


@dataclass(frozen=True)
class Variant:
    """Training with one thing changed.

    Attributes:
        name: of its run folder.
        title: for tables and figures.
        train: settings that differ.
        times_phi: factor of the data set's own φ.
        supervised: whether it needs words that people marked in train.
    """

    name: str
    title: str
    train: Mapping[str, object] = field(default_factory=dict)
    times_phi: float = 1.0
    supervised: bool = False


PARTS = ("tasks", "rationales", "ablations")


@dataclass(frozen=True)
class PaperConfig:
    """What is asked.

    Attributes:
        output_dir: the folder.
        model: pretrained encoder that training starts from; None: the bundled model's, for ``quick`` alone.
        data_root: where the data sets are; see :func:`eraser_eval.datasets.find`.
        scale: a key of :data:`SCALES`.
        parts: of :data:`PARTS`.
        tasks, rationales: only these data sets; empty: all of the scale that are there.
        runs: where training runs are, ``<data set>-<seed>``; None: ``runs`` in ``output_dir``.
        device: torch device.
        timing: also measure the wall clock.
        time_on: the torch device of the wall clock; None: ``device``.
    """

    output_dir: str
    model: str | None = None
    data_root: str | None = None
    scale: str = "small"
    parts: tuple[str, ...] = PARTS
    tasks: tuple[str, ...] = ()
    rationales: tuple[str, ...] = ()
    runs: str | None = None
    device: str = "cpu"
    timing: bool = True
    time_on: str | None = None


SAMPLE = str(bundled("sample/movies"))
# For two cores: parts of train, fewer epochs, and of a long text one window of 256 pieces.
SHORT = {"fine_tune_epochs": 2, "epochs": 2}
LONG = {"window_pieces": 256, "windows_per_document": 1, "batch_size": 16}
# A sharper teacher, a model that may follow it further, and the fine-tuned model's probabilities alone: with gold
# classes beside them recovery won nothing there.
TOPICS: dict[str, Any] = {
    **{"limit": 10000, "val_limit": 1000, "fine_tune_epochs": 2, "epochs": 3, "lr": 5e-5, "distill": 1.0},
    **{"jitter": 0.25, "phi": 3e-3, "teacher_power": 3.0, "tolerance": 0.02},
}
# For a GPU: windows of a long text as above, in batches that fill it.
WIDE = LONG | {"batch_size": 32, "precision": "tfloat32"}
SEEDS = (0, 1, 2)
# Half a point on val where a point may be lost on test: the fastest of many points that just meet an aim owes that to
# luck in part.
HALF = 0.005
# What variants are compared with: the teacher as it is, and no recovery, which has a table of its own.
PLAIN: dict[str, Any] = {"teacher_power": 1.0, "recovery_epochs": 0}
SCALES: Mapping[str, Scale] = {
    "full": Scale(
        "whole data sets, the recommended recipe's epochs: for a GPU",
        (
            Task("sst2", split="val", seeds=(0, 1, 2)),
            Task("imdb"),
            Task("mrpc", seeds=(0, 1, 2)),
            Task("mnli", split="val"),
            Task("qnli", split="val"),
            Task("ag_news"),
            Task("dbpedia"),
            Task("hatexplain", seeds=(0, 1, 2)),
            Task("movies", LONG | {"fine_tune_epochs": 5, "saliency_epochs": 2}),
            Task("multirc"),
        ),
        Task("hatexplain", PLAIN, split="val"),
        ("movies", "multirc", "hatexplain"),
        teachers=(
            Task("hatexplain", PLAIN, split="val", seeds=(0, 1, 2)),
            Task("movies", PLAIN | LONG | {"fine_tune_epochs": 5, "saliency_epochs": 2}, split="val", seeds=(0, 1, 2)),
        ),
    ),
    "gpu": Scale(
        "parts of train, three seeds: for a GPU",
        (
            Task(
                "movies",
                LONG | {"fine_tune_epochs": 5, "saliency_epochs": 2, "precision": "tfloat32"},
                seeds=SEEDS,
            ),
            Task(
                "sst2",
                {"limit": 15000, "fine_tune_epochs": 2, "epochs": 3, "precision": "tfloat32"},
                split="val",
                seeds=SEEDS,
            ),
            Task("mrpc", {"precision": "tfloat32"}, seeds=SEEDS),
            Task("hatexplain", {"epochs": 3, "precision": "tfloat32"}, seeds=SEEDS),
            Task(
                "ag_news",
                {"val_limit": 2000, "fine_tune_epochs": 2, "jitter": 0.25, "phi": 3e-3, "precision": "tfloat32"},
                tuned=2000,
                seeds=SEEDS,
            ),
            Task("multirc", WIDE | {"val_limit": 1000, "fine_tune_epochs": 2}, tuned=1000, seeds=SEEDS),
            Task(
                "imdb",
                WIDE | {"limit": 8000, "val_limit": 1000, "fine_tune_epochs": 2, "jitter": 0.25, "phi": 1e-3},
                measured=2500,
                tuned=1000,
                seeds=SEEDS,
            ),
        ),
        Task("hatexplain", PLAIN | {"limit": 3000, "precision": "tfloat32"} | SHORT, split="val", tuned=1000),
        ("movies", "multirc", "hatexplain"),
        teachers=(
            Task(
                "hatexplain",
                PLAIN | {"limit": 3000, "precision": "tfloat32"} | SHORT,
                split="val",
                tuned=1000,
                seeds=SEEDS,
            ),
            Task(
                "movies",
                PLAIN | LONG | {"limit": 800, "fine_tune_epochs": 3, "epochs": 2, "precision": "tfloat32"},
                split="val",
                seeds=SEEDS,
            ),
        ),
    ),
    "small": Scale(
        "parts of train, few epochs: for two cores",
        (
            Task("movies", LONG | {"fine_tune_epochs": 5, "saliency_epochs": 2, "epochs": 4}),
            Task("sst2", {"limit": 20000, "fine_tune_epochs": 2, "epochs": 3}, split="val", max_drop=HALF),
            Task("mrpc", seeds=SEEDS, max_drop=HALF),
            Task("hatexplain", {"limit": 3000} | SHORT, seeds=SEEDS, max_drop=HALF),
            Task("ag_news", TOPICS, tuned=2500),
            Task("ag_news", TOPICS, tuned=2500, max_drop=0.02),
            Task("multirc", LONG | {"limit": 1500, "val_limit": 300} | SHORT, measured=500, tuned=300),
            Task(
                "imdb",
                LONG | {"limit": 1200, "val_limit": 300, "fine_tune_epochs": 2, "epochs": 3},
                measured=500,
                tuned=1000,
            ),
        ),
        Task("hatexplain", PLAIN | {"limit": 3000} | SHORT, split="val", tuned=1000),
        ("movies", "multirc", "hatexplain"),
        explained=60,
        teachers=(
            Task("hatexplain", PLAIN | {"limit": 3000} | SHORT, split="val", tuned=1000, seeds=(0, 1, 2)),
            Task("movies", PLAIN | LONG | {"limit": 800, "fine_tune_epochs": 3, "epochs": 2}, split="val"),
        ),
    ),
    "quick": Scale(
        "the bundled sample: shows that everything runs, its figures mean nothing",
        (Task(SAMPLE, LONG | {"fine_tune_epochs": 2, "epochs": 2, "batch_size": 4}),),
        Task(SAMPLE, PLAIN | LONG | {"fine_tune_epochs": 2, "epochs": 2, "batch_size": 4}, split="val"),
        (SAMPLE,),
        explained=12,
        rooted=False,
    ),
}

BASE = "base"
VARIANTS = (
    Variant(BASE, "teacher: input × gradient"),
    Variant("teacher-lrp", "teacher: layer-wise relevance", {"teacher": "lrp"}),
    Variant("teacher-rollout", "teacher: attention rollout", {"teacher": "attention-rollout"}),
    Variant(
        "teacher-integrated",
        "teacher: integrated gradients",
        {"teacher": "integrated-gradients"},
    ),
    Variant("teacher-human", "teacher: people", {"teacher": "human"}, supervised=True),
    Variant("teacher-squared", "teacher: input × gradient, squared", {"teacher_power": 2.0}),
    Variant("no-teacher", "no teacher (γ = 0)", {"gamma": 0.0}),
    Variant("phi-half", "φ × ½", times_phi=0.5),
    Variant("phi-double", "φ × 2", times_phi=2.0),
    Variant("no-theta", "no θ", {"theta": False}),
    Variant("no-rescale", "thresholds of no epoch lowered", {"rescale": False}),
    Variant("jitter", "thresholds shaken by a quarter", {"jitter": 0.25}),
)
BY_TEACHER = tuple(v for v in VARIANTS if v.name in (BASE, "no-teacher") or v.name.startswith("teacher"))
# Worth more than one seed.
COMPARED = tuple(v for v in BY_TEACHER if v.name not in ("no-teacher", "teacher-rollout"))
BY_PHI = tuple(v for v in VARIANTS if v.name == BASE or v.name.startswith("phi"))
