"""Tables of a run, from its ``metrics.json``: for the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from eraser_eval.metrics import METRICS

Figures = Mapping[str, Any]


def table_rows(figures: Figures) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the comparison table: a row a method, a column a metric, ``value [low, high]`` in each cell.

    A star marks a value whose paired 95 % interval to AdapLeR's own excludes zero.
    """
    header = ["method", *(f"{m.title} {'↓' if m.lower_is_better else '↑'}" for m in METRICS.values()), "s / document"]
    rows = []
    for method, values in figures["methods"].items():
        differences = values.get("difference_to_adapler", {})
        cells = [_cell(values[name], differences.get(name)) for name in METRICS]
        rows.append([method, *cells, f"{values['seconds_per_document']:.3f}"])
    chance = figures["chance"]
    rows.append(["*chance*", *(f"{chance[n]:.3f}" if chance.get(n) is not None else "" for n in METRICS), ""])
    return header, rows


def notes(figures: Figures) -> list[str]:
    """The lines that must stand beside the table: what was read, what was explained, what the columns mean."""
    kept = " → ".join(f"{share:.2f}" for share in figures["efficiency"]["kept_per_layer"])
    pruned, unpruned = figures["classification"]["pruned"], figures["classification"]["unpruned"]
    lines = [
        f"Data: {figures['title']}, {figures['source']}, {figures['split']}, {figures['documents']} whole documents "
        f"({figures['data_checksum']}).",
        f"Model: {figures['model']} ({figures['model_checksum']}). "
        f"Attention and gradients explain {figures['explained']}.",
        f"Accuracy {pruned['accuracy']:.3f} pruned, {unpruned['accuracy']:.3f} unpruned; "
        f"{figures['efficiency']['flops_speedup']:.2f}× fewer FLOPs; pieces processed layer by layer: {kept}.",
        f"Marked words: {figures['prevalence']:.3f} of a document on average. AdapLeR keeps "
        f"{figures['methods']['adapler']['words_per_document']:.0f} words of a document on average; "
        "for FPR, token F1 and IOU F1 every method chooses as many in that document. "
        "[95 % bootstrap interval over documents]",
        "A star: the paired 95 % interval of the difference to adapler excludes zero.",
    ]
    return lines + [f"{metric.title}: {metric.meaning}." for metric in METRICS.values()]


def markdown(figures: Figures) -> str:
    """The comparison table and its notes as Markdown."""
    header, rows = table_rows(figures)
    lines = ["| " + " | ".join(header) + " |", "|---" + "|---:" * (len(header) - 1) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([*lines, "", *(f"- {note}" for note in notes(figures))]) + "\n"


def _cell(estimate: Figures, difference: Figures | None) -> str:
    if estimate["value"] is None:
        return "undefined"
    apart = (
        difference is not None and difference["low"] is not None and not difference["low"] <= 0 <= difference["high"]
    )
    return f"{estimate['value']:.3f}{'*' if apart else ''} [{estimate['low']:.3f}, {estimate['high']:.3f}]"


def terminal(figures: Figures) -> None:
    """Print the comparison table and its notes to stdout, as wide as the table needs."""
    header, rows = table_rows(figures)
    table = Table(box=box.SIMPLE)
    for index, title in enumerate(header):
        table.add_column(title, justify="right" if index else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    console = Console(highlight=False)
    console.print(table, width=max(console.width, 150), crop=False)
    for note in notes(figures):
        console.print(note, markup=False, soft_wrap=True)
