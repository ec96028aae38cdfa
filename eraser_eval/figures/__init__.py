"""Figures for papers from run folders: data first (:mod:`.data`), then drawing (:mod:`.draw`), in a :mod:`.style`.

Adding a kind is adding a function in both modules and a row in :data:`KINDS`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from eraser_eval.errors import DataError, UsageError
from eraser_eval.figures import data, draw, style
from eraser_eval.figures.draw import Titles
from eraser_eval.figures.style import STYLES, Style
from eraser_eval.runs import Run, read_run
from eraser_eval.task_score import metric_title


@dataclass(frozen=True)
class Kind:
    """A kind of figure.

    Attributes:
        meaning: one line for people.
        table: what one run shows, or several together where ``joint``.
        draw: that, in a style.
        joint: whether several runs stand in one figure; else each has its own.
    """

    meaning: str
    table: Callable[..., pd.DataFrame]
    draw: Callable[[pd.DataFrame, Style, Titles], Figure]
    joint: bool = False


def _precision_recall(table: pd.DataFrame, style: Style, titles: Titles) -> Figure:
    return draw.precision_recall(table, style, titles, float(table.attrs["prevalence"]))


def _with_prevalence(run: Run) -> pd.DataFrame:
    table = data.precision_recall_curves(run)
    table.attrs["prevalence"] = run.figures["prevalence"]
    return table


KINDS: dict[str, Kind] = {
    "bars": Kind("metrics with intervals and chance", data.bars, draw.bars, joint=True),
    "precision-recall": Kind("mean precision over recall", _with_prevalence, _precision_recall),
    "roc": Kind("mean ROC curves", data.roc_curves, draw.roc),
    "layers": Kind("the words alive at each layer, every method at the same budget", data.layers, draw.layers),
    "pareto": Kind("quality over cost", data.costs, draw.pareto, joint=True),
    "agreement": Kind("rank agreement between methods", data.agreement, draw.agreement),
    "calibration": Kind("contribution predictors against saliency", data.calibration, draw.calibration),
    "position": Kind("where in the document rationales are", data.position, draw.position),
    "length": Kind("average precision by the document's length", data.length, draw.length),
}
FRONTIER = "frontier"


def names() -> list[str]:
    """Every kind."""
    return [*KINDS, FRONTIER]


def plot(
    folders: Sequence[Path],
    kinds: Sequence[str],
    look: str,
    output: Path,
    titles: Titles = str,
    data_root: Path | None = None,
    methods: Sequence[str] = (),
) -> list[Path]:
    """The files of the figures ``kinds`` of the runs in ``folders``, written into ``output``.

    Args:
        folders: of ``eval``; of ``tune`` for ``frontier``.
        kinds: see :func:`names`.
        look: a key of :data:`style.STYLES`.
        output: folder; each figure is ``<kind>[-<run>].pdf``, ``.svg``, ``.png`` and its data ``.csv``.
        titles: method to its name for people.
        data_root: where the runs' documents are.
        methods: only these; empty: all.

    Raises:
        UsageError: there is no such kind, style or method.
        DataError, MissingError: a folder is not that of a run, or lacks what a kind needs.
    """
    unknown = [kind for kind in kinds if kind not in names()]
    if unknown:
        raise UsageError(f"--kind {unknown[0]}: choose from {', '.join(names())}")
    if look not in STYLES:
        raise UsageError(f"--style {look}: choose from {', '.join(STYLES)}")
    made: list[Path] = []
    wanted = [kind for kind in kinds if kind != FRONTIER]
    runs = [chosen(read_run(folder, data_root), methods) for folder in folders] if wanted else []
    with style.applied(STYLES[look]):
        for kind in wanted:
            row = KINDS[kind]
            groups = [("", row.table(runs))] if row.joint else [(run.name, row.table(run)) for run in runs]
            for name, table in groups:
                stem = output / (kind if row.joint or len(runs) == 1 else f"{kind}-{name}")
                made += style.save(row.draw(table, STYLES[look], titles), table, stem)
        if FRONTIER in kinds:
            made += plot_frontier(folders, look, output / FRONTIER)
    return made


def plot_frontier(folders: Sequence[Path], look: str, stem: Path, titles: Titles = str) -> list[Path]:
    """The files beside ``stem`` of score over speedup, of the folders of ``tune``; ``titles`` names their runs."""
    table = frontier_table(folders)
    with style.applied(STYLES[look]):
        return style.save(draw.frontier(table, STYLES[look], titles), table, stem)


def plot_run(run: Run, kind: str, look: str, output: Path, titles: Titles = str) -> list[Path]:
    """The files of one figure of one run; see :func:`plot`."""
    row = KINDS[kind]
    with style.applied(STYLES[look]):
        table = row.table([run]) if row.joint else row.table(run)
        return style.save(row.draw(table, STYLES[look], titles), table, output / kind)


def chosen(run: Run, methods: Sequence[str]) -> Run:
    """``run`` with only ``methods``, in their order; all where none are named.

    Raises:
        UsageError: the run lacks one.
    """
    if not methods:
        return run
    lacking = [method for method in methods if method not in run.figures["methods"]]
    if lacking:
        raise UsageError(f"--methods {lacking[0]}: {run.folder} has {', '.join(run.figures['methods'])}")
    kept = {method: run.figures["methods"][method] for method in methods}
    return Run(
        run.folder,
        run.manifest,
        {**run.figures, "methods": kept},
        run.table[run.table["method"].isin(methods)],
        run.split,
        {method: run.predictions[method] for method in methods if method in run.predictions},
    )


def frontier_table(folders: Sequence[Path]) -> pd.DataFrame:
    """The points of ``frontier.json`` in each folder of ``tune``, a row a point.

    Raises:
        DataError: a folder has none that can be read.
    """
    tables = []
    for folder in folders:
        try:
            figures = json.loads((folder / "frontier.json").read_text(encoding="utf-8"))
            rows = [
                {
                    "run": folder.parent.name if folder.name == "tune" else folder.name,
                    "metric": f"{metric_title(figures['metric'])}, {figures['title']} {figures['split']}",
                    "reference_score": figures["reference_score"],
                    "chosen": point["factor"] == figures["chosen"],
                    **{key: point[key] for key in ("factor", "score", "flops_speedup", "measured_speedup", "kept")},
                }
                for point in figures["points"]
            ]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(folder, f"has no frontier.json of 'tune' that can be read ({error!r})") from None
        tables.append(pd.DataFrame(rows))
    return pd.concat(tables, ignore_index=True)
