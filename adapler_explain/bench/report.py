"""A timing's tables, for the terminal and as Markdown, and its figure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich import box
from rich.console import Console
from rich.table import Table

from adapler_explain.bench.variants import BASELINE, VARIANTS
from eraser_eval.errors import UsageError
from eraser_eval.files import write_json, write_text
from eraser_eval.plots import OTHER, OWN, STYLE, save

Figures = Mapping[str, Any]
Row = Mapping[str, Any]
BLANK = ""


def check_outputs(json: str | None, figure: str | None) -> None:
    """Raise UsageError, before hours of timing, for a path that cannot be written."""
    for option, path, endings in (("--json", json, (".json",)), ("--figure", figure, (".png", ".pdf"))):
        if path is not None:
            if not path.endswith(endings) or Path(path).is_dir():
                raise UsageError(f"{option} {path}: give a file that ends in {' or '.join(endings)}")
            try:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UsageError(f"{option} {path}: {error.strerror}; give another path") from None


def write(figures: Figures, json: str | None, figure: str | None) -> None:
    """Write the rows as JSON and, beside that file, the table as Markdown; the figure as PNG and PDF."""
    if json:
        write_json(Path(json), figures)
        write_text(Path(json).with_suffix(".md"), markdown(figures))
    if figure:
        save(speedups(figures), Path(figure).with_suffix(""))


def cells(row: Row) -> dict[str, str]:
    """Column title to what the table says of a row."""

    def shown(name: str, form: str) -> str:
        return BLANK if row[name] is None else form.format(row[name])

    where = row["where"] or {}
    return {
        "variant": label(row),
        "texts × pieces": size_of(row),
        "ms [quartiles]": f"{row['ms']:.1f} [{row['ms_low']:.1f}, {row['ms_high']:.1f}]",
        "rounds": f"{row['rounds']}",
        "p95": shown("p95", "{:.1f}"),
        "p99": shown("p99", "{:.1f}"),
        "texts/s": f"{row['texts_per_second']:.1f}",
        "pieces/s": f"{row['pieces_per_second']:.0f}",
        "speedup": f"{row['speedup']:.2f}×",
        "fewer FLOPs": shown("flops_speedup", "{:.2f}×"),
        "efficiency": shown("efficiency", "{:.2f}"),
        "of peak": shown("share_of_peak", "{:.0%}"),
        "in matrix products": f"{where['matrix products']:.0%}" if where else BLANK,
        "MB": shown("peak_mb", "{:.0f}"),
        "logits off by": shown("logit_change", "{:.0e}"),
    }


def summary(figures: Figures) -> tuple[list[str], list[list[str]]]:
    """Header and rows: a row for each variant and schedule, a column for each size; ``speedup (efficiency)``.

    The stock model's row says how long it takes instead.
    """
    sizes = list(dict.fromkeys(size_of(row) for row in figures["rows"]))
    texts: dict[str, dict[str, str]] = {}
    for row in figures["rows"]:
        efficiency = BLANK if row["efficiency"] is None else f" ({row['efficiency']:.2f})"
        cell = f"{row['ms']:.0f} ms" if row["variant"] == BASELINE else f"{row['speedup']:.2f}×{efficiency}"
        texts.setdefault(label(row), {})[size_of(row)] = cell
    rows = [[name, *(found.get(size, BLANK) for size in sizes)] for name, found in texts.items()]
    return ["speedup (efficiency)", *sizes], rows


def accuracy(figures: Figures) -> tuple[list[str], list[list[str]]]:
    """Header and rows: what lower precision costs."""
    rows = [
        [
            VARIANTS[row["variant"]].title,
            f"{row['accuracy']:.3f}",
            f"{row['same_class']:.1%}",
            f"{row['probability_change']:.0e}",
        ]
        for row in figures["accuracy"]
    ]
    count = figures["accuracy"][0]["documents"]
    own = f"same class as in {figures['settings']['dtype']}"
    return [f"{count} documents", "accuracy", own, "probability off by at most"], rows


def size_of(row: Row) -> str:
    """Texts and pieces of a row's batch."""
    return f"{row['batch']} × {row['length']}"


def label(row: Row) -> str:
    """The variant's name and its schedule."""
    return str(row["title"]) + (f", {row['keep']:g}×" if row["keep"] else BLANK)


def notes(figures: Figures) -> Iterator[str]:
    """What must be known beside the table."""
    machine, settings = figures["environment"], figures["settings"]
    peaks = ", ".join(f"{dtype} {rate:.0f}" for dtype, rate in sorted(figures["peak_gflops"].items()))
    what = settings["model"] or f"random {settings['shape']} weights, random removal"
    yield (
        f"{what}; {figures['texts']}. Medians of interleaved rounds in one process; speedup over stock SDPA, "
        "efficiency: speedup over fewer FLOPs. The stock "
        "model's operations are counted as it runs them, padding included."
    )
    yield (
        f"{machine['accelerator'] or machine['processor']}, {machine['threads']} thread(s), torch "
        f"{machine['packages']['torch']}; most seen in matrix products, GFLOP/s: {peaks}."
    )
    for row in figures["skipped"]:
        yield f"Not timed: {row['variant']}: {row['reason']}."


def markdown(figures: Figures) -> str:
    """The summary, its notes, and all that was measured."""
    details = [cells(row) for row in figures["rows"]]
    return overview(figures) + "\n" + markdown_table(list(details[0]), [list(row.values()) for row in details]) + "\n"


def overview(figures: Figures) -> str:
    """The summary and its notes, as Markdown."""
    tables = [summary(figures), *([accuracy(figures)] if figures["accuracy"] else [])]
    return "\n\n".join([*(markdown_table(*table) for table in tables), *notes(figures)]) + "\n"


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, its first column to the left and all others to the right."""
    marks = ["---", *("---:" for _ in header[1:])]
    return "\n".join("| " + " | ".join(line) + " |" for line in (header, marks, *rows))


def terminal(figures: Figures) -> None:
    """Print the summary and its notes."""
    tables = [summary(figures), *([accuracy(figures)] if figures["accuracy"] else [])]
    console = Console(highlight=False, width=max(Console().width, 50 + 30 * max(len(header) for header, _ in tables)))
    for header, rows in tables:
        table = Table(box=box.SIMPLE)
        for title in header:
            table.add_column(title, justify="left" if title == header[0] else "right", no_wrap=True)
        for row in rows:
            table.add_row(*row)
        console.print(table)
    for note in notes(figures):
        console.print(note, soft_wrap=True, markup=False)


def speedups(figures: Figures) -> Figure:
    """Speedup over the stock model, one panel for each size; a mark shows how many times fewer FLOPs a variant does."""
    sizes = list(dict.fromkeys((row["batch"], row["length"]) for row in figures["rows"]))
    names = list(dict.fromkeys(label(row) for row in figures["rows"]))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(3.0 + 2.2 * len(sizes), 0.9 + 0.24 * len(names)), layout="constrained")
        panels = figure.subplots(1, len(sizes), sharey=True, squeeze=False)[0]
        for panel, size in zip(panels, sizes, strict=True):
            _panel(panel, size, [row for row in figures["rows"] if (row["batch"], row["length"]) == size], names)
        panels[0].set_yticks(range(len(names)), names)
        panels[0].invert_yaxis()
        figure.suptitle(
            f"{figures['environment']['accelerator'] or figures['environment']['processor']}, "
            f"{figures['environment']['threads']} thread(s); bar: measured speedup, mark: fewer FLOPs",
            fontsize=8,
            parse_math=False,
        )
    return figure


def _panel(panel: Axes, size: tuple[Any, Any], rows: list[Row], names: list[str]) -> None:
    for row in rows:
        place = names.index(label(row))
        own = row["efficiency"] is not None
        panel.barh(place, row["speedup"] - 1, left=1, color=OWN if own else OTHER, height=0.7)
        if own:
            panel.plot([row["flops_speedup"]] * 2, [place - 0.42, place + 0.42], color="black", linewidth=1.2)
        panel.text(
            max(row["speedup"], 1) * 1.07,
            place,
            f"{row['speedup']:.1f}",
            va="center",
            fontsize=7,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.8},
        )
    panel.set_xscale("log")
    most = max(max(row["speedup"], row["flops_speedup"] or 0) for row in rows)
    panel.set_xlim(min(0.3, *(row["speedup"] * 0.8 for row in rows)), most * 1.8)
    ticks = [tick for tick in (0.3, 1, 3, 10, 30, 100) if tick <= most * 1.8]
    panel.set_xticks(ticks, [f"{tick:g}×" for tick in ticks])
    panel.minorticks_off()
    panel.axvline(1, color="black", linewidth=0.6)
    panel.set_xlabel(f"{size[0]} × {size[1]} pieces")
    panel.grid(axis="x", linewidth=0.3)
    panel.set_axisbelow(True)
