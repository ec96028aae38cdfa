"""``adapler-explain view``: what it refuses, in one line, and how it starts the server."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import adapler_explain.view as viewing
from adapler_explain import cli
from adapler_explain.view import arguments, check, check_port, has_screen, open_browser
from eraser_eval.errors import MissingError, UsageError

VARIABLES = ("ADAPLER_MODEL", "ADAPLER_RUNS", "ADAPLER_DATA")
Started = list[tuple[list[str], dict[str, str | None]]]


@pytest.fixture(autouse=True)
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    """What Streamlit was started with, and in which environment; no test here starts it."""
    calls: Started = []

    def main(arguments: list[str], standalone_mode: bool) -> None:
        assert not standalone_mode, "Streamlit would exit with a code of its own"
        calls.append((arguments, {name: os.environ.get(name) for name in VARIABLES}))

    monkeypatch.setattr("streamlit.web.cli.main", main)
    for name in VARIABLES:
        # Set first, so that what a test puts there is taken away again.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return calls


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("localhost", 0)) as listening:
        return int(listening.getsockname()[1])


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("localhost", 0)) as listening:
        yield int(listening.getsockname()[1])


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit code of ``adapler-explain view`` with ``arguments``."""
    monkeypatch.setattr(sys, "argv", ["adapler-explain", "view", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def folder_with(path: Path, config: bytes | None) -> Path:
    path.mkdir()
    if config is not None:
        (path / "config.json").write_bytes(config)
    return path


@pytest.mark.parametrize("option", ["--model", "--runs", "--data-root"])
@pytest.mark.parametrize("is_file", [False, True])
def test_a_folder_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    started: Started,
    option: str,
    is_file: bool,
) -> None:
    path = tmp_path / "absent"
    if is_file:
        path.write_text("{}")
    assert run(monkeypatch, option, str(path)) == 3
    out, err = capfd.readouterr()
    assert (out, err) == ("", f"error: {option} {path}: no such folder; give the path of one\n")
    assert not started


@pytest.mark.parametrize(
    ("config", "exit_code", "message"),
    [
        (None, 3, "no model is there (no config.json that can be read)"),
        (b"{broken", 3, "no model is there"),
        (b"\xff\xfe", 3, "no model is there"),
        (b"[1]", 3, "no model is there"),
        (b"null", 3, "no model is there"),
        (b'{"hidden_size": 16}', 3, "no model is there"),
        (b"[" * 100_000, 3, "no model is there"),
        (b'{"model_type": "bert"}', 2, "not an AdapLeR checkpoint; train one with 'adapler-explain train'"),
        (b'{"model_type": null}', 2, "not an AdapLeR checkpoint"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_folder_without_an_adapler_model(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
    started: Started,
    config: bytes | None,
    exit_code: int,
    message: str,
) -> None:
    model = folder_with(tmp_path / "model", config)
    assert run(monkeypatch, "--model", str(model)) == exit_code
    out, err = capfd.readouterr()
    assert out == "" and err.startswith(f"error: --model {model}: {message}") and err.count("\n") == 1
    assert not started


def test_a_stock_model_is_refused_and_an_adapler_model_is_not(stock_checkpoint: Path, checkpoint: Path) -> None:
    with pytest.raises(UsageError, match="not an AdapLeR checkpoint"):
        check(str(stock_checkpoint), None, None)
    check(str(checkpoint), None, None)


def test_a_port_that_is_taken(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], started: Started, taken_port: int
) -> None:
    assert run(monkeypatch, "--port", str(taken_port)) == 2
    out, err = capfd.readouterr()
    assert (out, err) == ("", f"error: --host localhost --port {taken_port}: address already in use; give another\n")
    assert not started


@pytest.mark.parametrize("port", ["0", "65536", "-1", "many"])
def test_a_port_that_is_none(monkeypatch: pytest.MonkeyPatch, started: Started, port: str) -> None:
    assert run(monkeypatch, "--port", port) == 2
    assert not started


@pytest.mark.parametrize("host", ["203.0.113.1", "nowhere.invalid"])
def test_a_host_that_is_not_this_machine(free_port: int, host: str) -> None:
    """An address and a name set aside for documents (RFC 5737, RFC 6761): no machine has them."""
    with pytest.raises(UsageError, match=rf"^--host {host} --port {free_port}: .*; give another$") as refused:
        check_port(host, free_port)
    assert "unknown error" not in str(refused.value)


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_addresses_with_colons_are_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    families = []

    class Listening:
        def __init__(self, address: tuple[str, int], *, family: int) -> None:
            families.append((address[0], family))

        def __enter__(self) -> None: ...

        def __exit__(self, *error: object) -> None: ...

    monkeypatch.setattr(viewing.socket, "create_server", Listening)
    check_port("::1", 8501)
    check_port("127.0.0.1", 8501)
    assert families == [("::1", socket.AF_INET6), ("127.0.0.1", socket.AF_INET)]


@pytest.mark.parametrize("missing", ["streamlit", "adapler_app"])
def test_without_the_viewer_installed(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    started: Started,
    free_port: int,
    missing: str,
) -> None:
    monkeypatch.setattr(viewing, "find_spec", lambda name: None if name == missing else find_spec(name))
    assert run(monkeypatch, "--port", str(free_port)) == 3
    assert capfd.readouterr().err == "error: the viewer is not installed; pip install 'adapler-explain[app]'\n"
    assert not started
    with pytest.raises(MissingError):
        arguments("localhost", free_port)


def options_of(asked: list[str]) -> dict[str, str]:
    return dict(zip(asked[2::2], asked[3::2], strict=True))


def test_the_server_gets_what_was_asked(
    monkeypatch: pytest.MonkeyPatch,
    started: Started,
    checkpoint: Path,
    data_root: Path,
    tmp_path: Path,
    free_port: int,
) -> None:
    asked = ["--model", str(checkpoint), "--runs", str(tmp_path), "--data-root", str(data_root)]
    assert run(monkeypatch, *asked, "--host", "127.0.0.1", "--port", str(free_port), "--no-browser") == 0
    ((arguments, environment),) = started
    assert arguments[0] == "run" and Path(arguments[1]).name == "main.py"
    assert (Path(arguments[1]).parent / "strip.js").is_file()
    expected = {"address": "127.0.0.1", "port": str(free_port), "headless": "true"}
    assert options_of(arguments).items() >= {(f"--server.{key}", value) for key, value in expected.items()}
    assert environment == dict(zip(VARIABLES, (str(checkpoint), str(tmp_path), str(data_root)), strict=True))


def test_without_options_nothing_is_set(monkeypatch: pytest.MonkeyPatch, started: Started, free_port: int) -> None:
    assert run(monkeypatch, "--port", str(free_port)) == 0
    ((arguments, environment),) = started
    assert set(environment.values()) == {None}
    options = options_of(arguments)
    assert options["--server.headless"] == "true" and options["--server.address"] == "localhost"


def test_the_environment_of_the_reader_is_left_as_it_is(
    monkeypatch: pytest.MonkeyPatch, started: Started, tmp_path: Path, free_port: int
) -> None:
    """An option stands before a variable, and a variable before nothing."""
    monkeypatch.setenv("ADAPLER_RUNS", "elsewhere")
    monkeypatch.setenv("ADAPLER_DATA", "mine")
    assert run(monkeypatch, "--runs", str(tmp_path), "--port", str(free_port)) == 0
    assert started[0][1] == {"ADAPLER_MODEL": None, "ADAPLER_RUNS": str(tmp_path), "ADAPLER_DATA": "mine"}


def test_a_model_that_says_what_it_is_and_no_more_passes(tmp_path: Path) -> None:
    """Weights are the app's to load: the check must answer at once."""
    config: dict[str, Any] = {"model_type": "adapler_bert"}
    check(str(folder_with(tmp_path / "model", json.dumps(config).encode())), str(tmp_path), None)


def test_a_browser_opens_when_the_viewer_listens(
    monkeypatch: pytest.MonkeyPatch, taken_port: int, free_port: int
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    open_browser("localhost", free_port, patience=0.2)
    assert opened == []
    open_browser("localhost", taken_port)
    assert opened == [f"http://localhost:{taken_port}"]


def test_without_a_screen_no_browser_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert not has_screen()
    monkeypatch.setenv("DISPLAY", ":0")
    assert has_screen()


@pytest.fixture(autouse=True)
def no_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test opens a window."""
    monkeypatch.setattr("webbrowser.open", lambda address: None)
