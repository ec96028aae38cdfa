"""Figures of a run, from its ``metrics.json``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from eraser_eval.files import replacing
from eraser_eval.metrics import METRICS
from eraser_eval.report import named

SHOWN = ("fpr", "average_precision", "token_f1")
OWN, OTHER = "#0072B2", "#999999"
STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "pdf.fonttype": 42,
    "svg.hashsalt": "adapler-explain",
}


def comparison(figures: Mapping[str, Any], titles: Mapping[str, str]) -> Figure:
    """Methods as rows, one panel for each of three metrics: value, 95 % interval and chance level.

    Args:
        figures: the content of ``metrics.json``.
        titles: method to its name for people.
    """
    methods = list(figures["methods"])
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8.0, 0.9 + 0.33 * len(methods)), layout="constrained")
        panels = figure.subplots(1, len(SHOWN), sharey=True)
        for panel, name in zip(panels, SHOWN, strict=True):
            _panel(panel, name, figures, methods)
        names = [named(titles.get(method, method), figures["methods"][method], figures) for method in methods]
        panels[0].set_yticks(range(len(methods)), [name.replace(" (n =", "\n(n =") for name in names])
        panels[0].invert_yaxis()
        figure.suptitle(
            f"{figures['title']} ({figures['source']}), {figures['split']}, {figures['documents']} documents\n"
            f"attention and gradients explain {figures['explained']}",
            fontsize=8,
            parse_math=False,
        )
    return figure


def _panel(panel: Axes, name: str, figures: Mapping[str, Any], methods: list[str]) -> None:
    metric = METRICS[name]
    for row, method in enumerate(methods):
        estimate = figures["methods"][method].get(name)
        if estimate is None or estimate["value"] is None:
            continue
        own = method == "adapler"
        below, above = estimate["value"] - estimate["low"], estimate["high"] - estimate["value"]
        panel.errorbar(
            estimate["value"],
            row,
            xerr=[[max(below, 0.0)], [max(above, 0.0)]],
            fmt="D" if own else "o",
            color=OWN if own else OTHER,
            markersize=5,
            capsize=2,
        )
    chance = figures["chance"].get(name)
    if chance is not None:
        panel.axvline(chance, color="black", linewidth=0.8, linestyle=":", label="chance")
        panel.legend(frameon=False, fontsize=7, loc="best", handlelength=1.2)
    panel.set_xlabel(f"{metric.title} ({'lower' if metric.lower_is_better else 'higher'} is better)")
    panel.xaxis.set_major_locator(MaxNLocator(4))
    panel.grid(axis="x", linewidth=0.3)


def save(figure: Figure, stem: Path) -> None:
    """Write ``figure`` as ``stem.png`` (200 dots an inch) and ``stem.pdf``, each whole or not at all."""
    with matplotlib.rc_context(STYLE):
        for kind, metadata in (("png", {"Software": None}), ("pdf", {"CreationDate": None})):
            with replacing(stem.with_suffix(f".{kind}")) as temporary:
                figure.savefig(temporary, format=kind, dpi=200, metadata=metadata)
