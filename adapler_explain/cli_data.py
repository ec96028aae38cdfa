"""The commands ``data list``, ``data fetch`` and ``data verify``."""

from __future__ import annotations

from typing import Annotated

import typer

from eraser_eval.errors import printable

DataRoot = Annotated[
    str | None,
    typer.Option(
        help="Folder that holds the releases (eraser/movies or movies). Default: $ADAPLER_DATA, else the sample."
    ),
]

app = typer.Typer(no_args_is_help=True, help="The known data sets: what they are, fetching and checking them.")


@app.command("list")
def data_list_command(data_root: DataRoot = None) -> None:
    """Every known data set: classes, annotations of each split, whether it is here, licence."""
    from pathlib import Path

    from eraser_eval import report
    from eraser_eval.datasets.catalogue import catalogue

    report.catalogue_terminal(catalogue(Path(data_root) if data_root else None))


@app.command("fetch")
def data_fetch_command(
    name: Annotated[str, typer.Argument(help="A data set of 'data list'.")],
    data_root: DataRoot = None,
    url: Annotated[str | None, typer.Option(help="Fetch the archive from there instead.")] = None,
) -> None:
    """Download, check and unpack a data set, classification tasks from the hub; an interrupted download goes on."""
    from pathlib import Path

    from adapler_explain.progress import download_progress
    from eraser_eval.datasets.catalogue import fetch

    with download_progress(name) as report:
        folder = fetch(name, Path(data_root) if data_root else None, url, report)
    typer.echo(f"Fetched to {folder}", err=True)


@app.command("verify")
def data_verify_command(
    name: Annotated[str, typer.Argument(help="A data set of 'data list'.")], data_root: DataRoot = None
) -> None:
    """Check a data set's files: checksums, counts, and every annotation."""
    from pathlib import Path

    from eraser_eval.datasets.catalogue import verify
    from eraser_eval.errors import DataError

    defects = verify(name, Path(data_root) if data_root else None)
    for defect in defects:
        typer.echo(printable(defect))
    if defects:
        raise typer.Exit(DataError.exit_code)
    typer.echo("no defects")
