"""Training: its settings, the recipes, and the stages in order.

    <output>/manifest.json    the settings and what they were applied to
    <output>/metrics.jsonl    a row for every epoch and every fifty steps
    <output>/fine-tuned/      the best epoch; epoch-*/ in it: the best ones, which the saliency is averaged over
    <output>/saliency/        saliency, and the fine-tuned model's logits, of every window that is trained on after that
    <output>/soft/            the model that soft removal ended with, where recovery follows
    <output>/adapler/         the model that was kept

A stage whose output is there is not run again; one that was cut off goes on (``.partial-<stage>/``), and comes to the
same weights, on CPU to the bit. Outputs appear under their name only when complete.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from eraser_eval.datasets import DATASETS, Split, find
from eraser_eval.errors import StorageError, UsageError
from eraser_eval.files import exclusive

# The errors of a full disk, a full quota, and a file that is too large.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
PRECISIONS = ("float32", "tfloat32", "bfloat16")
MOST = 1_000_000
# What each number may be.
BOUNDS: Mapping[str, tuple[float, float]] = {
    **dict.fromkeys(("fine_tune_lr", "lr", "predictor_lr"), (0, 1)),
    **dict.fromkeys(("dropout", "attention_dropout"), (0, 0.99)),
    **dict.fromkeys(("distill", "warmup"), (0, 1)),
    **dict.fromkeys(("threshold_lr", "gamma", "phi", "weight_decay", "checkpoint_minutes"), (0, MOST)),
    **dict.fromkeys(("sharpness", "sharpness_growth", "first_sharpness", "clip"), (1e-6, MOST)),
    **dict.fromkeys(("fine_tune_epochs", "saliency_epochs", "epochs", "batch_size", "accumulate"), (1, MOST)),
    **dict.fromkeys(("windows_per_document", "limit", "val_limit"), (0, MOST * MOST)),
    "recovery_epochs": (0, MOST),
    "tolerance": (-MOST, MOST),
    "window_pieces": (8, MOST),
    "eta": (0.01, 1),
    "teacher_power": (0.1, 10),
    **dict.fromkeys(("jitter", "recovery_jitter"), (0, 10)),
    "seed": (0, 2**32 - 1),
}


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides what a training run does. :meth:`of` fills in a data set's and a recipe's own values.

    Attributes:
        dataset, data_root: what to train on.
        model: folder or hub id of the pretrained encoder that both training stages start from.
        output_dir: where the stages write.
        recipe: the name of the recipe that the settings were taken from.
        window_pieces: most pieces in a window.
        windows_per_document: windows drawn from each document in an epoch; 0 takes all.
        fine_tune_epochs, fine_tune_lr: first stage.
        saliency_epochs: over how many of the best fine-tuning epochs the saliency is averaged, if there are as many.
        teacher: what teaches the contribution predictors, see ``teachers.TEACHERS``.
        teacher_power: the power that the teacher's saliency is raised to. Above 1 fewer pieces hold most of it, so that
            more of them lie below an even share, the most that a threshold asks for; 1 in the paper.
        start: what soft removal starts from: ``pretrained``, as in the paper, or ``fine-tuned``, which needs fewer
            steps.
        distill: share of the task loss that is not cross entropy to the gold class but divergence from the fine-tuned
            model's probabilities; 0 in the paper.
        epochs: of training with soft removal.
        lr: of encoder and classifier from there on.
        predictor_lr, threshold_lr: of the contribution predictors; of η and θ.
        eta: where the thresholds η start.
        theta: whether θ, the factor of [CLS]'s contribution in the removal decision, is learnt; else it stays 1.
        jitter: thresholds are scaled in each step by a factor drawn between 1 / (1 + jitter) and 1 + jitter, so
            that the model learns to do with more and with fewer pieces than they leave.
        recovery_epochs: epochs with hard removal after those, predictors and thresholds as they are; 0 in the paper.
        recovery_jitter: as ``jitter``, of these epochs; thresholds are raised by as much where val allows it.
        gamma, phi: weights of the contribution and the length loss.
        sharpness, sharpness_growth: λ is sharpness · growth^epoch, and ``first_sharpness`` in the very first step.
        batch_size: windows a step, over all processes.
        accumulate: parts that a step's windows go through the model in, to save memory.
        warmup: share of the steps.
        weight_decay: of matrices.
        clip: largest norm of a group's gradient.
        dropout: of hidden states; attention_dropout: of attention weights.
        class_weights: weigh classes in the task loss by their rarity.
        tolerance: how much of the fine-tuned model's val score the kept model may lose.
        rescale: lower the thresholds of an epoch that loses more, until it does not, and raise those of recovery while
            it does not; epochs are then compared by their speed after that.
        precision: of matrix products: float32, bfloat16, or tfloat32: float32 whose products a GPU's tensor cores make
            of ten bits of each factor.
        seed: of the order, the windows drawn, dropout and new weights.
        limit, val_limit: use only so many documents of train and of val, evenly spaced; 0 uses all.
        checkpoint_minutes: how often a checkpoint is written inside an epoch.
        device: torch device.
        stages_of: folder of another run, which differs in settings of later stages alone: its fine-tuned model is
            taken, its saliency where the teacher is the same, and its soft removal's model where only recovery differs.
    """

    dataset: str
    model: str
    output_dir: str
    data_root: str | None = None
    recipe: str = "recommended"
    window_pieces: int = 512
    windows_per_document: int = 0
    fine_tune_epochs: int = 3
    fine_tune_lr: float = 8e-5
    saliency_epochs: int = 1
    teacher: str = "input-x-gradient"
    teacher_power: float = 1.0
    start: str = "fine-tuned"
    distill: float = 0.5
    epochs: int = 4
    lr: float = 2e-5
    predictor_lr: float = 2e-3
    threshold_lr: float = 1e-2
    eta: float = 0.25
    theta: bool = True
    jitter: float = 0.0
    recovery_epochs: int = 2
    recovery_jitter: float = 0.25
    gamma: float = 0.03
    phi: float = 5e-4
    sharpness: float = 50.0
    sharpness_growth: float = 1.5
    first_sharpness: float = 1000.0
    batch_size: int = 32
    accumulate: int = 1
    warmup: float = 0.06
    weight_decay: float = 0.01
    clip: float = 1.0
    dropout: float = 0.1
    attention_dropout: float = 0.0
    class_weights: bool = True
    tolerance: float = 0.01
    rescale: bool = True
    precision: str = "float32"
    seed: int = 0
    limit: int = 0
    val_limit: int = 0
    checkpoint_minutes: float = 5.0
    device: str = "cpu"
    stages_of: str | None = None

    @classmethod
    def of(cls, dataset: str, recipe: str = "recommended", **given: Any) -> TrainConfig:
        """The settings for a data set: what is ``given`` (and not None), else the recipe's, else the data set's own.

        Args:
            dataset: a known data set or a path.
            recipe: a key of :data:`RECIPES`.
            **given: fields of this class.

        Raises:
            UsageError: no such recipe or data set.
        """
        if recipe not in RECIPES:
            raise UsageError(f"--recipe {recipe}: choose from {', '.join(RECIPES)}")
        info = DATASETS[dataset] if dataset in DATASETS else find(dataset)[0]
        own = info.published if recipe == "paper" else info.recipe
        asked = {name: value for name, value in given.items() if value is not None}
        fixed = {"dataset": dataset, "recipe": recipe, "window_pieces": info.window_pieces}
        return cls(**{**fixed, **RECIPES[recipe], **own, **asked})

    @property
    def taught_epochs(self) -> int:
        """Epochs whose windows need saliency."""
        return max(self.epochs, self.recovery_epochs)

    def check(self) -> None:
        """Raise UsageError where a setting cannot be used."""
        from adapler_explain.teachers import TEACHERS

        choices = {"start": ("pretrained", "fine-tuned"), "precision": PRECISIONS, "teacher": tuple(TEACHERS)}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise UsageError(f"--{name} {getattr(self, name)}: choose from {', '.join(allowed)}")
        if self.precision == "tfloat32" and not has_tensor_cores(self.device):
            raise UsageError(
                f"--precision tfloat32: NVIDIA GPUs from Ampere on have it, and not --device {self.device}; "
                "choose float32, in another --output-dir where a run was begun"
            )
        for name, (low, high) in BOUNDS.items():
            value = getattr(self, name)
            # What is no number is in no range.
            if not low <= value <= high:
                raise UsageError(f"--{name.replace('_', '-')} {value}: give a number from {low} to {high}")


# What runs of versions that could not be asked otherwise did, where it is not the default now.
FORMERLY: Mapping[str, Any] = {"recovery_epochs": 0}
# The paper's own settings; those of the recommended recipe are the defaults of TrainConfig.
RECIPES: Mapping[str, Mapping[str, Any]] = {
    "recommended": {},
    "paper": {
        "fine_tune_epochs": 5,
        "fine_tune_lr": 2e-5,
        "saliency_epochs": 3,
        "teacher": "input-x-gradient",
        "start": "pretrained",
        "distill": 0.0,
        "epochs": 5,
        "lr": 3e-5,
        "predictor_lr": 3e-5,
        "threshold_lr": 5e-4,
        "gamma": 0.005,
        "phi": 5e-4,
        "rescale": False,
        "recovery_epochs": 0,
        "sharpness": 10.0,
        "sharpness_growth": 10.0,
        "attention_dropout": 0.1,
    },
}


def train(config: TrainConfig, data: tuple[Split, Split] | None = None) -> Path:
    """The folder of the kept model, after all stages.

    Under torchrun, or started with ``--nproc``, the processes share the work.

    Args:
        config: the settings.
        data: the train and the val split; None: what ``config.dataset`` names. Rows in memory, a Hugging Face data set
            for instance, become a split by :func:`eraser_eval.datasets.from_rows`.

    Raises:
        UserError: the data or the model is missing or broken, the folder holds a run with other settings, training
            diverged, or the disk is full.
    """
    from adapler_explain import adoption, recovery, stages
    from adapler_explain.run import SOFT, Run

    run = Run(config, data)
    run.world.wait()
    alone = exclusive(run.folder) if run.world.is_first else nullcontext()
    with room_on_disk(run.folder), alone, tensor_cores(config.precision == "tfloat32"):
        settings = run.asked()
        begun = (run.folder / "fine-tuned").exists()
        other = None if begun or config.stages_of is None else adoption.check(run, settings)
        run.claim(settings | ({} if other is None else {"fine_tuned_by": other["adapler_explain"]}))
        if other is not None and run.world.is_first:
            adoption.adopt(run, other)
        run.world.wait()
        run.stage("fine-tuned", stages.fine_tune)
        run.stage("saliency", stages.extract_saliency)
        run.stage(SOFT if config.recovery_epochs else "adapler", stages.train_adapler)
        if config.recovery_epochs:
            run.stage("adapler", recovery.recover)
    kept = json.loads((run.folder / "adapler" / "val.json").read_text(encoding="utf-8"))
    if run.world.is_first and not kept["meets_rule"]:
        print(
            f"warning: no epoch's val {kept['metric']} is within {config.tolerance:g} of the fine-tuned model's best; "
            f"kept the best ({kept['score']:.3f}): try a smaller --phi or more --epochs",
            file=sys.stderr,
        )
    return run.folder / "adapler"


def has_tensor_cores(device: str) -> bool:
    """Whether ``device`` multiplies matrices in tfloat32."""
    import torch

    if not device.startswith("cuda") or not torch.cuda.is_available() or torch.version.hip is not None:
        return False
    return torch.cuda.get_device_capability(device) >= (8, 0)


@contextmanager
def tensor_cores(wanted: bool) -> Iterator[None]:
    """Within, products of float32 matrices run on a GPU's tensor cores in tfloat32, where that is ``wanted``."""
    if not wanted:
        yield
        return
    import torch

    # Of the two ways to say it the older one, and to read it too, fails where the newer was used.
    place: Any = torch.backends.cuda.matmul
    name, value = ("fp32_precision", "tf32") if hasattr(place, "fp32_precision") else ("allow_tf32", True)
    before = getattr(place, name)
    setattr(place, name, value)
    try:
        yield
    finally:
        setattr(place, name, before)


@contextmanager
def room_on_disk(folder: Path) -> Iterator[None]:
    """Within, a disk that is full is a user's error; outputs are written whole, so that nothing is broken by it."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        full = getattr(error, "errno", None) in FULL or any(f"(os error {code})" in str(error) for code in FULL)
        if not full:
            raise
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error).splitlines()[0]
        raise StorageError(
            f"--output-dir {folder}: cannot be written to ({reason}); the last checkpoint there is whole: free space "
            "and give the same command again"
        ) from None
