"""The command ``view``."""

from __future__ import annotations

from typing import Annotated

import typer

from adapler_explain.cli_data import DataRoot


def view_command(
    model: Annotated[str | None, typer.Option(help="AdapLeR checkpoint, a folder. Default: the bundled one.")] = None,
    runs: Annotated[str | None, typer.Option(help="Folder of run folders. Default: runs.")] = None,
    data_root: DataRoot = None,
    host: Annotated[str, typer.Option(help="Where to listen; localhost: for this machine alone.")] = "localhost",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8501,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser window.")] = True,
) -> None:
    """Open the viewer: which words were dropped, at which layer, and whether people agree."""
    from adapler_explain.view import view

    view(model, runs, data_root, host, port, browser)
