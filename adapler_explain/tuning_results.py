"""A frontier's files: ``frontier.json``, ``frontier.csv`` and the figure; and what ``tune`` prints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, StrMethodFormatter
from rich import box
from rich.console import Console
from rich.table import Table

from eraser_eval.files import replacing, write_json
from eraser_eval.plots import OTHER, OWN, STYLE, save

Figures = Mapping[str, Any]
KINDS = (("flops_speedup", "fewer FLOPs", OWN, "D-"), ("measured_speedup", "wall clock", OTHER, "o-"))


def write_frontier(folder: Path, figures: Figures) -> None:
    """Write the figures, the table of the points and its figure into ``folder``."""
    with replacing(folder / "frontier.csv") as temporary:
        table_of(figures).to_csv(temporary, index=False)
    save(frontier(figures), folder / "frontier")
    write_json(folder / "frontier.json", figures)


def table_of(figures: Figures) -> pd.DataFrame:
    """A row for each factor; ``kept_<layer>`` is the share of the pieces that a layer, from 1, processes."""
    table = pd.DataFrame(figures["points"])
    shares = pd.DataFrame(table.pop("kept_per_layer").tolist())
    return table.join(shares.set_axis([f"kept_{layer + 1}" for layer in range(shares.shape[1])], axis=1))


def frontier(figures: Figures) -> Figure:
    """Score over speedup, by FLOPs and by the clock; the reference score as a line, the chosen point ringed."""
    points = figures["points"]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.0, 3.4), layout="constrained")
        panel = figure.subplots()
        for key, title, colour, form in KINDS:
            rows = sorted((row for row in points if row[key] is not None), key=lambda row: row[key])
            if rows:
                speeds, scores = [row[key] for row in rows], [row["score"] for row in rows]
                panel.plot(speeds, scores, form, color=colour, markersize=3, linewidth=0.8, label=title)
            for row in rows:
                if row["factor"] == figures["chosen"]:
                    panel.plot(row[key], row["score"], "o", markersize=9, fillstyle="none", color=colour)
        panel.axhline(figures["reference_score"], color="black", linewidth=0.8, linestyle=":", label="reference")
        panel.set_xscale("log", base=2)
        panel.xaxis.set_major_locator(LogLocator(base=2))
        panel.xaxis.set_major_formatter(StrMethodFormatter("{x:g}×"))
        panel.set_xlabel("speedup over the stock model")
        panel.set_ylabel(f"{figures['metric']}, {figures['split']}")
        panel.grid(linewidth=0.3)
        panel.legend(frameon=False, fontsize=7)
        documents = f"{figures['title']} ({figures['source']}), {figures['split']}, {figures['documents']} documents"
        figure.suptitle(documents, fontsize=8, parse_math=False)
    return figure


def terminal(figures: Figures) -> None:
    """Print the frontier, what it is compared with, and the point that was stored."""
    table = Table(box=box.SIMPLE)
    scores = dict.fromkeys(("accuracy", figures["metric"]))
    for title in ("factor", *scores, "fewer FLOPs", "wall clock", "kept", ""):
        table.add_column(title, justify="right" if title else "left", no_wrap=True)
    for row in figures["points"]:
        speed = "" if row["measured_speedup"] is None else f"{row['measured_speedup']:.2f}×"
        mark = "← stored" if row["factor"] == figures["chosen"] else ""
        known = row | {figures["metric"]: row["score"]}
        shown = (f"{known[name]:.4f}" for name in scores)
        table.add_row(f"{row['factor']:.4g}", *shown, f"{row['flops_speedup']:.2f}×", speed, f"{row['kept']:.3f}", mark)
    console = Console(highlight=False)
    console.print(table)
    console.print(
        f"Reference {figures['metric']}: {figures['reference_score']:.4f}, {figures['reference']}. "
        f"{figures['documents']} of {figures['documents_in_split']} documents of {figures['split']}.",
        markup=False,
        soft_wrap=True,
    )
    console.print(f"Use it with --operating-point {figures['name']}", markup=False, soft_wrap=True)
