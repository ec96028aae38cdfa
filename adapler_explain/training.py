"""A training run: its settings, its data and its folder. The three stages themselves are in ``stages.py``.

    <output>/manifest.json        the settings and what they were applied to
    <output>/metrics.jsonl        a row for every epoch and every fifty steps
    <output>/fine-tuned/          the best epoch; epoch-*/ in it: the best ones, which the saliency is averaged over
    <output>/saliency.safetensors saliency of every window that the last stage will see
    <output>/adapler/             the model that was kept

A stage whose output is there is not run again: outputs appear under their name only when complete.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from adapler_explain import __version__, flops
from adapler_explain.classifier import Classifier, all_windows, check_device, load_pretrained, model_checksum
from adapler_explain.environment import describe
from adapler_explain.progress import Progress
from adapler_explain.windows import Window
from eraser_eval.datasets import limited, load
from eraser_eval.errors import UsageError
from eraser_eval.files import exclusive, write_json

# What a pretrained encoder may lack: the classifier, the pooler, and AdapLeR's own parameters.
NEW_WEIGHTS = ("classifier.", "bert.pooler.", "adapler.")


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides what a training run does.

    Attributes:
        dataset, data_root: what to train on.
        model: folder or hub id of the pretrained encoder that both training stages start from.
        output_dir: where the stages write.
        window_pieces: most pieces in a window.
        windows_per_document: windows drawn from each document in an epoch; 0 takes all.
        fine_tune_epochs, fine_tune_lr: first stage.
        start: what the last stage starts from: ``pretrained``, as in the paper, or ``fine-tuned``, which needs fewer
            steps.
        epochs, lr: last stage, encoder and classifier.
        predictor_lr, threshold_lr: last stage, contribution predictors; η and θ.
        gamma, phi: weights of the contribution and the length loss.
        sharpness, sharpness_growth: λ is sharpness · growth^epoch, and 1000 in the very first step.
        batch_size: windows a step.
        warmup: share of the steps.
        weight_decay: of matrices.
        dropout: of hidden states; attention_dropout: of attention weights.
        saliency_epochs: how many of the best fine-tuning epochs the saliency is averaged over.
        tolerance: how much validation accuracy the kept model may lose.
        seed: of the order, the windows drawn, dropout and new weights.
        limit: use only so many documents of each split, evenly spaced over it; 0 uses all.
        device: torch device.
    """

    dataset: str
    model: str
    output_dir: str
    data_root: str | None = None
    window_pieces: int = 512
    windows_per_document: int = 0
    fine_tune_epochs: int = 5
    fine_tune_lr: float = 2e-5
    start: str = "pretrained"
    epochs: int = 5
    lr: float = 3e-5
    predictor_lr: float = 1e-3
    threshold_lr: float = 5e-3
    gamma: float = 0.02
    phi: float = 3e-4
    sharpness: float = 10.0
    sharpness_growth: float = 10.0
    batch_size: int = 32
    warmup: float = 0.06
    weight_decay: float = 0.01
    dropout: float = 0.1
    attention_dropout: float = 0.1
    saliency_epochs: int = 3
    tolerance: float = 0.01
    seed: int = 0
    limit: int = 0
    device: str = "cpu"


def train(config: TrainConfig) -> Path:
    """The folder of the kept model, after all three stages.

    Raises:
        UserError: the data or the model is missing or broken, or the folder holds a run with other settings.
    """
    from adapler_explain import stages

    run = Run(config)
    with exclusive(run.folder):
        run.stage("fine-tuned", stages.fine_tune)
        run.stage("saliency.safetensors", stages.extract_saliency)
        run.stage("adapler", stages.train_adapler)
    kept = json.loads((run.folder / "adapler" / "val.json").read_text(encoding="utf-8"))
    if not kept["meets_rule"]:
        print(
            f"warning: no epoch's val accuracy is within {config.tolerance:g} of the fine-tuned model's best; kept the "
            f"most accurate ({kept['accuracy']:.3f}): try a smaller --phi or more --epochs",
            file=sys.stderr,
        )
    return run.folder / "adapler"


@dataclass(frozen=True)
class Item:
    """A training window: its document's index, its own number there, its pieces and its gold class."""

    document: int
    number: int
    window: Window
    label: int

    @property
    def key(self) -> str:
        """Its name in the saliency file."""
        return f"{self.document}/{self.number}"


@dataclass(frozen=True)
class Batch:
    """The windows of one step, as the model takes them, and the step's number in its epoch."""

    number: int
    items: list[Item]
    inputs: dict[str, Tensor]
    labels: Tensor


class Run:
    """One training run: what every stage needs of its settings, data and folder."""

    def __init__(self, config: TrainConfig) -> None:
        check_device(config.device)
        if config.start not in ("pretrained", "fine-tuned"):
            raise UsageError(f"--start {config.start}: choose pretrained or fine-tuned")
        self.config = config
        self.folder = Path(config.output_dir)
        root = Path(config.data_root) if config.data_root else None
        self.train_split, self.val_split = (
            limited(load(config.dataset, split, root), config.limit) for split in ("train", "val")
        )
        self.labels = self.train_split.info.labels
        counts = np.array([sum(e.label == label for e in self.train_split.examples) for label in self.labels])
        if (counts == 0).any():
            missing = [label for label, count in zip(self.labels, counts, strict=True) if not count]
            raise UsageError(f"the train split has no example of {', '.join(missing)}; a classifier cannot be trained")
        weights = counts.sum() / (len(counts) * counts)
        self.class_weights = torch.tensor(weights, dtype=torch.float32, device=config.device)
        model, self.tokenizer = load_pretrained(config.model, new=NEW_WEIGHTS)
        if model.config.model_type != "bert":
            raise UsageError(
                f"--model {config.model}: model_type {model.config.model_type!r}; a BERT encoder is needed"
            )
        classifier = Classifier(model, self.tokenizer, config.window_pieces)
        self.items = [
            [Item(index, number, window, self.labels.index(example.label)) for number, window in enumerate(windows)]
            for index, (example, windows) in enumerate(
                zip(self.train_split.examples, all_windows(classifier, self.train_split), strict=True)
            )
        ]
        self.val_windows = all_windows(classifier, self.val_split)
        self._claim_folder(model_checksum(config.model, model))

    def stage(self, name: str, work: Callable[[Run, Path], None]) -> None:
        """Run ``work`` on a temporary path that becomes ``<folder>/name`` when it is complete; skip what is there."""
        target = self.folder / name
        if target.exists():
            self.log(stage=name, skipped=True)
            return
        self.log(stage=name, environment=describe(self.config.device))
        torch.manual_seed(self.config.seed)
        partial = self.folder / f".partial-{name}"
        shutil.rmtree(partial, ignore_errors=True)
        started = time.monotonic()
        work(self, partial)
        partial.rename(target)
        self.log(stage=name, seconds=round(time.monotonic() - started, 1))

    def model(self, model_class: Any, start: str = "pretrained") -> Any:
        """A fresh ``model_class`` with the pretrained encoder's or the fine-tuned model's weights."""
        config = self.config
        model = load_pretrained(
            config.model if start == "pretrained" else self.folder / start,
            model_class,
            new=NEW_WEIGHTS,
            dtype=torch.float32,
            num_labels=len(self.labels),
            id2label=dict(enumerate(self.labels)),
            label2id={label: index for index, label in enumerate(self.labels)},
            hidden_dropout_prob=config.dropout,
            attention_probs_dropout_prob=config.attention_dropout,
        )[0]
        model.config.window_pieces = config.window_pieces
        return model.to(config.device)

    def classifier(self, model: Any) -> Classifier:
        """``model`` with this run's tokenizer and windows."""
        return Classifier(model, self.tokenizer, self.config.window_pieces)

    def save(self, model: Any, folder: Path) -> None:
        """Save ``model`` and the tokenizer in ``folder``."""
        model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def drawn(self, epoch: int) -> list[Item]:
        """The windows of ``epoch`` in their shuffled order; the same in every stage of a run."""
        generator = np.random.default_rng([self.config.seed, epoch])
        items: list[Item] = []
        for document in self.items:
            count = min(self.config.windows_per_document or len(document), len(document))
            items += [document[i] for i in generator.permutation(len(document))[:count]]
        return [items[i] for i in generator.permutation(len(items))]

    def batches(self, model: Any, epoch: int, title: str) -> Iterator[Batch]:
        """The batches of ``epoch``, under a progress bar."""
        items, size = self.drawn(epoch), self.config.batch_size
        classifier = self.classifier(model)
        with Progress(title, len(items), "windows") as progress:
            for number, start in enumerate(range(0, len(items), size)):
                part = items[start : start + size]
                labels = torch.tensor([item.label for item in part], device=classifier.device)
                yield Batch(number, part, classifier.batch([item.window for item in part]), labels)
                progress.advance(len(part))

    def validate(self, model: Any, prune: bool) -> dict[str, Any]:
        """``accuracy`` on val; with removal also ``flops_speedup`` and ``kept``, the share each layer processes."""
        model.eval()
        classifier = self.classifier(model)
        correct, dense, pruned, pieces = 0, 0, 0, 0
        kept = np.zeros(model.config.num_hidden_layers)
        documents = list(zip(self.val_split.examples, self.val_windows, strict=True))
        with Progress("validation", len(documents), "documents") as progress:
            for example, windows in documents:
                if prune:
                    outputs = [output for _, output in classifier.pruned(windows)]
                    logits = torch.cat([output.logits for output in outputs])
                    lengths = [len(window) for window in windows]
                    pieces += sum(lengths)
                    dense += sum(flops.dense(model.config, n) for n in lengths)
                    counts = [torch.stack([mask.sum(-1) for mask in output.alive]) for output in outputs]
                    alive = torch.cat(counts, -1).T.tolist()
                    pruned += sum(flops.pruned(model.config, n, row) for n, row in zip(lengths, alive, strict=True))
                    kept += np.sum(alive, axis=0)
                else:
                    logits = classifier.logits(windows, prune=False)
                correct += int(logits.softmax(-1).sum(0).argmax()) == self.labels.index(example.label)
                progress.advance()
        result: dict[str, Any] = {"accuracy": correct / len(self.val_split.examples)}
        return result | ({"flops_speedup": dense / pruned, "kept": (kept / pieces).round(4).tolist()} if prune else {})

    def log(self, **row: Any) -> None:
        """Append a row to ``metrics.jsonl``."""
        with (self.folder / "metrics.jsonl").open("ab+") as file:
            # A line that a kill cut off must not swallow this one.
            size = file.seek(0, 2)
            file.seek(max(size - 1, 0))
            torn = file.read(1) not in (b"", b"\n")
            line = json.dumps({"time": round(time.time()), **row})
            file.write(("\n" * torn + line + "\n").encode())

    def _claim_folder(self, model_checksum: str) -> None:
        """Write the manifest, or check that the folder's run was asked the same."""
        settings: dict[str, Any] = {"command": "train", "adapler_explain": __version__} | asdict(self.config)
        settings |= {"model_checksum": model_checksum, "source": self.train_split.source}
        settings |= {"data_folder": str(self.train_split.folder)}
        settings |= {"train_checksum": self.train_split.checksum, "val_checksum": self.val_split.checksum}
        manifest = self.folder / "manifest.json"
        if manifest.exists():
            old = json.loads(manifest.read_text(encoding="utf-8"))
            changed = [key for key in settings if key != "output_dir" and old.get(key) != settings[key]]
            if changed:
                raise UsageError(
                    f"--output-dir {self.folder}: holds a run with other settings ({', '.join(changed)}); "
                    "give the same settings to go on, or another folder"
                )
        else:
            write_json(manifest, settings)
