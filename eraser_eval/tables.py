"""The comparison table of runs, for papers: LaTeX (booktabs), Markdown and CSV.

Several runs of the same data are seeds: values are means over them, ± the standard deviation. Of one run values stand
with their 95 % interval. The best of a column is bold, and what does not differ significantly from it is underlined: a
paired test of every method against the best one, corrected for their number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from eraser_eval import report, score, significance
from eraser_eval.errors import UsageError
from eraser_eval.grid import Grid, Shown, csv
from eraser_eval.metrics import FAITHFUL, METRICS
from eraser_eval.metrics.metric import Metric
from eraser_eval.runs import Run

Titles = Callable[[str], str]
FORMATS = ("latex", "markdown", "csv")
BASELINES = ("gold", "all")


@dataclass(frozen=True)
class Cell:
    """A figure of a method.

    Attributes:
        value: the mean over runs.
        low, high: its interval, of one run.
        spread: the standard deviation over runs, of several.
        best: whether none is better.
        tied: whether it does not differ significantly from the best.
    """

    value: float
    low: float | None
    high: float | None
    spread: float | None
    best: bool = False
    tied: bool = False


def cells_of(runs: Sequence[Run], metrics: Sequence[str]) -> dict[str, dict[str, Cell]]:
    """Metric to method to its cell.

    What is not among :func:`rivals_of` the metric is neither bold nor underlined.

    Raises:
        UsageError: the runs are not of the same documents and methods.
    """
    first = runs[0]
    for run in runs[1:]:
        if run.figures["data_checksum"] != first.figures["data_checksum"]:
            raise UsageError(f"{run.folder}: is of other data than {first.folder}; give runs of the same split")
        if list(run.figures["methods"]) != list(first.figures["methods"]):
            raise UsageError(f"{run.folder}: has other methods than {first.folder}; choose some with --methods")
    found: dict[str, dict[str, Cell]] = {}
    for metric in metrics:
        row = {}
        for method in first.figures["methods"]:
            estimates = [run.figures["methods"][method].get(metric) for run in runs]
            values = [e["value"] for e in estimates if e is not None and e["value"] is not None]
            if len(values) == len(runs):
                one = len(runs) == 1
                spread = None if one else float(np.std(values, ddof=1))
                low, high = (estimates[0]["low"], estimates[0]["high"]) if one else (None, None)
                row[method] = Cell(float(np.mean(values)), low, high, spread)
        found[metric] = marked(row, runs, metric)
    return found


def marked(row: Mapping[str, Cell], runs: Sequence[Run], name: str) -> dict[str, Cell]:
    """``row`` with its best cell and those that do not differ from it."""
    metric = METRICS[name]
    rivals = [method for method in rivals_of(runs[0].figures["methods"], name) if method in row]
    if not rivals:
        return dict(row)
    sign = -1 if metric.lower_is_better else 1
    best = max(rivals, key=lambda method: sign * row[method].value)
    p_values = [None if method == best else paired_p(runs, method, best, metric) for method in rivals]
    corrected = dict(zip(rivals, significance.holm(p_values), strict=True))
    made = dict(row)
    for method in rivals:
        cell, p = row[method], corrected[method]
        tied = method != best and p is not None and p >= significance.LEVEL
        made[method] = Cell(cell.value, cell.low, cell.high, cell.spread, method == best, tied)
    return made


def rivals_of(methods: Mapping[str, Any], name: str) -> list[str]:
    """The methods that compete for the best value of a metric.

    Not the rows ``all`` and ``gold``, nor predictions with another number of words. What erasing words does is measured
    on the model that a method explains: only methods that explain the same one compete there, those of which there are
    most (``random-pruned``, which no model is asked for, not counted).
    """
    found = [m for m, row in methods.items() if m not in BASELINES and row.get("budget", "adapler") == "adapler"]
    if FAITHFUL not in METRICS[name].fixes:
        return found
    explains = Counter(methods[method].get("explains") for method in found if method != "random-pruned")
    return [method for method in found if methods[method].get("explains") == explains.most_common(1)[0][0]]


def paired_p(runs: Sequence[Run], one: str, two: str, metric: Metric) -> float | None:
    """The p-value of two methods' difference on the documents that both have; of several runs, on statistics' means."""
    tables = []
    for method in (one, two):
        parts = [run.table[run.table["method"] == method].set_index("annotation_id") for run in runs]
        values = [part.reindex(columns=list(metric.columns)).astype(float) for part in parts]
        tables.append(sum(values[1:], values[0]) / len(values))
    both = tables[0].index.intersection(tables[1].index)
    first, second = (table.loc[both].to_numpy() for table in tables)
    known = np.isfinite(first).all(1) & np.isfinite(second).all(1)
    if not known.any():
        return None
    pairs = {"one": (metric, first[known], second[known])}
    return significance.randomisation_test(pairs, 0, score.Statistics().resamples).get("one")


def columns_of(runs: Sequence[Run], metrics: Sequence[str]) -> list[str]:
    """The metrics of the table: those that are named, else those that the runs' own tables show.

    Raises:
        UsageError: there is none of that name.
    """
    unknown = [name for name in metrics if name not in METRICS]
    if unknown:
        raise UsageError(f"--metrics {unknown[0]}: choose from {', '.join(METRICS)}")
    return list(metrics or report.shown(runs[0].figures))


def table(runs: Sequence[Run], metrics: Sequence[str], form: str, titles: Titles) -> str:
    """The table of ``runs`` in ``form``, one of :data:`FORMATS`.

    Raises:
        UsageError: there is no such form or metric, or the runs do not belong together.
    """
    if form not in FORMATS:
        raise UsageError(f"--format {form}: choose {', '.join(FORMATS)}")
    names = columns_of(runs, metrics)
    if form == "csv":
        return _csv(runs, names, titles)
    grid = grid_of(runs, names, titles)
    return grid.latex() if form == "latex" else grid.markdown()


def grid_of(runs: Sequence[Run], names: Sequence[str], titles: Titles) -> Grid:
    """The table of ``runs`` with the columns ``names``."""
    cells = cells_of(runs, names)

    def shown(cell: Cell | None) -> Shown:
        if cell is None:
            return Shown("–")
        spread = f"[{cell.low:.3f}, {cell.high:.3f}]" if cell.spread is None else f"± {cell.spread:.3f}"
        return Shown(f"{cell.value:.3f}", "bold" if cell.best else "underline" if cell.tied else "", spread)

    chance: list[Shown | str] = [Shown("chance", "italic"), *(_chance(runs[0], name) for name in names)]
    return Grid(
        head=["method", *(_headed(name) for name in names)],
        rows=[[titles(m), *(shown(cells[n].get(m)) for n in names)] for m in runs[0].figures["methods"]],
        caption=caption(runs, any(FAITHFUL in METRICS[name].fixes for name in names)),
        foot=[chance],
        remarks=[runs[0].figures["signatures"][name] for name in names if name in runs[0].figures["signatures"]],
    )


def _headed(name: str) -> str:
    return f"{METRICS[name].title} {'↓' if METRICS[name].lower_is_better else '↑'}"


def _csv(runs: Sequence[Run], names: Sequence[str], titles: Titles) -> str:
    cells = cells_of(runs, names)
    return csv(
        [
            {"method": m, "title": titles(m), "metric": n, **vars(cell)}
            for m in runs[0].figures["methods"]
            for n in names
            if (cell := cells[n].get(m)) is not None
        ]
    )


def caption(runs: Sequence[Run], faithful: bool = False) -> str:
    """What must stand under the table; ``faithful``: it has columns of what erasing words does."""
    figures = runs[0].figures
    spread = (
        "95 % bootstrap intervals over documents"
        if len(runs) == 1
        else f"mean ± standard deviation of {len(runs)} runs"
    )
    return (
        f"{figures['title']} ({figures['source']}), {figures['split']}, {figures['documents']} documents; {spread}. "
        "Bold: the best; underlined: not significantly different from it (approximate randomisation, Holm). "
        f"Marked words: {figures['prevalence']:.3f} of a document. Every method chooses as many words as AdapLeR keeps."
        + (" Faithfulness: the best of those that explain the same model." if faithful else "")
    )


def _chance(run: Run, name: str) -> str:
    level: Any = run.figures["chance"].get(name)
    return "" if level is None else f"{level:.3f}"


OVERVIEW = ("average_precision", "token_f1", "comprehensiveness_aopc", "sufficiency_aopc", "log_odds")


def overview(figures: Mapping[str, Any], titles: Titles) -> str:
    """Plausibility, faithfulness and cost of every method in a narrow Markdown table, from ``metrics.json`` alone.

    The best of a column's :func:`rivals_of` is bold; intervals and tests are in the run's own table.
    """
    names = [name for name in OVERVIEW if figures["methods"]["adapler"].get(name, {}).get("value") is not None]
    best = {}
    for name in names:
        sign = -1 if METRICS[name].lower_is_better else 1
        rivals = rivals_of(figures["methods"], name)
        best[name] = max(rivals, key=lambda method: sign * figures["methods"][method][name]["value"])
    rows: list[list[Shown | str]] = []
    for method, values in figures["methods"].items():
        cells: list[Shown | str] = []
        for name in names:
            value = values.get(name, {}).get("value")
            text = "" if value is None else f"{value:.3f}"
            cells.append(Shown(text, "bold" if best[name] == method else ""))
        seconds, windows, flops = report.cost_cells(values)
        rows.append([titles(method), *cells, windows, flops, seconds])
    levels = [figures["chance"].get(name) for name in names]
    chance: list[Shown | str] = [
        Shown("chance", "italic"),
        *("" if v is None else f"{v:.3f}" for v in levels),
        "",
        "",
        "",
    ]
    head = ["method", *map(_headed, names), "windows, forward + back", "GFLOPs", "seconds"]
    return Grid(head, rows, foot=[chance]).markdown()
