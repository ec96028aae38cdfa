"""Tables of a run, from its ``metrics.json``: for the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from eraser_eval.errors import printable
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


def difference_rows(figures: Figures) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the paired differences: each method's figure minus AdapLeR's, ``value [low, high]``."""
    header = ["method − adapler", *(metric.title for metric in METRICS.values())]
    rows = []
    for method, values in figures["methods"].items():
        if "difference_to_adapler" in values:
            cells = [values["difference_to_adapler"][name] for name in METRICS]
            rows.append([method, *(_signed(cell) for cell in cells)])
    return header, rows


def notes(figures: Figures) -> list[str]:
    """The lines that must stand beside the table: what was read, what was explained, what the columns mean."""
    kept = " → ".join(f"{share:.2f}" for share in figures["efficiency"]["kept_per_layer"])
    accuracies = ", ".join(
        f"{name} {row['accuracy']:.3f} ({row['macro_f1']:.3f})" for name, row in figures["classification"].items()
    )
    documents, total = figures["documents"], figures["documents_in_split"]
    lines = [
        f"Data: {figures['title']}, {figures['source']}, {figures['split']}, "
        f"{documents if documents == total else f'only {documents} of {total}'} documents, each read whole "
        f"({figures['data_checksum']}).",
        f"Model: {figures['model']} ({figures['model_checksum']}). "
        f"Attention and gradients explain {figures['explained']}; the {figures['target']} class.",
        f"Accuracy (macro F1): {accuracies}. {figures['efficiency']['flops_speedup']:.2f}× fewer FLOPs; "
        f"share of the pieces that each layer processes: {kept}.",
        f"Marked words: {figures['prevalence']:.3f} of a document on average. AdapLeR keeps "
        f"{figures['methods']['adapler']['words_per_document']:.0f} words of a document on average; "
        "for FPR, token F1 and IOU F1 every method chooses as many in that document.",
        "[95 % bootstrap interval over documents]. A star: the paired interval of the difference to adapler excludes "
        "zero; intervals are not corrected for the number of comparisons.",
    ]
    return lines + [f"{metric.title}: {metric.meaning}." for metric in METRICS.values()]


def markdown(figures: Figures) -> str:
    """The comparison table, the paired differences and the notes as Markdown; names from files are escaped."""
    tables = [_markdown_table(*table_rows(figures)), _markdown_table(*difference_rows(figures))]
    return "\n".join([*tables, *(f"- {_escaped(note)}" for note in notes(figures))]) + "\n"


def terminal(figures: Figures) -> None:
    """Print the tables and their notes to stdout, as wide as the tables need."""
    console = Console(highlight=False, width=max(Console().width, 160))
    for header, rows in (table_rows(figures), difference_rows(figures)):
        table = Table(box=box.SIMPLE)
        for index, title in enumerate(header):
            table.add_column(title, justify="right" if index else "left", no_wrap=True)
        for row in rows:
            table.add_row(*(escape(cell.replace(" [", "\n[")) for cell in row))
        if rows:
            console.print(table)
    for note in notes(figures):
        console.print(printable(note), markup=False, soft_wrap=True)


def _markdown_table(header: list[str], rows: list[list[str]]) -> str:
    if not rows:
        return ""
    lines = ["| " + " | ".join(header) + " |", "|---" + "|---:" * (len(header) - 1) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows), ""])


def _escaped(text: str) -> str:
    return "".join(f"\\{c}" if c in "\\`*_<>|#" else c for c in printable(text))


def _signed(estimate: Figures) -> str:
    if estimate["value"] is None:
        return "undefined"
    return f"{estimate['value']:+.3f} [{estimate['low']:+.3f}, {estimate['high']:+.3f}]"


def _cell(estimate: Figures, difference: Figures | None) -> str:
    if estimate["value"] is None:
        return "undefined"
    apart = (
        difference is not None and difference["low"] is not None and not difference["low"] <= 0 <= difference["high"]
    )
    return f"{estimate['value']:.3f}{'*' if apart else ''} [{estimate['low']:.3f}, {estimate['high']:.3f}]"
