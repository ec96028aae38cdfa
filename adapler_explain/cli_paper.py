"""Commands about finished runs that need no model: ``plot``, ``table``, ``compare``, ``report``;
``reproduce``, which runs one again; and ``paper``, the whole experiment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from adapler_explain.cli_data import DataRoot
from eraser_eval.errors import UsageError

Runs = Annotated[list[str], typer.Argument(help="Run folders of 'eval' (of 'tune' for --kind frontier).")]
Methods = Annotated[str | None, typer.Option(help="Comma-separated: only these.")]
Metrics = Annotated[str | None, typer.Option(help="Comma-separated. Default: those of the run's own table.")]


def _listed(names: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (names or "").split(",") if name.strip())


def plot_command(
    runs: Runs,
    kind: Annotated[
        str, typer.Option(help="Comma-separated, or all: bars, precision-recall, roc, layers, pareto, …")
    ] = ("bars"),
    style: Annotated[str, typer.Option(help="acl-column, acl-wide, slide or web.")] = "acl-column",
    output_dir: Annotated[str, typer.Option(help="Where to write them.")] = "figures",
    methods: Methods = None,
    data_root: DataRoot = None,
) -> None:
    """Draw figures of runs for papers: PDF, SVG, PNG, and the data behind each as CSV."""
    from adapler_explain.explainers import title_of
    from eraser_eval import figures

    kinds = tuple(figures.KINDS) if kind == "all" else _listed(kind)
    root = Path(data_root) if data_root else None
    folders = [Path(run) for run in runs]
    for path in figures.plot(folders, kinds, style, Path(output_dir), title_of, root, _listed(methods)):
        typer.echo(path)


def table_command(
    runs: Runs,
    output_format: Annotated[str, typer.Option("--format", help="latex, markdown or csv.")] = "markdown",
    metrics: Metrics = None,
    methods: Methods = None,
    output: Annotated[str | None, typer.Option(help="Write it there instead of on stdout.")] = None,
    data_root: DataRoot = None,
) -> None:
    """The comparison table of a run, or of several seeds, for a paper."""
    from adapler_explain.explainers import title_of
    from eraser_eval import figures, tables
    from eraser_eval.files import write_text
    from eraser_eval.runs import read_run

    root = Path(data_root) if data_root else None
    read = [figures.chosen(read_run(Path(run), root), _listed(methods)) for run in runs]
    made = tables.table(read, _listed(metrics), output_format, title_of)
    if output:
        write_text(Path(output), made)
    else:
        typer.echo(made, nl=False)


def compare_command(
    first: Annotated[str, typer.Argument(help="Run folder.")],
    second: Annotated[str, typer.Argument(help="Another, of the same documents.")],
    metrics: Metrics = None,
    output_format: Annotated[str, typer.Option("--format", help="table or json.")] = "table",
    data_root: DataRoot = None,
) -> None:
    """Two runs beside each other: paired differences of every shared method, with tests."""
    if output_format not in ("table", "json"):
        raise UsageError(f"--format {output_format}: choose table or json")
    from eraser_eval import check_report
    from eraser_eval.comparing import compare
    from eraser_eval.metrics import METRICS
    from eraser_eval.runs import read_run

    unknown = [name for name in _listed(metrics) if name not in METRICS]
    if unknown:
        raise UsageError(f"--metrics {unknown[0]}: choose from {', '.join(METRICS)}")
    root = Path(data_root) if data_root else None
    found = compare(read_run(Path(first), root), read_run(Path(second), root), _listed(metrics))
    if output_format == "json":
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        check_report.compared_terminal(found)


def report_command(
    run: Annotated[str, typer.Argument(help="Run folder of 'eval'.")],
    output: Annotated[str | None, typer.Option(help="An .html or .md file. Default: report.html in the run.")] = None,
    data_root: DataRoot = None,
) -> None:
    """One self-contained page about a run: summary, tables, figures, telling documents, how it was made, limits."""
    from adapler_explain.explainers import title_of
    from eraser_eval import html_report
    from eraser_eval.files import write_text
    from eraser_eval.runs import read_run

    path = Path(output) if output else Path(run) / "report.html"
    makers = {".html": html_report.page, ".md": html_report.markdown}
    if path.suffix not in makers:
        raise UsageError(f"--output {path}: give a name that ends in .html or .md")
    read = read_run(Path(run), Path(data_root) if data_root else None)
    write_text(path, makers[path.suffix](read, title_of))
    typer.echo(path)


def paper_command(
    output_dir: Annotated[str, typer.Option(help="The folder. An unfinished one goes on.")],
    model: Annotated[
        str | None, typer.Option(help="Pretrained encoder that training starts from: a folder or a hub id.")
    ] = None,
    data_root: DataRoot = None,
    quick: Annotated[bool, typer.Option("--quick", help="The bundled sample, in minutes: --scale quick.")] = False,
    scale: Annotated[
        str, typer.Option(help="small (two cores), gpu (parts of the data), full (a GPU too) or quick.")
    ] = "small",
    parts: Annotated[str, typer.Option(help="Comma-separated: tasks, rationales, ablations.")] = (
        "tasks,rationales,ablations"
    ),
    tasks: Annotated[str | None, typer.Option(help="Comma-separated: only these data sets.")] = None,
    rationales: Annotated[str | None, typer.Option(help="Comma-separated: only these data sets.")] = None,
    runs: Annotated[
        str | None, typer.Option(help="Training runs, DATASET-SEED; those that are there are taken as they are.")
    ] = None,
    device: Annotated[str, typer.Option(help="torch device.")] = "cpu",
    timing: Annotated[bool, typer.Option("--timing/--no-timing", help="Also measure the wall clock.")] = True,
    time_on: Annotated[str | None, typer.Option(help="torch device of the wall clock. Default: --device.")] = None,
) -> None:
    """The AdapLeR paper's experiment: task table, rationales by layer, ablations, as a folder with LaTeX and PDFs."""
    from adapler_explain.paper import PaperConfig, paper

    config = PaperConfig(
        output_dir=output_dir,
        model=model,
        data_root=data_root,
        scale="quick" if quick else scale,
        parts=_listed(parts),
        tasks=_listed(tasks),
        rationales=_listed(rationales),
        runs=runs,
        device=device,
        timing=timing,
        time_on=time_on,
    )
    folder = paper(config, lambda line: typer.echo(line, err=True))
    typer.echo(folder / "README.md")


def reproduce_command(
    manifest: Annotated[str, typer.Argument(help="manifest.json of a run of 'eval'.")],
    output_dir: Annotated[str | None, typer.Option(help="Of the repetition. Default: the run's, with -again.")] = None,
    data_root: DataRoot = None,
    output_format: Annotated[str, typer.Option("--format", help="table or json.")] = "table",
) -> None:
    """Repeat a run, and say of each figure: equal, within interval, or different, and what differs."""
    if output_format not in ("table", "json"):
        raise UsageError(f"--format {output_format}: choose table or json")
    from adapler_explain.reproduce import DIFFERENT, reproduce
    from eraser_eval.errors import printable

    found = reproduce(Path(manifest), Path(output_dir) if output_dir else None, data_root)
    if output_format == "json":
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False))
        return
    typer.echo(", ".join(f"{count} {verdict}" for verdict, count in found["counts"].items()))
    for path, row in found["figures"].items():
        if row["verdict"] == DIFFERENT:
            typer.echo(printable(f"different: {path}: {row['first']} / {row['second']}"))
    for name, (one, two) in found["reasons"].items():
        typer.echo(printable(f"differs: {name}: {one} / {two}"))
    typer.echo(f"Written to {found['repetition']}", err=True)
