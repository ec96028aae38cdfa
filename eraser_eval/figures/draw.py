"""Drawing tables of :mod:`eraser_eval.figures.data`. Each function draws one figure in one style."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullFormatter

from eraser_eval.figures.style import Look, Style, looks
from eraser_eval.metrics import METRICS

Titles = Callable[[str], str]
LEGEND_ROW = 1.5


def panels(style: Style, count: int, height: float, legend: int = 0, sharey: bool = False) -> tuple[Figure, list[Axes]]:
    """A figure of exactly the style's width with ``count`` panels, ``height`` inches a row, and room for a legend.

    ``legend`` is how many rows it has.
    """
    columns = min(count, style.columns)
    rows = math.ceil(count / columns)
    below = legend * LEGEND_ROW * style.font / 72
    figure = Figure(figsize=(style.width, rows * height + below), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharey=sharey)
    axes = [axis for row in grid for axis in row]
    for axis in axes[count:]:
        axis.set_visible(False)
    return figure, axes[:count]


def legend_rows(style: Style, names: Sequence[str]) -> tuple[int, int]:
    """Columns and rows of a legend under a figure that holds ``names``."""
    room = style.width * 72 / (0.5 * (style.font - 1))
    columns = max(1, int(room // (max(map(len, names), default=1) + 6)))
    return columns, math.ceil(len(names) / columns)


def under(figure: Figure, marks: Mapping[str, Look], style: Style, titles: Titles, lines: bool = True) -> None:
    """A legend of methods under the figure."""
    names = [titles(method) for method in marks]
    columns, _ = legend_rows(style, names)
    handles = [
        Line2D([], [], color=look.colour, marker=look.marker, linestyle=look.dash if lines else "", label=name)
        for look, name in zip(marks.values(), names, strict=True)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, handlelength=2.2, columnspacing=1.0)


def bars(table: pd.DataFrame, style: Style, titles: Titles) -> Figure:
    """A panel for each metric: a bar for each method (and run) with its interval, and the level of chance."""
    metrics = list(dict.fromkeys(table["metric"]))
    methods, runs = list(dict.fromkeys(table["method"])), list(dict.fromkeys(table["run"]))
    height = 0.35 + (len(methods) * len(runs) * 1.45 + 3.5) * style.font / 72
    wanted = min(len(metrics), max(1, style.columns if style.width > 4 else 1))
    figure, axes = panels(Style(style.width, style.font, style.line, wanted), len(metrics), height, sharey=True)
    marks = looks(methods)
    size = 0.8 / len(runs)
    for panel, metric in zip(axes, metrics, strict=True):
        for number, run in enumerate(runs):
            part = table[(table["metric"] == metric) & (table["run"] == run)]
            places = np.array([methods.index(method) for method in part["method"]]) - 0.4 + size * (number + 0.5)
            below, above = (part["value"] - part["low"]).clip(lower=0), (part["high"] - part["value"]).clip(lower=0)
            drawn = panel.barh(places, part["value"], size * 0.9, edgecolor="black", linewidth=0.4)
            for bar, method in zip(drawn, part["method"], strict=True):
                look = marks[method]
                bar.set_facecolor("#555555" if method == "adapler" else look.colour)
                bar.set_hatch(look.hatch if len(runs) == 1 else ("", "////")[number % 2])
            panel.errorbar(part["value"], places, xerr=[below, above], fmt="none", ecolor="black", elinewidth=0.7)
        levels = table[(table["metric"] == metric)]["chance"].dropna().unique()
        for level in levels:
            panel.axvline(level, color="black", linestyle=":", linewidth=0.8)
        direction = "lower" if METRICS[metric].lower_is_better else "higher"
        panel.set_xlabel(f"{METRICS[metric].title}\n({direction} is better)")
        panel.xaxis.set_major_locator(MaxNLocator(4))
        panel.set_yticks(range(len(methods)), [titles(method) for method in methods])
        panel.set_ylim(len(methods) - 0.4, -0.6)
    return figure


def lines(
    table: pd.DataFrame,
    style: Style,
    titles: Titles,
    x: str,
    ys: Mapping[str, str],
    xlabel: str,
    marked: bool = True,
    chance: Mapping[str, str | float] | None = None,
) -> Figure:
    """A panel for each of ``ys`` (column to label), a line for each method over the column ``x``.

    ``chance``: column to the level of chance, or to ``diagonal``.
    """
    methods = list(dict.fromkeys(table["method"]))
    marks = looks(methods)
    _, rows = legend_rows(style, [titles(method) for method in methods])
    height = max(1.5, min(0.72 * style.width / min(len(ys), style.columns), 0.6 * style.width, 2.2 + style.font / 8))
    figure, axes = panels(style, len(ys), height, rows)
    for panel, (y, ylabel) in zip(axes, ys.items(), strict=True):
        for number, method in enumerate(methods):
            part, look = table[table["method"] == method], marks[method]
            every = max(1, len(part) // 8)
            panel.plot(
                part[x],
                part[y],
                color=look.colour,
                linestyle=look.dash,
                marker=look.marker,
                markevery=1 if marked else (number % every, every),
                zorder=3 if method == "adapler" else 2,
            )
        level = (chance or {}).get(y)
        if level == "diagonal":
            panel.plot([0, 1], [0, 1], color="black", linestyle=":", linewidth=0.8)
        elif isinstance(level, float):
            panel.axhline(level, color="black", linestyle=":", linewidth=0.8)
        panel.set_xlabel(xlabel)
        panel.set_ylabel(ylabel)
        panel.set_ylim(bottom=0)
        panel.xaxis.set_major_locator(MaxNLocator(5, integer=x in ("layer", "tenth", "group")))
    used = {method: look for method, look in marks.items() if method in methods}
    under(figure, used, style, titles)
    return figure


def layers(table: pd.DataFrame, style: Style, titles: Titles) -> Figure:
    """By layer: the share of the words alive, and how well they, and other methods' as many, agree with people."""
    ys = {"kept": "share of words", "fpr": "FPR", "precision": "precision", "recall": "recall"}
    return lines(table, style, titles, "layer", ys, "layer")


def precision_recall(table: pd.DataFrame, style: Style, titles: Titles, prevalence: float) -> Figure:
    """Mean precision over recall."""
    ys = {"precision": "precision"}
    return lines(table, style, titles, "recall", ys, "recall", False, {"precision": prevalence})


def roc(table: pd.DataFrame, style: Style, titles: Titles) -> Figure:
    """Mean true-positive over false-positive rate."""
    ys = {"true_positive_rate": "true-positive rate"}
    chance = {"true_positive_rate": "diagonal"}
    return lines(table, style, titles, "false_positive_rate", ys, "false-positive rate", False, chance)


def position(table: pd.DataFrame, style: Style, titles: Titles) -> Figure:
    """Where in the document rationale words are."""
    return lines(table, style, titles, "tenth", {"share": "share of the rationale"}, "tenth of the document")


def length(table: pd.DataFrame, style: Style, titles: Titles) -> Figure:
    """Average precision over the documents' length."""
    ys = {"average_precision": "average precision"}
    return lines(table, style, titles, "words", ys, "words in the document (mean of a quarter)")


def pareto(table: pd.DataFrame, style: Style, titles: Titles) -> Figure:
    """Quality over cost: a point for each method, and the line of those that nothing cheaper is better than."""
    shown = [c for c in ("average_precision", "comprehensiveness_aopc") if c in table and table[c].notna().any()]
    methods = list(dict.fromkeys(table["method"]))
    marks = looks(methods)
    _, rows = legend_rows(style, [titles(method) for method in methods])
    columns = 1 if style.width < 4 else min(len(shown), style.columns)
    height = max(1.6, 0.62 * style.width / columns)
    figure, axes = panels(Style(style.width, style.font, style.line, columns), len(shown), height, rows)
    for panel, metric in zip(axes, shown, strict=True):
        for _, row in table.iterrows():
            look = marks[row["method"]]
            size = 1.6 * (2.5 + style.line)
            mark: Any = {"color": look.colour, "markeredgecolor": "black", "mew": 0.4, "markersize": size}
            panel.plot(row["gflops"], row[metric], look.marker, **mark)
        ordered = table.sort_values(["gflops", metric], ascending=[True, False], kind="stable")
        best = ordered[ordered[metric] > ordered[metric].cummax().shift(fill_value=-np.inf)]
        panel.step(best["gflops"], best[metric], where="post", color="black", linewidth=0.7, zorder=1)
        panel.set_xscale("log")
        panel.set_xlabel("GFLOPs a document (log)")
        panel.set_ylabel(METRICS[metric].title)
        low, high = panel.get_xlim()
        panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 1000 else (1,)))
        panel.xaxis.set_major_formatter("{x:g}")
        panel.xaxis.set_minor_formatter(NullFormatter())
    used = {method: look for method, look in marks.items() if method in methods}
    under(figure, used, style, titles, lines=False)
    return figure


def agreement(table: pd.DataFrame, style: Style, titles: Titles) -> Figure:
    """Kendall's tau of every two methods."""
    methods = list(dict.fromkeys(table["method"]))
    values = table.pivot(index="method", columns="other", values="kendall_tau").loc[methods, methods].to_numpy()
    size = min(style.width, 0.9 + len(methods) * 2.9 * style.font / 72 + 10 * style.font / 72)
    figure = Figure(figsize=(style.width, size), layout="constrained")
    panel = figure.subplots()
    image = panel.imshow(values, cmap="cividis", vmin=-1, vmax=1)
    small = max(4.0, style.font - 2 - max(0, len(methods) - 8) * 0.25)
    for i, row in enumerate(values):
        for j, value in enumerate(row):
            if not np.isnan(value):
                colour = "black" if value > 0.1 else "white"
                panel.text(j, i, f"{value:.2f}".replace("0.", "."), ha="center", va="center", size=small, color=colour)
    names = [titles(method) for method in methods]
    panel.set_xticks(range(len(methods)), names, rotation=90)
    panel.set_yticks(range(len(methods)), names)
    panel.spines[:].set_visible(False)
    panel.tick_params(length=0)
    figure.colorbar(image, ax=panel, label="Kendall's τ, mean over documents", shrink=0.8)
    return figure


def calibration(table: pd.DataFrame, style: Style, titles: Titles) -> Figure:
    """What the predictors say over what they were taught, by tenths of it, with quartiles."""
    del titles
    figure, (panel,) = panels(style, 1, 0.62 * min(style.width, 5.0))
    below, above = table["contribution"] - table["low"], table["high"] - table["contribution"]
    bounds = [below.clip(lower=0), above.clip(lower=0)]
    panel.errorbar(table["saliency"], table["contribution"], yerr=bounds, fmt="D-", color="black", elinewidth=0.7)
    most = float(max(table["saliency"].max(), table["high"].max())) * 1.05
    panel.plot([0, most], [0, most], color="black", linestyle=":", linewidth=0.8, label="the same")
    panel.set_xlim(0, float(table["saliency"].max()) * 1.05)
    panel.set_ylim(0, most)
    power = table["power"].iloc[0]
    taught = "input × gradient" if power == 1 else f"input × gradient to the power of {power:g}"
    panel.set_xlabel(f"{taught}, in even shares (mean of a tenth)")
    panel.set_ylabel("contribution, in even shares")
    panel.legend(loc="upper left")
    return figure


def frontier(table: pd.DataFrame, style: Style, titles: Titles) -> Figure:
    """Score over speedup of each tuned model, by FLOPs; the reference's score as a dotted line."""
    runs = list(dict.fromkeys(table["run"]))
    columns, rows = legend_rows(style, [titles(run) for run in runs])
    figure, (panel,) = panels(style, 1, 0.62 * min(style.width, 5.0), rows if len(runs) > 1 else 0)
    marks = list(looks(["adapler", *runs[1:]]).values())
    for look, run in zip(marks, runs, strict=True):
        part = table[table["run"] == run].sort_values("flops_speedup")
        panel.plot(
            part["flops_speedup"],
            part["score"],
            color=look.colour,
            marker=look.marker,
            linestyle=look.dash,
            label=titles(run),
        )
        chosen = part[part["chosen"]]
        panel.plot(chosen["flops_speedup"], chosen["score"], "o", color=look.colour, fillstyle="none", markersize=9)
        panel.axhline(part["reference_score"].iloc[0], color=look.colour, linestyle=":", linewidth=0.8)
    panel.set_xscale("log", base=2)
    most = float(table["flops_speedup"].max())
    ticks = [2**power for power in range(math.ceil(math.log2(max(most, 2))) + 1)]
    panel.xaxis.set_major_locator(FixedLocator(ticks))
    panel.xaxis.set_major_formatter(matplotlib.ticker.StrMethodFormatter("{x:g}×"))
    panel.set_xlabel("times fewer FLOPs")
    # On two lines: a long name would not fit the height of a column's figure.
    panel.set_ylabel(str(table["metric"].iloc[0]).replace(", ", "\n", 1))
    if len(runs) > 1:
        figure.legend(loc="outside lower center", ncols=columns)
    return figure
