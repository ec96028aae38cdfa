"""Tables of a run, from its ``metrics.json``: for the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from eraser_eval import significance
from eraser_eval.errors import printable
from eraser_eval.metrics import METRICS
from eraser_eval.metrics.metric import Metric

Figures = Mapping[str, Any]
SHOWN = {name: metric for name, metric in METRICS.items() if metric.shown}
# Shown beside them where words were erased.
FAITHFUL = ("comprehensiveness_aopc", "sufficiency_aopc")


def shown(figures: Figures) -> dict[str, Metric]:
    """The metrics that have a column in the tables of a run."""
    own = figures["methods"]["adapler"]
    return SHOWN | {name: METRICS[name] for name in FAITHFUL if own.get(name, {}).get("value") is not None}


def cost_cells(values: Figures) -> list[str]:
    """Seconds, windows through the model (forward + backward) and GFLOPs for a document; empty where not known."""
    seconds, forward = values["seconds_per_document"], values.get("forward_per_document")
    cells = ["" if seconds is None else f"{seconds:.3f}"]
    if forward is None:
        return [*cells, "", ""]
    passes = f"{forward:.1f} + {values['backward_per_document']:.1f}"
    return [*cells, passes, f"{values['flops_per_document'] / 1e9:.2f}"]


def table_rows(figures: Figures) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the comparison table: a row a method, a column a metric, ``value [low, high]`` in each cell.

    A star marks a value whose difference to AdapLeR's own is significant.
    """
    columns = shown(figures)
    counted = any("flops_per_document" in values for values in figures["methods"].values())
    costs = ["s / document", "windows", "GFLOPs"][: 3 if counted else 1]
    header = ["method", *(f"{m.title} {'↓' if m.lower_is_better else '↑'}" for m in columns.values()), *costs]
    rows = []
    for method, values in figures["methods"].items():
        differences = values.get("difference_to_adapler", {})
        cells = [_cell(values.get(name), differences.get(name)) for name in columns]
        rows.append([named(method, values, figures), *cells, *cost_cells(values)[: len(costs)]])
    chance = figures["chance"]
    levels = [f"{chance[name]:.3f}" if chance.get(name) is not None else "" for name in columns]
    rows.append(["*chance*", *levels, *[""] * len(costs)])
    return header, rows


def difference_rows(figures: Figures) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the paired differences: each method's figure minus AdapLeR's, ``value [low, high]``."""
    columns = shown(figures)
    header = ["method − adapler", *(metric.title for metric in columns.values())]
    rows = []
    for method, values in figures["methods"].items():
        if "difference_to_adapler" in values:
            cells = [values["difference_to_adapler"].get(name) for name in columns]
            rows.append([named(method, values, figures), *(signed(cell) for cell in cells)])
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
        f"Model: {figures['model']} ({figures['model_checksum']}){_operating(figures)}. "
        f"Attention and gradients explain {figures['explained']}; the {figures['target']} class.",
        f"Accuracy (macro F1): {accuracies}. {figures['efficiency']['flops_speedup']:.2f}× fewer FLOPs; "
        f"share of the pieces that each layer processes: {kept}.",
        *_measured_on(figures),
        f"Marked words: {figures['prevalence']:.3f} of a document on average. AdapLeR keeps "
        f"{figures['methods']['adapler']['words_per_document']:.0f} words of a document on average; "
        "for FPR, token F1 and IOU F1 every method of ours chooses as many in that document.",
        "[95 % percentile bootstrap interval over documents; of a difference, paired]. A star: the difference to "
        f"adapler is significant at {significance.LEVEL:g} (approximate randomisation, Holm over the methods).",
    ]
    if figures.get("supervised"):
        lines.append("AdapLeR's predictors were taught with words that people marked: its own rows are supervised.")
    lines += verdict(figures)
    if "human" in figures["methods"]:
        lines.append("human: each annotator's words against those that at least half of the others marked.")
    if any("flops_per_document" in values for values in figures["methods"].values()):
        lines.append("windows: forward + backward, a document on average; GFLOPs of both.")
    return lines + [f"{metric.title}: {metric.meaning}." for metric in shown(figures).values()]


def _measured_on(figures: Figures) -> list[str]:
    """Where words were erased: that the methods were measured on different models."""
    own, explained = figures["methods"]["adapler"], {row.get("explains") for row in figures["methods"].values()}
    if len(explained & {"pruned", "unpruned", "reference"}) < 2 or own.get(FAITHFUL[0], {}).get("value") is None:
        return []
    apart = [method for method, row in figures["methods"].items() if row.get("explains") == "pruned"]
    return [f"Erasing words is measured on the model that a method explains: of {', '.join(apart)} the pruned one."]


def _operating(figures: Figures) -> str:
    point = figures.get("operating_point", 1.0)
    return "" if point == 1 else f", thresholds × {point:.3g}"


def verdict(figures: Figures) -> list[str]:
    """The answer to the paper's claim, in a line: which methods' words hold more false positives than AdapLeR's."""
    sides: dict[str, list[str]] = {"more": [], "fewer": [], "neither": []}
    for method, values in figures["methods"].items():
        row = values.get("difference_to_adapler", {}).get("fpr")
        if row is not None and row["p_holm"] is not None and values.get("budget", "adapler") == "adapler":
            side = "neither" if row["p_holm"] >= significance.LEVEL else "more" if row["value"] > 0 else "fewer"
            sides[side].append(method)
    parts = [
        f"{text}: {', '.join(sides[side])}"
        for side, text in (("more", "more"), ("fewer", "fewer"), ("neither", "no significant difference"))
        if sides[side]
    ]
    return [f"False positives beside AdapLeR's, at its number of words – {'; '.join(parts)}."] if parts else []


def markdown(figures: Figures) -> str:
    """The comparison table, the paired differences, notes and signatures as Markdown; names from files are escaped."""
    tables = [_markdown_table(*table_rows(figures)), _markdown_table(*difference_rows(figures))]
    signatures = (f"- `{printable(figures['signatures'][name]).replace('`', '_')}`" for name in shown(figures))
    return "\n".join([*tables, *(f"- {escaped(note)}" for note in notes(figures)), *signatures]) + "\n"


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
    for note in (*notes(figures), *(figures["signatures"][name] for name in shown(figures))):
        console.print(printable(note), markup=False, soft_wrap=True)


def score_rows(figures: Figures) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the figures of prediction files: a row a metric, a column a file, then chance.

    A star marks a value whose difference to the first file's is significant.
    """
    methods, reference = figures["methods"], figures["reference"]
    several = len({values["documents"] for values in methods.values()} | {figures["documents"]}) > 1
    names = [f"{name} (n = {v['documents']})" if several else name for name, v in methods.items()]
    header = ["metric", *names, "chance"]
    rows = []
    for metric in figures["signatures"]:
        known = METRICS.get(metric)
        title = f"{metric} {'↓' if known is not None and known.lower_is_better else '↑'}"
        differences = [values.get(f"difference_to_{reference}", {}).get(metric) for values in methods.values()]
        cells = [_cell(values.get(metric), d) for values, d in zip(methods.values(), differences, strict=True)]
        level = figures["chance"].get(metric)
        rows.append([title, *cells, "" if level is None else f"{level:.3f}"])
    return header, rows


def score_terminal(figures: Figures) -> None:
    """Print the figures of prediction files, and the signature of each, to stdout."""
    console = Console(highlight=False, width=max(Console().width, 160))
    header, rows = score_rows(figures)
    table = Table(box=box.SIMPLE)
    for index, title in enumerate(header):
        table.add_column(escape(title), justify="right" if index else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(escape, row))
    console.print(table)
    lines = [
        f"{figures['data']}, {figures['split']}: {figures['documents']} documents, "
        f"{figures['prevalence']:.3f} of a document's words marked on average.",
        f"[95 % interval over documents]. A star: the difference to {figures['reference']} is significant at "
        f"{significance.LEVEL:g} (approximate randomisation, Holm over the files). Chance: as many random words.",
    ]
    for name, values in figures["methods"].items():
        if "classification" in values:
            row = values["classification"]
            lines.append(f"{name}: accuracy {row['accuracy']:.3f}, macro F1 {row['macro_f1']:.3f}.")
    for line in [*lines, *figures["signatures"].values()]:
        console.print(printable(line), markup=False, soft_wrap=True)


def catalogue_terminal(rows: Sequence[Mapping[str, str]]) -> None:
    """Print the table of data sets to stdout."""
    console = Console(highlight=False, width=max(Console().width, 160))
    table = Table(box=box.SIMPLE)
    for title in rows[0]:
        table.add_column(title, justify="right" if title in ("classes", "train", "val", "test") else "left")
    for row in rows:
        table.add_row(*map(escape, row.values()))
    console.print(table)


def _markdown_table(header: list[str], rows: list[list[str]]) -> str:
    if not rows:
        return ""
    lines = ["| " + " | ".join(header) + " |", "|---" + "|---:" * (len(header) - 1) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows), ""])


def escaped(text: str) -> str:
    """``text`` as Markdown that shows it."""
    return "".join(f"\\{c}" if c in "\\`*_<>|#" else c for c in printable(text))


def named(method: str, values: Figures, figures: Figures) -> str:
    """The method, with what sets it apart: documents where it does not cover all, words that it chose itself."""
    apart = [f"n = {values['documents']}"] if values["documents"] != figures["documents"] else []
    apart += ["own number of words"] if values.get("budget") == "own" else []
    return f"{method} ({', '.join(apart)})" if apart else method


def signed(estimate: Figures | None) -> str:
    """A difference with its sign and interval; empty where there is none."""
    if estimate is None or estimate["value"] is None:
        return ""
    return f"{estimate['value']:+.3f} [{estimate['low']:+.3f}, {estimate['high']:+.3f}]"


def _cell(estimate: Figures | None, difference: Figures | None) -> str:
    if estimate is None or estimate["value"] is None:
        return ""
    p = None if difference is None else difference["p_holm"]
    apart = p is not None and p < significance.LEVEL
    return f"{estimate['value']:.3f}{'*' if apart else ''} [{estimate['low']:.3f}, {estimate['high']:.3f}]"
