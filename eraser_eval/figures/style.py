"""How figures look in print: exact widths, embedded fonts, colours and marks that all can tell apart."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from eraser_eval.files import replacing

# Okabe and Ito's colours, black last: it is AdapLeR's.
COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#D55E00", "#CC79A7", "#F0E442", "#999999", "#0072B2")
OWN_COLOUR = "#000000"
MARKERS = ("s", "^", "v", "o", "P", "X", "<", ">", "p", "*", "h")
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))
HATCHES = ("", "///", "...", "xxx", "\\\\\\", "+++", "ooo")
KINDS = ("pdf", "svg", "png")


@dataclass(frozen=True)
class Style:
    """A place that figures are made for.

    Attributes:
        width: of the figure, in inches; never cropped.
        font: size of the text, in points.
        line: width of lines, in points.
        columns: panels side by side.
    """

    width: float
    font: float
    line: float
    columns: int


STYLES: Mapping[str, Style] = {
    "acl-column": Style(3.03, 7, 0.9, 2),
    "acl-wide": Style(6.30, 8, 1.0, 4),
    "slide": Style(10.0, 16, 2.0, 3),
    "web": Style(8.0, 10, 1.3, 3),
}


@dataclass(frozen=True)
class Look:
    """Colour, marker, dash and hatch of a method, the same in every figure of a run."""

    colour: str
    marker: str
    dash: Any
    hatch: str


def looks(methods: list[str]) -> dict[str, Look]:
    """A look for each method, in order; ``adapler``'s is always the same, and none other has it."""
    found = {}
    others = [method for method in methods if method != "adapler"]
    for place, method in enumerate(others):
        found[method] = Look(
            COLOURS[place % len(COLOURS)],
            MARKERS[place % len(MARKERS)],
            DASHES[(place + 1) % len(DASHES)],
            HATCHES[(place + 1) % len(HATCHES)],
        )
    return {"adapler": Look(OWN_COLOUR, "D", "-", "")} | found


def applied(style: Style) -> AbstractContextManager[None]:
    """Within, figures are drawn in ``style``."""
    settings: Any = {
        "font.size": style.font,
        "axes.labelsize": style.font,
        "axes.titlesize": style.font,
        "xtick.labelsize": style.font - 1,
        "ytick.labelsize": style.font - 1,
        "legend.fontsize": style.font - 1,
        "lines.linewidth": style.line,
        "lines.markersize": 2.5 + style.line,
        "axes.linewidth": 0.6 * style.line,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": False,
        "legend.frameon": False,
        "hatch.linewidth": 0.5,
        "pdf.fonttype": 42,
        "ps.fonttype": 42,
        "svg.fonttype": "path",
        "svg.hashsalt": "adapler-explain",
    }
    return matplotlib.rc_context(settings)


def save(figure: Figure, data: pd.DataFrame, stem: Path) -> list[Path]:
    """Write ``figure`` as PDF, SVG and PNG and its ``data`` as CSV beside ``stem``; the same bytes every time."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    made = []
    for kind in KINDS:
        metadata: dict[str, Any] = {"png": {"Software": None}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}[
            kind
        ]
        path = stem.with_name(f"{stem.name}.{kind}")
        with replacing(path) as temporary:
            figure.savefig(temporary, format=kind, dpi=300, metadata=metadata)
        made.append(path)
    table = stem.with_name(f"{stem.name}.csv")
    with replacing(table) as temporary:
        data.to_csv(temporary, index=False, float_format="%.6g")
    return [*made, table]
