"""The folder in the making: which figures go into it, and where everything lies."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from adapler_explain import __version__
from adapler_explain.bench.subjects import plain_stock
from adapler_explain.classifier import Classifier, all_windows
from adapler_explain.environment import describe
from adapler_explain.evaluate import EvalConfig
from adapler_explain.explainers import title_of
from adapler_explain.loading import model_checksum
from adapler_explain.paper import ablations, document, dropping, tasks
from adapler_explain.paper.plan import BASE, BY_PHI, BY_TEACHER, COMPARED, VARIANTS, PaperConfig, Scale, Task, Variant
from adapler_explain.paper.reuse import current, explained
from adapler_explain.training import TrainConfig
from eraser_eval import figures
from eraser_eval.datasets import bundled, limited, load
from eraser_eval.errors import MissingError, UsageError
from eraser_eval.files import write_json, write_text
from eraser_eval.grid import csv
from eraser_eval.runs import read_run
from eraser_eval.tables import columns_of, grid_of

LOOK = "acl-column"
RATIONALE_FIGURES = ("layers", "precision-recall", "agreement", "position")
# Decides nothing that is computed, or is asked of each figure by itself.
FREE = ("parts", "device", "time_on", "output_dir", "tasks", "rationales")


@dataclass
class Making:
    """The parts of the folder, each a method; what is complete is not made again."""

    config: PaperConfig
    scale: Scale
    folder: Path
    say: Callable[[str], None]

    def __post_init__(self) -> None:
        self.left_out: list[str] = []

    # ---------------------------------------------------------------- parts

    def tasks(self) -> None:
        """The task table, and score over speedup of each task."""
        rows, drawn = [], set[str]()
        for task in self._there(self.scale.tasks, self.config.tasks):
            for seed in task.seeds:
                self.say(f"task {tasks.name_of(task.dataset)}, seed {seed}")
                run = self._run(task, seed)
                row = tasks.task_figures(
                    task, run, self._train(task, seed, run), self._batch_sizes, self.config.time_on
                )
                rows.append(row)
            name = tasks.name_of(task.dataset)
            # One figure of a run, whatever its aims.
            if name not in drawn:
                self._frontier([tasks.frontier_of(self._run(task, task.seeds[0]), task)], f"tasks/{name}-frontier")
            drawn.add(name)
        write_json(self.folder / "tasks.json", {"rows": rows})
        if rows:
            document.write_table(self.folder, "tasks", tasks.grid(rows))

    def rationales(self) -> None:
        """Kept words and other explanations against people's, also layer by layer."""
        wanted = [Task(name) for name in self.scale.rationales]
        for given in self._there(wanted, self.config.rationales):
            name = tasks.name_of(given.dataset)
            task = next((task for task in self.scale.tasks if task.dataset == given.dataset), given)
            self.say(f"rationales of {name}")
            run = self._run(task, task.seeds[0])
            checkpoint = tasks.trained(self._train(task, task.seeds[0], run))
            frontier = tasks.tuned(checkpoint, task, self._root, self.config.device)
            folder = self.folder / "explained" / name
            explained(
                EvalConfig(
                    task.dataset,
                    data_root=self._root,
                    model=str(checkpoint),
                    reference_model=str(run / "fine-tuned"),
                    operating_point=tasks.point_of(task.max_drop) if frontier["chosen"] else "",
                    limit=self.scale.explained,
                    output_dir=str(folder),
                    device=self.config.device,
                    faithfulness="remove",
                )
            )
            root = Path(self._root) if self._root else None
            read = read_run(folder, root)
            document.write_table(self.folder, f"rationales-{name}", grid_of([read], columns_of([read], ()), title_of))
            figures.plot([folder], RATIONALE_FIGURES, LOOK, self.folder / "figures" / name, title_of, root)
            figures.plot([folder], ["bars"], "acl-wide", self.folder / "figures" / name, title_of, root)

    def ablations(self) -> None:
        """Training with one thing changed, and equal budgets with another decider; teachers on other data sets too."""
        for task in self._there([self.scale.ablation], ()):
            self._compared(replace(task, seeds=task.seeds[:1]), VARIANTS, "ablations")
            self._drawn(task, BY_TEACHER, "ablations/teacher")
            self._drawn(task, BY_PHI, "ablations/phi")
            self.say("who decides what falls")
            self._dropping(task)
        for task in self._there(self.scale.teachers, ()):
            name = tasks.name_of(task.dataset)
            self._compared(task, COMPARED, f"teachers-{name}")
            if name != tasks.name_of(self.scale.ablation.dataset):
                self._drawn(task, COMPARED, f"ablations/{name}-teacher")

    def _compared(self, task: Task, variants: Sequence[Variant], table: str) -> None:
        """Train those of ``variants`` that the data set has the words for, and write their ``table``."""
        name = tasks.name_of(task.dataset)
        train, val = (load(task.dataset, split, Path(self._root) if self._root else None) for split in ("train", "val"))
        marked, people = (any(example.gold_mask.any() for example in part.examples) for part in (train, val))
        rows = []
        for variant in variants:
            for seed in task.seeds if marked or not variant.supervised else ():
                self.say(f"{name}, ablation {variant.name}, seed {seed}")
                base = self._train(task, seed, self._variant(name, BASE, seed))
                run = self._variant(name, variant.name, seed)
                rows.append(ablations.variant_figures(variant, task, base, run, people))
        write_json(self.folder / f"{table}.json", {"title": val.info.title, "rows": rows})
        document.write_table(self.folder, table, ablations.grid(rows, val.info.title))

    def _drawn(self, task: Task, variants: Sequence[Variant], figure: str) -> None:
        titles, dataset = {variant.name: variant.title for variant in variants}, tasks.name_of(task.dataset)
        runs = [self._variant(dataset, name, task.seeds[0]) for name in titles]
        self._frontier([tasks.frontier_of(run, task) for run in runs], figure, titles)

    def _dropping(self, task: Task) -> None:
        run = self._variant(tasks.name_of(task.dataset), BASE, task.seeds[0])
        frontier = tasks.tuned(run / "adapler", task, self._root, self.config.device)
        written, factor = self.folder / "dropping.json", frontier["chosen"] or 1.0
        found = current(written, model_checksum=frontier["model_checksum"], operating_factor=factor)
        if found is None:
            adapler = Classifier.load(run / "adapler", self.config.device)
            fine_tuned = Classifier.load(run / "fine-tuned", self.config.device, adapler.window_pieces)
            split = limited(load(task.dataset, task.split, Path(self._root) if self._root else None), task.measured)
            windows = all_windows(adapler, split)
            made = dropping.dropping_figures(split, windows, adapler, fine_tuned, factor)
            found = {"model_checksum": adapler.checksum} | made
            write_json(written, found)
        document.write_table(self.folder, "dropping", dropping.grid(found))

    # ---------------------------------------------------------------- places

    def _run(self, task: Task, seed: int) -> Path:
        root = Path(self.config.runs) if self.config.runs else self.folder / "runs"
        return root / f"{tasks.name_of(task.dataset)}-{seed}"

    def _variant(self, dataset: str, name: str, seed: int = 0) -> Path:
        return self.folder / "runs" / f"ablation-{dataset}{f'-{seed}' if seed else ''}" / name

    @property
    def _root(self) -> str | None:
        return self.config.data_root if self.scale.rooted else None

    @cached_property
    def encoder(self) -> str:
        """The pretrained encoder: the one given, or the bundled model's, without its AdapLeR part."""
        if self.config.model is not None:
            return self.config.model
        folder = self.folder / "encoder"
        if not folder.is_dir():
            classifier = Classifier.load(bundled("models/adapler-movies"))
            temporary = self.folder / ".encoder.tmp"
            plain_stock(classifier.model).save_pretrained(temporary)
            classifier.tokenizer.save_pretrained(temporary)
            temporary.rename(folder)
        return str(folder)

    @property
    def _batch_sizes(self) -> tuple[int, ...]:
        if not self.config.timing:
            return ()
        return (1,) if self.config.scale == "quick" else (1, 32)

    def _train(self, task: Task, seed: int, run: Path) -> TrainConfig:
        given: dict[str, Any] = dict(task.train) | {"seed": seed, "device": self.config.device, "data_root": self._root}
        return TrainConfig.of(task.dataset, model=self.encoder, output_dir=str(run), **given)

    def _there(self, wanted: Any, named: tuple[str, ...]) -> list[Task]:
        """Those of ``wanted`` that are named, or that have their data here; what is left out is kept in mind."""
        found = []
        for task in wanted:
            name = tasks.name_of(task.dataset)
            if named and name not in named:
                continue
            try:
                load(task.dataset, task.split, Path(self._root) if self._root else None)
            except MissingError as error:
                if named:
                    raise
                if str(error) not in self.left_out:
                    self.left_out.append(str(error))
                    self.say(f"left out: {error}")
                continue
            found.append(task)
        return found

    def _frontier(self, folders: Sequence[Path], figure: str, titles: Mapping[str, str] = MappingProxyType({})) -> None:
        there = [folder for folder in folders if (folder / "frontier.json").is_file()]
        if there:
            stem = self.folder / "figures" / figure
            figures.plot_frontier(there, LOOK, stem, lambda run: titles.get(run, run))

    # ---------------------------------------------------------------- the folder

    def claim(self) -> None:
        """Write what was asked, or check that the folder was made of the same.

        Raises:
            UsageError: it was not.
        """
        asked = {key: value for key, value in asdict(self.config).items() if key not in FREE}
        asked = {"command": "paper", "adapler_explain": __version__} | asked
        path = self.folder / "manifest.json"
        if path.is_file():
            old = json.loads(path.read_text(encoding="utf-8"))
            changed = [key for key in asked if key != "adapler_explain" and old.get(key) != asked[key]]
            if changed:
                raise UsageError(
                    f"--output-dir {self.folder}: was made with other settings ({', '.join(changed)}); give the same "
                    "to go on, or another folder"
                )
        elif any(path.name not in (".lock", "runs") for path in self.folder.iterdir()):
            raise UsageError(f"--output-dir {self.folder}: holds files that are not of 'paper'; give another folder")
        else:
            write_json(path, asked | {"environment": describe(self.config.device)})

    def close(self) -> None:
        """Write the document around what is there."""
        for pattern in ("tasks.json", "ablations.json", "teachers-*.json"):
            for path in sorted(self.folder.glob(pattern)):
                rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
                write_text(path.with_suffix(".csv"), csv([flat(row) for row in rows]))
        model = self.config.model
        encoder = "the bundled model's, without its AdapLeR part" if model is None else model
        if model is not None and Path(model).is_dir():
            encoder = f"{Path(model).name} ({model_checksum(model, None)})"
        facts = {
            "Scale": f"{self.config.scale} ({self.scale.meaning})",
            "Encoder": encoder,
            "adapler-explain": __version__,
        }
        document.write_document(self.folder, facts, self.left_out)


def flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """``row`` as a line of CSV: what it holds of scores and clocks has columns of its own.

    >>> flat({"task": "x", "pruned": {"score": 0.5}, "wall_clock": [{"batch": 1, "speedup": 2.0}], "train": {}})
    {'task': 'x', 'pruned_score': 0.5, 'speedup_batch_1': 2.0}
    """
    plain: dict[str, Any] = {}
    for key, value in row.items():
        if key in ("fine_tuned", "pruned", "score_at_speed"):
            plain |= {f"{key}_{part}": number for part, number in value.items()}
        elif key == "wall_clock":
            plain |= {f"speedup_batch_{clock['batch']}": clock["speedup"] for clock in value}
        elif key == "kept_per_layer":
            plain |= {f"kept_{place}": share for place, share in enumerate(value, 1)}
        elif not isinstance(value, (dict, list)):
            plain[key] = value
    return plain
