"""Starting the viewer: the Streamlit app in the package ``adapler_app``."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
import webbrowser
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from threading import Thread

from eraser_eval.errors import MissingError, UsageError


def view(model: str | None, runs: str | None, data_root: str | None, host: str, port: int, browser: bool) -> None:
    """Run the viewer until it is stopped.

    Args:
        model: folder of an AdapLeR checkpoint; None: the bundled one.
        runs: folder of run folders; None: ``runs``.
        data_root: where releases of data sets are.
        host, port: where it listens.
        browser: open a browser window.

    Raises:
        MissingError: Streamlit, the model or a folder is not there.
        UsageError: the port is taken, or the model has no removal.
    """
    asked = arguments(host, port)
    check(model, runs, data_root)
    check_port(host, port)
    for name, value in (("ADAPLER_MODEL", model), ("ADAPLER_RUNS", runs), ("ADAPLER_DATA", data_root)):
        if value:
            os.environ[name] = value
    if browser and has_screen():
        Thread(target=open_browser, args=(host, port), daemon=True).start()
    from streamlit.web import cli

    cli.main(asked, standalone_mode=False)


def arguments(host: str, port: int) -> list[str]:
    """What Streamlit is called with: headless, as with a browser of its own it shows advertisements of its own.

    Raises:
        MissingError: Streamlit or the app is not installed.
    """
    app = find_spec("adapler_app")
    if find_spec("streamlit") is None or app is None or not app.submodule_search_locations:
        raise MissingError("the viewer is not installed; pip install 'adapler-explain[app]'")
    script = Path(next(iter(app.submodule_search_locations))) / "main.py"
    options = {"address": host, "port": str(port), "headless": "true"}
    flags = [part for name, value in options.items() for part in (f"--server.{name}", value)]
    return ["run", str(script), *flags]


def has_screen() -> bool:
    """Whether a browser window can be seen here."""
    return not sys.platform.startswith("linux") or bool({"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys())


def open_browser(host: str, port: int, patience: float = 30.0) -> None:
    """Open a browser window at the viewer as soon as it listens, unless that takes longer than ``patience`` seconds."""
    here = "localhost" if host in ("0.0.0.0", "::") else host
    end = time.monotonic() + patience
    while time.monotonic() < end:
        with suppress(OSError), socket.create_connection((here, port), timeout=1):
            webbrowser.open(f"http://{f'[{here}]' if ':' in here else here}:{port}")
            return
        time.sleep(0.1)


def check(model: str | None, runs: str | None, data_root: str | None) -> None:
    """Raise a user's error where an option names something that is not there."""
    for option, folder in (("--model", model), ("--runs", runs), ("--data-root", data_root)):
        if folder is not None and not Path(folder).is_dir():
            raise MissingError(f"{option} {folder}: no such folder; give the path of one")
    if model is not None:
        try:
            kind = json.loads((Path(model) / "config.json").read_text(encoding="utf-8"))["model_type"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            raise MissingError(f"--model {model}: no model is there (no config.json that can be read)") from None
        if not str(kind).startswith("adapler_"):
            raise UsageError(f"--model {model}: not an AdapLeR checkpoint; train one with 'adapler-explain train'")


def check_port(host: str, port: int) -> None:
    """Raise UsageError where nothing can listen on ``host`` and ``port``."""
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            pass
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno and error.errno > 0 else "no such host"
        raise UsageError(f"--host {host} --port {port}: {reason}; give another") from None
