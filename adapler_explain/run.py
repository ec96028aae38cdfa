"""A training run: its data, cut into windows, and its folder. What is done with them is in ``stages.py``."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from adapler_explain import __version__, backbones, measure
from adapler_explain.classifier import Classifier, all_windows
from adapler_explain.environment import describe
from adapler_explain.loading import check_device, load_pretrained, model_checksum
from adapler_explain.parallel import World, world
from adapler_explain.teachers import TEACHERS
from adapler_explain.windows import Window
from eraser_eval.datasets import DATASETS, Split, limited, load
from eraser_eval.errors import DataError, UsageError
from eraser_eval.files import sweep, write_json
from eraser_eval.records import Example

if TYPE_CHECKING:
    from adapler_explain.training import TrainConfig

# Steps whose windows are sorted by length together, so that those of a step have nearly the same.
POOL = 32
# Settings that change neither what is computed nor whether a run may go on.
FREE = ("output_dir", "checkpoint_minutes", "device")
# Where soft removal's model is, when recovery follows.
SOFT = "soft"


@dataclass(frozen=True)
class Item:
    """A training window.

    Attributes:
        example: what it is a window of.
        number: which of the example's, from 0.
        window: its pieces.
        label: index of the gold class.
    """

    example: Example
    number: int
    window: Window
    label: int

    @property
    def id(self) -> str:
        """Its name: the example's id and the number of the window."""
        return f"{self.example.id}/{self.number}"


class Run:
    """One training run: what every stage needs of its settings, data and folder.

    Attributes:
        config: the settings.
        folder: where the run writes.
        world: the processes that work at it.
        labels: the classes.
        class_weights: ``[classes]``, of the task loss.
        items: for every training example its windows.
    """

    def __init__(self, config: TrainConfig, data: tuple[Split, Split] | None = None) -> None:
        check_device(config.device)
        config.check()
        self.config = config
        self.folder = Path(config.output_dir)
        self.world: World = world(config.device)
        train, val = data or self._read()
        self.train_split = limited(train, config.limit)
        # Rows in memory know no more classes than occur among them.
        self.val_split = replace(limited(val, config.val_limit), info=train.info)
        self.labels = self.train_split.info.labels
        self._check_data()
        self.class_weights = self._class_weights().to(self.world.device)
        model, self.tokenizer = load_pretrained(config.model, new=backbones.new_weights(""))
        if model.config.model_type.startswith("adapler_"):
            raise UsageError(
                f"--model {config.model}: an AdapLeR checkpoint; training starts from a pretrained encoder, give that"
            )
        self.model_type = model.config.model_type
        try:
            classifier = Classifier(model, self.tokenizer, config.window_pieces)
        except UsageError as error:
            raise UsageError(f"--model {config.model}, --window-pieces {config.window_pieces}: {error}") from None
        self.items = [
            [Item(example, number, window, self.labels.index(example.label)) for number, window in enumerate(windows)]
            for example, windows in zip(
                self.train_split.examples, all_windows(classifier, self.train_split), strict=True
            )
        ]
        self.val_windows = all_windows(classifier, self.val_split)
        self.model_checksum = model_checksum(config.model, model)

    def _read(self) -> tuple[Split, Split]:
        config = self.config
        if config.dataset not in DATASETS and Path(config.dataset).is_file():
            raise UsageError(
                f"--dataset {config.dataset}: is one split; training needs a folder with a train and a val file"
            )
        root = Path(config.data_root) if config.data_root else None
        return load(config.dataset, "train", root), load(config.dataset, "val", root)

    def _check_data(self) -> None:
        """Raise DataError where a classifier cannot be trained on the data, or not be judged."""
        for split, option in ((self.train_split, "--limit"), (self.val_split, "--val-limit")):
            there = {example.label for example in split.examples}
            if len(there) < 2:
                more = "" if split.total == len(split.examples) else f"; {option} {len(split.examples)} may be too few"
                raise DataError(split.file, f"has one class only ({there.pop()}); a classifier needs two{more}")
        known = {example.label for example in self.train_split.examples}
        for example in self.val_split.examples:
            if example.label not in known:
                reason = f"{example.id!r} is of class {example.label!r}, of which the train split has no example"
                raise DataError(self.val_split.file, reason, example.line)
        missing = [label for label in self.labels if label not in known]
        if missing:
            reason = f"has no example of {', '.join(missing)}; add some, or give a higher --limit"
            raise DataError(self.train_split.file, reason)
        if self.is_supervised and not any(example.gold_mask.any() for example in self.train_split.examples):
            raise UsageError(
                f"--teacher {self.config.teacher}: reads words that people marked, and {self.train_split.file} has "
                "none; choose another teacher"
            )

    @property
    def is_supervised(self) -> bool:
        """Whether the teacher reads words that people marked."""
        return TEACHERS[self.config.teacher].supervised

    def _class_weights(self) -> Tensor:
        counts = np.array([sum(e.label == label for e in self.train_split.examples) for label in self.labels])
        weights = counts.sum() / (len(counts) * counts) if self.config.class_weights else np.ones(len(counts))
        return torch.tensor(weights, dtype=torch.float32)

    # ---------------------------------------------------------------- models

    def model(self, model_class: Any, start: str = "pretrained") -> Any:
        """A fresh ``model_class`` with the pretrained encoder's or the fine-tuned model's weights."""
        config = self.config
        model = load_pretrained(
            config.model if start == "pretrained" else self.folder / start,
            model_class,
            new=backbones.new_weights(self.model_type),
            dtype=torch.float32,
            num_labels=len(self.labels),
            id2label=dict(enumerate(self.labels)),
            label2id={label: index for index, label in enumerate(self.labels)},
            **backbones.dropout_options(self.model_type, config.dropout, config.attention_dropout),
        )[0]
        model.config.window_pieces = config.window_pieces
        return model.to(self.world.device)

    def classifier(self, model: Any) -> Classifier:
        """``model`` with this run's tokenizer and windows."""
        return Classifier(model, self.tokenizer, self.config.window_pieces)

    def save(self, model: Any, folder: Path) -> None:
        """Save ``model`` and the tokenizer in ``folder``."""
        model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def autocast(self) -> AbstractContextManager[Any]:
        """Within, matrix products run in the precision that was asked for."""
        if self.config.precision != "bfloat16":
            return nullcontext()
        return torch.autocast(torch.device(self.world.device).type, torch.bfloat16)

    # ---------------------------------------------------------------- data

    def drawn(self, epoch: int) -> list[Item]:
        """The windows of ``epoch`` in a shuffled order; the same in every stage and every process of a run."""
        generator = np.random.default_rng([self.config.seed, epoch])
        items: list[Item] = []
        for document in self.items:
            count = min(self.config.windows_per_document or len(document), len(document))
            items += [document[i] for i in generator.permutation(len(document))[:count]]
        return [items[i] for i in generator.permutation(len(items))]

    def steps(self, epoch: int) -> list[list[Item]]:
        """The windows of each step of ``epoch``; those of a step have nearly the same length."""
        items, size = self.drawn(epoch), self.config.batch_size
        generator = np.random.default_rng([self.config.seed, epoch, size])
        steps: list[list[Item]] = []
        for start in range(0, len(items), size * POOL):
            pool = sorted(items[start : start + size * POOL], key=lambda item: len(item.window))
            batches = [pool[i : i + size] for i in range(0, len(pool), size)]
            steps += [batches[i] for i in generator.permutation(len(batches))]
        return steps

    def validate(self, model: Any, prune: bool, factor: float = 1.0) -> dict[str, Any]:
        """``score`` and ``accuracy`` on val; with removal also ``flops_speedup`` and ``kept``, a share a layer.

        ``factor`` is one of the thresholds.
        """
        model.eval()
        shard = (self.world.rank, self.world.size)
        classifier = self.classifier(model)
        part = measure.measure(classifier, self.val_split, self.val_windows, prune, factor, shard)
        whole = measure.merge(self.world.gather(part))
        row: dict[str, Any] = {"score": whole.score, "accuracy": whole.accuracy}
        return row | ({"flops_speedup": whole.flops_speedup, "kept": whole.kept} if prune else {})

    # ---------------------------------------------------------------- folder

    def stage(self, name: str, work: Callable[[Run, Path], None]) -> None:
        """Run ``work`` on a temporary path that becomes ``<folder>/name`` when it is complete; skip what is there."""
        target, partial = self.folder / name, self.folder / f".partial-{name}"
        if target.exists():
            if not any((target / name).is_file() for name in ("val.json", "part-00000.safetensors")):
                raise UsageError(f"--output-dir {self.folder}: {name}/ there is not of a run; give another folder")
            self.log(stage=name, skipped=True)
            return
        self.log(stage=name, environment=describe(self.config.device))
        if self.world.is_first:
            partial.mkdir(exist_ok=True)
        self.world.wait()
        torch.manual_seed(self.config.seed)
        started = time.monotonic()
        work(self, partial)
        self.world.wait()
        if self.world.is_first:
            partial.rename(target)
        self.world.wait()
        self.log(stage=name, seconds=round(time.monotonic() - started, 1))

    @property
    def _log_file(self) -> Path:
        return self.folder / "metrics.jsonl"

    def log(self, **row: Any) -> None:
        """Append a row to ``metrics.jsonl``."""
        if not self.world.is_first:
            return
        with self._log_file.open("ab+") as file:
            # A line that a kill cut off must not swallow this one.
            size = file.seek(0, 2)
            file.seek(max(size - 1, 0))
            torn = file.read(1) not in (b"", b"\n")
            line = json.dumps({"time": round(time.time()), **rounded(row)})
            file.write(("\n" * torn + line + "\n").encode())

    def log_size(self) -> int:
        """Bytes in ``metrics.jsonl``."""
        return self._log_file.stat().st_size if self._log_file.is_file() else 0

    def cut_log(self, size: int) -> None:
        """Forget what was logged after ``metrics.jsonl`` had ``size`` bytes."""
        if self.world.is_first and self.log_size() > size:
            with self._log_file.open("rb+") as file:
                file.truncate(size)

    def asked(self) -> dict[str, Any]:
        """What the manifest says: the settings, and what they are applied to."""
        settings: dict[str, Any] = {"command": "train", "adapler_explain": __version__} | asdict(self.config)
        train, val = self.train_split, self.val_split
        settings |= {"model_checksum": self.model_checksum, "source": train.source, "data_folder": str(train.folder)}
        settings |= {"train_checksum": train.checksum, "val_checksum": val.checksum}
        return settings | {"train_examples": len(train.examples), "val_examples": len(val.examples)}

    def claim(self, settings: dict[str, Any]) -> None:
        """Write the manifest, ``settings``, or check that the folder's run was asked the same.

        Raises:
            UsageError: it was asked something else, or the manifest is of something else.
        """
        manifest = self.folder / "manifest.json"
        if manifest.exists():
            try:
                old = json.loads(manifest.read_text(encoding="utf-8"))
            except ValueError:
                old = None
            if not isinstance(old, dict) or old.get("command") != "train":
                raise UsageError(f"--output-dir {self.folder}: holds what is no run of train; give another folder")
            changed = [key for key in settings if key not in FREE and old.get(key) != settings[key]]
            if changed:
                raise UsageError(
                    f"--output-dir {self.folder}: holds a run with other settings ({', '.join(changed)}); "
                    "give the same settings to go on, or another folder"
                )
        if self.world.is_first:
            sweep(self.folder)
            if not manifest.exists():
                write_json(manifest, settings)


def rounded(row: dict[str, Any]) -> dict[str, Any]:
    """``row`` with the numbers in its lists at four significant digits, for reading."""
    return {
        key: [float(f"{number:.4g}") for number in value]
        if isinstance(value, Sequence) and not isinstance(value, str) and all(isinstance(n, float) for n in value)
        else value
        for key, value in row.items()
    }
