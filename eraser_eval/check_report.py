"""What the sanity checks, and two runs beside each other, print."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from eraser_eval.errors import printable
from eraser_eval.metrics import METRICS
from eraser_eval.report import Figures, signed

SANITY = {
    "randomised_last_layer": "last layer drawn anew",
    "randomised": "all weights drawn anew",
    "other_class": "other class",
    "same_text": "same text in capitals",
}


def sanity_rows(figures: Figures) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the sanity checks: a row a method, Spearman's correlation with its own explanation."""
    rows = []
    for method, values in figures["methods"].items():
        cells = ["" if values[name] is None else f"{values[name]:.3f}" for name in SANITY]
        rows.append([method, *cells])
    return ["rank correlation with", *SANITY.values()], rows


def agreement_rows(figures: Figures) -> tuple[list[str], list[list[str]]]:
    """Header and rows of how far methods agree: Kendall's tau over the diagonal, top words in common under it."""
    names = list(figures["methods"])
    found = {tuple(row["methods"]): row for row in figures["agreement"]}
    rows = []
    for i, one in enumerate(names):
        cells = []
        for j, other in enumerate(names):
            row = found.get((one, other) if i < j else (other, one))
            value = None if row is None else row["kendall_tau" if i < j else "top_words_in_common"]
            cells.append("" if value is None else f"{value:.2f}")
        rows.append([one, *cells])
    return ["tau \\ in common", *names], rows


def sanity_notes(figures: Figures) -> list[str]:
    """What stands under the tables of the sanity checks."""
    found = figures["by_construction"]
    changes = ", ".join(f"{change:.1e}" for change in found["largest_change_by_layer"])
    return [
        f"Data: {figures['title']}, {figures['source']}, {figures['split']}, {figures['documents']} documents. "
        f"Model: {figures['model']}.",
        "Near 0 is wanted of new weights, 1 of the same text. Of another class 1 says that the method does not see the "
        "class; where there are two, signed scores come near -1.",
        f"By construction: words that AdapLeR dropped, erased from each layer on, change a probability by at most "
        f"{changes} (layers 1 to {len(found['largest_change_by_layer'])}). Read from the start, the kept words alone "
        f"have the same class in {found['same_class_from_kept_words']:.3f} of the documents; its probability moves by "
        f"{found['mean_change_from_kept_words']:.3f} on average.",
    ]


def sanity_terminal(figures: Figures) -> None:
    """Print the sanity checks to stdout."""
    console = Console(highlight=False, width=max(Console().width, 160))
    for header, rows in (sanity_rows(figures), agreement_rows(figures)):
        table = Table(box=box.SIMPLE)
        for index, title in enumerate(header):
            table.add_column(title, justify="right" if index else "left")
        for row in rows:
            table.add_row(*map(escape, row))
        console.print(table)
    for note in sanity_notes(figures):
        console.print(printable(note), markup=False, soft_wrap=True)


def compared_rows(figures: Figures) -> tuple[list[str], list[list[str]]]:
    """Header and rows of two runs beside each other: a row a method and metric."""
    rows = []
    for method, metrics in figures["methods"].items():
        for name, row in metrics.items():
            if row["value"] is None:
                continue
            p = "" if row["p_holm"] is None else f"{row['p_holm']:.4f}"
            values = [f"{row['first']:.3f}", f"{row['second']:.3f}", signed(row), p, str(row["n"])]
            rows.append([method, METRICS[name].title, *values])
    return ["method", "metric", "first", "second", "difference [95 %]", "p", "n"], rows


def compared_terminal(figures: Figures) -> None:
    """Print two runs beside each other to stdout."""
    console = Console(highlight=False, width=max(Console().width, 120))
    header, rows = compared_rows(figures)
    table = Table(box=box.SIMPLE)
    for index, title in enumerate(header):
        table.add_column(title, justify="right" if index > 1 else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(escape, row))
    console.print(table)
    lines = [f"first: {figures['first']}; second: {figures['second']}; {figures['documents']} documents in common."]
    lines += [f"differs: {name}: {one} / {two}" for name, (one, two) in figures["settings"].items()]
    for line in lines:
        console.print(printable(line), markup=False, soft_wrap=True)
