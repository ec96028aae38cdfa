"""The pictures of the viewer in README.md, taken on the bundled sample: ``make screenshots``."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.request import urlopen

from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
READY = "[data-testid=stApp][data-test-script-state=notRunning]"
SHOTS = (
    ("document", "?source=movies-test-sample&doc=film_002.txt&layer=3", "light", ".strip canvas", 900),
    ("compare", "compare?source=movies-test-sample&doc=film_002.txt", "dark", ".panels", 900),
)


def main() -> None:
    """Start the viewer without runs, take the pictures, stop it."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "adapler_explain.cli", "view", "--no-browser", "--port", str(port)]
        server = subprocess.Popen(command, cwd=folder)
        try:
            _wait(f"http://localhost:{port}/_stcore/health")
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
                for shot in SHOTS:
                    _take(browser, f"http://localhost:{port}/", *shot)
                browser.close()
        finally:
            server.terminate()
            server.wait()


def _take(browser: Browser, address: str, name: str, link: str, scheme: str, drawn: str, height: int) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(address + link)
    page.wait_for_selector(drawn, timeout=120_000)
    page.wait_for_selector(READY)
    page.wait_for_timeout(1_000)
    page.screenshot(path=ROOT / "docs" / f"viewer-{name}.png")
    page.close()


def _wait(address: str) -> None:
    for _ in range(300):
        try:
            with urlopen(address):
                return
        except OSError:
            time.sleep(0.2)
    raise TimeoutError(address)


if __name__ == "__main__":
    main()
