"""The viewer in a real browser, against a real server with the bundled model.

Environment: ``ADAPLER_CHROMIUM`` (a browser), ``ADAPLER_SCREENSHOTS`` (a folder for pictures of the pages).
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import socket
import string
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import parse_qs, urlencode, urlsplit
from urllib.request import urlopen

import pytest

from adapler_explain.evaluate import EvalConfig, evaluate
from eraser_eval.datasets import bundled

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
pytest.importorskip("streamlit", reason="the viewer is not installed")
pytestmark = pytest.mark.browser
expect = sync_api.expect
expect.set_options(timeout=10_000)

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
IDLE = "[data-testid=stApp][data-test-script-state=notRunning]"
# What is at hand once a page is drawn.
PAGES = {
    "": ".text .w",
    "compare": ".panels .w",
    "data-set": "[data-testid=stDataFrame] canvas",
    "what-if": ".text .w",
    "runs": "h3",
    "about": "[role=tab]",
}
SMALL, LARGE = {"width": 420, "height": 900}, {"width": 1280, "height": 900}
LAYERS, OWN_TEXT = 6, "Your own text"
EVIL = '"><img src=x onerror=window.hit=1>'
EVIL_RUN = "<img src=x onerror=window.hit=1>"
EVIL_TITLE = "<i onclick=1>$$x$$.jsonl"
EVIL_WORDS = (
    "<script>window.hit=1</script>",
    '</style><img/src="x"onerror="window.hit=1">',
    "</script>",
    "{{7*7}}",
    "\u202eesrever",
    "🎬🏽",
    "$$x$$",
    "[a](javascript:window.hit=1)",
    "*star*",
    ":material/error:",
    ":red[x]",
    "&lt;i&gt;",
)
HOSTILE_TEXT = ["This", "film", "is", *EVIL_WORDS, "and", "a", "wonderful", "joy", "with", "great", "leads", "."]
SAFE = frozenset(string.ascii_letters + string.digits + "._-")
DEEP = "let e = document.activeElement; while (e.shadowRoot?.activeElement) e = e.shadowRoot.activeElement;"


# ---------------------------------------------------------------- a server and a browser


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of the bundled model: on the bundled sample, and on documents that attack the viewer."""
    root = tmp_path_factory.mktemp("viewer")
    methods = ("contribution", "attention", "random")
    evaluate(EvalConfig("movies", limit=6, methods=methods, output_dir=str(root / "runs" / "sample")))
    rows = [
        {"id": f"{EVIL}.txt", "text": " ".join(HOSTILE_TEXT), "label": "POS", "rationale": marks(2, 6)},
        {"id": "</script>", "text": " ".join(reversed(HOSTILE_TEXT)), "label": "NEG", "rationale": marks(0, 3)},
    ]
    table = root / EVIL_TITLE
    table.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    model = str(bundled("models/adapler-movies"))
    evaluate(EvalConfig(str(table), model=model, methods=methods, output_dir=str(root / "runs" / EVIL_RUN)))
    return root


def marks(first: int, end: int) -> list[int]:
    return [int(first <= place < end) for place in range(len(HOSTILE_TEXT))]


@pytest.fixture(scope="module")
def site(folder: Path) -> Iterator[str]:
    """The address of a viewer of those runs."""
    with socket.create_server(("localhost", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "adapler_explain.cli", "view", "--no-browser", "--port", str(port)]
    log = folder / "server.log"
    with log.open("wb") as stream:
        server = subprocess.Popen(
            [*command, "--runs", str(folder / "runs")],
            cwd=folder,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            wait_for(server, f"http://localhost:{port}/_stcore/health", log)
            yield f"http://localhost:{port}"
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()


def wait_for(server: subprocess.Popen[bytes], health: str, log: Path) -> None:
    for _ in range(300):
        assert server.poll() is None, log.read_text(encoding="utf-8", errors="replace")
        try:
            with urlopen(health, timeout=5):
                return
        except URLError:
            time.sleep(0.2)
    pytest.fail("the viewer does not answer: " + log.read_text(encoding="utf-8", errors="replace"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    names = ("chromium", "chromium-browser", "google-chrome")
    path = os.environ.get("ADAPLER_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    with sync_api.sync_playwright() as playwright:
        try:
            made = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        except sync_api.Error as error:
            reason = f"no Chromium can be started here (set ADAPLER_CHROMIUM): {str(error).splitlines()[0]}"
            (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
        yield made
        made.close()


@pytest.fixture(scope="module")
def warm(site: str, browser: Any) -> str:
    """The viewer once it has loaded its libraries and the model."""
    page = browser.new_page()
    page.goto(link(site))
    page.locator(PAGES[""]).first.wait_for(state="attached", timeout=120_000)
    page.close()
    return site


class Watch:
    """What no page may do: errors on the console, dialogs, requests to elsewhere, running what a text says."""

    def __init__(self, page: Any, site: str) -> None:
        self.faults: list[str] = []
        self.site = site
        self.requests: list[str] = []
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.faults.append(f"uncaught: {error}"))
        page.on("dialog", self._on_dialog)
        page.on("request", self._on_request)

    def _on_console(self, message: Any) -> None:
        where = message.location.get("url", "")
        # Streamlit asks below the page's own path first.
        probing = "404" in message.text and urlsplit(where).path.find("/_stcore/") > 0
        if message.type == "error" and not probing:
            self.faults.append(f"console: {message.text} ({where})")

    def _on_dialog(self, dialog: Any) -> None:
        self.faults.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _on_request(self, request: Any) -> None:
        self.requests.append(request.url)
        inner = request.url.removeprefix("blob:")
        if not inner.startswith((self.site, "data:", "file:")):
            self.faults.append(f"request: {request.url}")


Opener = Callable[..., Any]


@pytest.fixture(scope="module")
def shared(browser: Any) -> Iterator[Any]:
    """A context for most tests: what the viewer is made of is fetched and compiled once."""
    context = browser.new_context(viewport=LARGE)
    yield context
    context.close()


@pytest.fixture
def opener(browser: Any, shared: Any, warm: str) -> Iterator[Opener]:
    """``opener(path, source=…, **query)``: a page, drawn; everything it does is watched until the test ends.

    With ``options``, in a context of its own.
    """
    pages, contexts = [], []

    def opened(path: str = "", url: str | None = None, options: dict[str, Any] | None = None, **query: Any) -> Any:
        if options is not None:
            contexts.append(browser.new_context(**({"viewport": LARGE} | options)))
        page = (contexts[-1] if options is not None else shared).new_page()
        page.set_default_timeout(20_000)
        page.watch = Watch(page, warm)
        pages.append(page)
        visit(page, url or link(warm, path, **query))
        return page

    yield opened
    hits = [page.evaluate("window.hit") for page in pages]
    for one in (*pages, *contexts):
        one.close()
    assert [fault for page in pages for fault in page.watch.faults] == []
    assert set(hits) <= {None}


def link(site: str, path: str = "", source: str = "run sample", **query: str) -> str:
    return f"{site}/{path}?{urlencode({'source': source} | query)}"


def visit(page: Any, url: str) -> None:
    page.goto(url)
    path = urlsplit(url).path.strip("/")
    if url.startswith("http"):
        page.locator(PAGES[path]).first.wait_for(state="attached")
        settle(page)


def settle(page: Any, timeout: float = 60_000) -> None:
    """Wait until the script has run; it begins a little after what the reader does."""
    page.wait_for_timeout(300)
    page.locator(IDLE).wait_for(timeout=timeout)


# ---------------------------------------------------------------- what a page shows


def words(page: Any, which: str = ".w") -> list[str]:
    return [text.strip() for text in page.locator(f".text {which}").all_text_contents()]


def alive(page: Any) -> list[int]:
    return page.locator(".text .w").evaluate_all(
        "all => all.flatMap((word, place) => word.classList.contains('gone') ? [] : [place])"
    )


def layer_slider(page: Any) -> Any:
    return page.locator(".controls input[type=range]")


def to_layer(page: Any, layer: int) -> None:
    layer_slider(page).evaluate(
        "(slider, layer) => { slider.value = layer; slider.dispatchEvent(new Event('input', {bubbles: true})) }", layer
    )


def said(page: Any) -> str:
    return str(page.locator(".controls output").text_content())


def sentence(left: int, total: int, layer: int) -> str:
    return f"{left} of {total} words left after layer {layer}" if layer else f"all {total} words, before layer 1"


def focused(page: Any, what: str) -> Any:
    return page.evaluate(f"() => {{ {DEEP} return {what} }}")


def query(page: Any) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def comes_into_the_address(page: Any, name: str, value: str) -> None:
    """Wait for it: on a busy machine the script begins later than :func:`settle` allows for."""
    page.wait_for_function(
        "([name, value]) => new URLSearchParams(location.search).get(name) === value", arg=[name, value]
    )


def metrics(page: Any) -> dict[str, str]:
    found = page.get_by_test_id("stMetric").all()
    label, value = "[data-testid=stMetricLabel] p", "[data-testid=stMetricValue]"
    return {one.locator(label).inner_text(): one.locator(value).inner_text() for one in found}


def saved(page: Any, label: str) -> tuple[str, bytes]:
    with page.expect_download() as download:
        page.get_by_role("button", name=label).click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def tab(page: Any, name: str) -> None:
    page.get_by_role("tab", name=name).click()
    settle(page)


def write(page: Any, text: str) -> None:
    box = page.get_by_role("textbox", name="Your text")
    box.fill(text)
    box.press("Control+Enter")


def invented(count: int) -> str:
    some = ["the", "plot", "was", "dull", "but", "both", "leads", "are", "a", "joy", "in", "this", "slow", "film"]
    many = [some[(place * 5 + place // 20) % len(some)] for place in range(count)]
    return "\n".join(" ".join(many[first : first + 20]) for first in range(0, count, 20))


# ---------------------------------------------------------------- layers


def test_a_layer_changes_strip_and_text_without_the_server(opener: Opener, warm: str) -> None:
    page = opener("runs")
    frames: list[int] = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda frame: frames.append(len(frame))))
    visit(page, link(warm))
    total = len(words(page))
    before = (len(page.watch.requests), len(frames))
    pictures, counts = [], []
    for layer in range(LAYERS + 1):
        to_layer(page, layer)
        pictures.append(page.locator(".strip canvas").evaluate("canvas => canvas.toDataURL()"))
        counts.append(len(alive(page)))
        assert said(page) == sentence(counts[-1], total, layer)
    page.wait_for_timeout(300)
    assert len(set(pictures)) == LAYERS + 1
    assert counts[0] == total and counts == sorted(counts, reverse=True) and len(set(counts)) > 3
    assert (len(page.watch.requests), len(frames)) == before
    assert metrics(page)["Words kept"] == f"{counts[-1]} of {total}"
    tab(page, "Table")
    assert len(frames) > before[1], "frames are not counted"


@pytest.mark.parametrize(("count", "most"), [(400, 16), (2_000, 50)])
def test_a_layer_is_painted_within_a_frame(opener: Opener, count: int, most: float) -> None:
    page = opener(source=OWN_TEXT)
    write(page, invented(count))
    expect(page.locator(".text .w")).to_have_count(count, timeout=60_000)
    settle(page)
    measure = """slider => {
      const text = slider.getRootNode().querySelector('.text'), times = [];
      for (let turn = 0; turn < 21; turn++) {
        const began = performance.now();
        slider.value = (turn * 3) % 7;
        slider.dispatchEvent(new Event('input'));
        text.getBoundingClientRect();
        times.push(performance.now() - began);
      }
      return times.sort((a, b) => a - b)[10];
    }"""
    # The machine may be busy with other things during some of the rounds.
    assert min(layer_slider(page).evaluate(measure) for _ in range(5)) < most


def test_a_click_on_the_strip_goes_to_its_layer(opener: Opener) -> None:
    page = opener()
    box = page.locator(".strip canvas").bounding_box()
    page.mouse.click(box["x"] + 40, box["y"] + 9 + 15 * 2 + 5)
    assert said(page).endswith("after layer 3")


def test_a_link_restores_the_document_and_its_layer(opener: Opener) -> None:
    page = opener()
    first = page.locator("h1").first.inner_text()
    page.get_by_role("combobox", name="Document", exact=True).click()
    page.get_by_role("option").nth(2).click()
    expect(page.locator("h1").first).not_to_have_text(first)
    settle(page)
    layer_slider(page).focus()
    for _ in range(2):
        page.keyboard.press("ArrowLeft")
    assert query(page)["layer"] == ["4"]
    again = opener(url=page.url)
    title = page.locator("h1").first.inner_text()
    assert title == query(page)["doc"][0] == again.locator("h1").first.inner_text()
    assert words(again) == words(page)
    assert (said(again), alive(again)) == (said(page), alive(page))
    assert layer_slider(again).input_value() == "4"
    assert again.url == page.url


def test_the_last_layer_is_not_in_the_link(opener: Opener) -> None:
    page = opener(layer="2")
    assert said(page).endswith("after layer 2")
    to_layer(page, LAYERS)
    assert "layer" not in query(page)


def test_a_layer_that_is_not_there_is_the_last(opener: Opener, warm: str) -> None:
    page = opener(layer="99")
    assert said(page).endswith(f"after layer {LAYERS}")
    for layer in ("-1", "²"):
        visit(page, link(warm, layer=layer))
        assert said(page).endswith(f"after layer {LAYERS}")


def test_running_again_keeps_the_layer(opener: Opener) -> None:
    page = opener()
    to_layer(page, 3)
    seen = (said(page), alive(page))
    for name in ("Table", "Static text", "Strip and text"):
        tab(page, name)
        assert query(page)["layer"] == ["3"]
    assert (said(page), alive(page)) == seen
    page.get_by_role("combobox", name="Document", exact=True).click()
    page.get_by_role("option").nth(1).click()
    settle(page)
    expect(page.locator(".controls output")).to_contain_text("after layer 3")
    assert query(page)["layer"] == ["3"]


def test_play_goes_from_the_first_layer_to_the_last_and_pauses(opener: Opener) -> None:
    page = opener()
    page.locator(".controls output").evaluate(
        """output => new MutationObserver(() => (window.said ??= []).push(output.textContent))
             .observe(output, {childList: true, characterData: true, subtree: true})"""
    )
    play = page.locator(".play")
    play.click()
    expect(play).to_contain_text("Pause")
    expect(page.locator(".controls output")).to_contain_text("after layer 2")
    play.click()
    expect(play).to_contain_text("Play")
    page.wait_for_timeout(1_200)
    assert said(page).endswith("after layer 2")
    play.click()
    expect(play).to_contain_text("Play", timeout=10_000)
    ends = [text.split(", ")[-1].split(" left ")[-1] for text in page.evaluate("window.said")]
    assert list(dict.fromkeys(ends)) == ["before layer 1", *(f"after layer {n}" for n in range(1, LAYERS + 1))]
    page.wait_for_timeout(1_000)
    assert said(page).endswith(f"after layer {LAYERS}")


def test_another_document_ends_the_play(opener: Opener) -> None:
    page = opener(layer="0")
    page.get_by_role("button", name="Play").click()
    page.wait_for_timeout(1_000)
    choose(page, "Document", "film_012.txt")
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    before = said(page), query(page).get("layer")
    page.wait_for_timeout(2_000)
    assert (said(page), query(page).get("layer")) == before
    layer = int(layer_slider(page).input_value())
    assert before[1] == ([str(layer)] if layer < LAYERS else None)


def test_words_are_coloured_by_contribution(opener: Opener) -> None:
    page = opener(layer="1")
    colours = "all => all.map(word => getComputedStyle(word).backgroundColor)"
    plain = page.locator(".text .w").evaluate_all(colours)
    page.get_by_label("Colour by contribution").check()
    tinted = page.locator(".text .w").evaluate_all(colours)
    assert len(set(plain)) == 2
    assert len(set(tinted)) > 5 and tinted != plain
    to_layer(page, 4)
    assert page.locator(".text .w").evaluate_all(colours) != tinted
    to_layer(page, 1)
    page.get_by_label("Colour by contribution").uncheck()
    assert page.locator(".text .w").evaluate_all(colours) == plain


# ---------------------------------------------------------------- one word


def rows_of(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode("utf-8"))))


def test_pointing_at_a_word_says_why_it_stayed_or_fell(opener: Opener) -> None:
    page = opener()
    tip = page.locator(".tip")
    expect(tip).not_to_be_visible()
    rows = rows_of(saved(page, "CSV of the scores")[1])
    fates = [row["fate"] for row in rows]
    for fate in (fates[0], "kept to the end", next(row["fate"] for row in rows if row["layers"] == "2")):
        place = fates.index(fate)
        page.locator(".text .w").nth(place).hover()
        expect(tip).to_be_visible()
        expect(tip.locator("b")).to_have_text(rows[place]["word"])
        expect(tip).to_contain_text(fate)
        reached = min(LAYERS, int(rows[place]["layers"]) + 1)
        layers = str(tip.locator("svg").get_attribute("aria-label")).split("; ")
        assert len(layers) == reached == tip.locator("svg rect").count() == tip.locator("svg line").count()
        for layer, told in enumerate(layers, 1):
            value, needed = (float(part.rsplit(" ", 1)[1]) for part in told.split(", "))
            assert value == pytest.approx(float(rows[place][f"contribution, layer {layer}"]), rel=0.01)
            assert needed == pytest.approx(float(rows[place][f"needed, layer {layer}"]), rel=0.01)
        for method in ("Contribution predictors", "Attention", "Random"):
            column = f"score, {method}"
            rank = 1 + sum(float(row[column]) > float(rows[place][column]) for row in rows)
            expect(tip.locator("tr", has_text=method)).to_contain_text(f"rank {rank} of {len(rows)}")
    page.locator("h1").first.hover()
    expect(tip).not_to_be_visible()


def test_a_word_is_told_by_keyboard(opener: Opener) -> None:
    page = opener()
    said_words = words(page)
    tip, bold = page.locator(".tip"), page.locator(".tip b")
    page.get_by_label("Colour by contribution").focus()
    page.keyboard.press("Tab")
    expect(tip).to_be_visible()
    assert focused(page, "e.textContent.trim()") == said_words[0]
    for key, place in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowDown", 12), ("ArrowLeft", 11), ("ArrowUp", 1)):
        page.keyboard.press(key)
        expect(bold).to_have_text(said_words[place])
        assert focused(page, "e.place") == place
    assert focused(page, "e.getRootNode().getElementById(e.getAttribute('aria-describedby')).textContent") == (
        tip.text_content()
    )
    page.keyboard.press("Escape")
    expect(tip).not_to_be_visible()
    assert focused(page, "e.place") == 1
    page.keyboard.press("End")
    expect(bold).to_have_text(said_words[-1])
    page.keyboard.press("Home")
    expect(bold).to_have_text(said_words[0])
    expect(tip).to_be_visible()
    page.keyboard.press("Tab")
    expect(tip).not_to_be_visible()


# What the browser draws around the focused element, or around what holds it: Streamlit frames some of its widgets.
RING = """(() => { const ring = [];
  for (let n = e, up = 0; n && up < 3; n = n.parentElement, up++) {
    const style = getComputedStyle(n);
    ring.push([style.outlineStyle, style.outlineWidth, style.outlineColor, style.boxShadow, style.borderColor,
      style.backgroundColor].join());
  } return ring.join('|') })()"""


def tab_until(page: Any, what: str, most: int = 60) -> list[tuple[str, str]]:
    """Press Tab until ``what`` is true of the focused element ``e``; name and ring of each element on the way."""
    way = []
    for _ in range(most):
        page.keyboard.press("Tab")
        name = focused(page, "(e.getAttribute('aria-label') || e.textContent || e.tagName).trim().slice(0, 40)")
        way.append((name, focused(page, "e.tagName === 'BODY' ? 'body' : " + RING)))
        if focused(page, what):
            return way
    pytest.fail(f"the tab key does not reach {what}: {[name for name, _ in way]}")


def test_everything_can_be_done_by_keyboard(opener: Opener) -> None:
    page = opener()
    way = tab_until(page, "Boolean(e.closest('.text')) && e.place === 0")
    page.keyboard.press("ArrowRight")
    assert focused(page, "e.place") == 1
    outline = "getComputedStyle(e).outlineStyle + ' ' + getComputedStyle(e).outlineWidth"
    assert focused(page, outline) == "solid 2px"
    way += tab_until(page, "e.tagName === 'BUTTON' && e.textContent.includes('HTML page')", 5)
    assert [name for name, ring in way if ring == "body"] == []
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert download.value.suggested_filename.endswith(".html")
    page.evaluate("document.activeElement.blur()")
    page.reload()
    page.locator(".text .w").first.wait_for()
    settle(page)
    tab_until(page, "e.tagName === 'A' && e.textContent.includes('Compare methods')")
    page.keyboard.press("Enter")
    page.locator(".panels .w").first.wait_for()
    assert urlsplit(page.url).path == "/compare"
    tab_until(page, "Boolean(e.closest('.panels')) && e.place === 0")
    page.keyboard.press("ArrowRight")
    assert focused(page, "e.place") == 1
    expect(page.locator(".tip")).to_be_visible()


def test_focus_is_always_seen(opener: Opener) -> None:
    page = opener()
    way = tab_until(page, "e.tagName === 'BUTTON' && e.textContent.includes('CSV of')")
    rings = dict(way)
    unseen = []
    for name, ring in rings.items():
        if ring == "body" or not any(
            (style.startswith(("solid", "auto", "dashed")) and ",0px," not in style) or "px" in style.split(",", 3)[3]
            for style in ring.split("|")
        ):
            unseen.append(name)
    # Streamlit's own: its main region, and links and lists that change their colour instead.
    own = ("Documents", "Document")
    allowed = [name for name in unseen if name in own or name.startswith(page.locator("h1").first.inner_text())]
    names = ("article", "compare", "bar_chart", "tune", "folder_open", "info")
    assert [name for name in unseen if name not in allowed and not name.startswith(names)] == []


# ---------------------------------------------------------------- comparing


def choose(page: Any, label: str, option: str) -> None:
    page.get_by_role("combobox", name=label, exact=True).click()
    page.get_by_role("option", name=option, exact=True).click()
    settle(page)


def shown_methods(page: Any) -> list[str]:
    return page.locator(".panels h3").all_text_contents()


def test_a_link_restores_methods_and_budget(opener: Opener) -> None:
    page = opener("compare")
    assert shown_methods(page) == ["AdapLeR (kept words)", "Contribution predictors", "Attention"]
    choose(page, "Words for each", "as many words as people marked")
    choose(page, "Methods", "Random")
    assert shown_methods(page)[-1] == "Random"
    comes_into_the_address(page, "budget", "gold")
    assert query(page)["methods"][-1].endswith(",random")
    again = opener(url=page.url)
    assert shown_methods(again) == shown_methods(page)
    for which in (".panels dl", ".panels .hit", ".panels .false", ".panels .miss"):
        assert again.locator(which).all_text_contents() == page.locator(which).all_text_contents()
    assert page.locator(".panels .hit").count() > 0


def test_a_link_restores_the_number_of_words(opener: Opener) -> None:
    page = opener("compare")
    choose(page, "Words for each", "a number of words")
    page.get_by_role("slider", name="Number of words").focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    expect(page.locator(".panels section").nth(1).locator("dl")).to_contain_text("words25")
    settle(page)
    again = opener(url=page.url)
    expect(again.locator(".panels section").nth(1).locator("dl")).to_contain_text("words25")


def test_pointing_at_a_word_shows_it_in_every_method(opener: Opener) -> None:
    page = opener("compare")
    count = len(shown_methods(page))
    page.locator(".panels .text").first.locator(".w").nth(4).hover()
    expect(page.locator(".panels .w.hot")).to_have_count(count)
    expect(page.locator(".tip")).to_be_visible()
    said_methods = page.locator(".tip th").all_text_contents()
    assert said_methods == shown_methods(page)
    classes = page.locator(".panels .w.hot").evaluate_all("all => all.map(word => word.className)")
    says = {
        "hit": "chosen, marked by people",
        "false": "chosen, not marked by people",
        "miss": "marked by people, not chosen",
    }
    expected = [next((says[name] for name in says if name in one.split()), "neither") for one in classes]
    told = page.locator(".tip td").all_text_contents()
    assert [one.startswith(begin) for one, begin in zip(told, expected, strict=True)] == [True] * count


# ---------------------------------------------------------------- what is saved


@pytest.mark.parametrize("source", ["run sample", f"run {EVIL_RUN}"])
def test_the_saved_page_works_alone(opener: Opener, tmp_path: Path, source: str) -> None:
    page = opener(source=source, layer="2")
    name, content = saved(page, "HTML page")
    assert name.endswith(".html") and set(name) <= set(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-.0123456789"
    )
    file = tmp_path / "saved.html"
    file.write_bytes(content)
    alone = opener(url=file.as_uri(), options={"offline": True})
    assert alone.watch.requests == [file.as_uri()]
    assert said(alone) == said(page) and said(alone).endswith("after layer 2")
    assert words(alone) == words(page) and words(alone, ".gold") == words(page, ".gold") != []
    for layer in range(LAYERS + 1):
        to_layer(page, layer)
        to_layer(alone, layer)
        assert alive(alone) == alive(page)
    alone.locator(".text .w").nth(3).hover()
    expect(alone.locator(".tip b")).to_have_text(words(page)[3])
    alone.get_by_label("Colour by contribution").check()
    alone.locator(".play").click()
    expect(alone.locator(".controls output")).to_contain_text("after layer 1")
    assert alone.watch.requests == [file.as_uri()]


def test_the_saved_page_can_be_read_without_scripts(opener: Opener, tmp_path: Path) -> None:
    page = opener(layer="3")
    file = tmp_path / "saved.html"
    file.write_bytes(saved(page, "HTML page")[1])
    plain = opener(url=file.as_uri(), options={"offline": True, "java_script_enabled": False})
    found = [text.strip() for text in plain.locator("mark, del").all_text_contents()]
    assert found == words(page)
    kept = [text.strip() for text in plain.locator("mark").all_text_contents()]
    assert kept == [words(page)[place] for place in alive(page)]
    assert [text.strip() for text in plain.locator("u").all_text_contents()] == words(page, ".gold")
    expect(plain.locator("main")).to_contain_text(said(page))


@pytest.mark.parametrize("source", ["run sample", f"run {EVIL_RUN}"])
def test_pictures_and_table_are_saved(opener: Opener, source: str) -> None:
    page = opener(source=source)
    for label, ending, begin in (("PNG of", ".png", b"\x89PNG\r\n\x1a\n"), ("SVG of", ".svg", b"<?xml")):
        name, content = saved(page, label)
        assert name.endswith(ending) and set(name) <= SAFE and not name.startswith((".", "_"))
        assert content.startswith(begin) and len(content) > 2_000
    assert b"<svg" in content and b"onerror" not in content.partition(b"<svg")[0]
    name, content = saved(page, "CSV of")
    rows = rows_of(content)
    assert name.endswith(".csv") and set(name) <= SAFE
    assert [row["word"] for row in rows] == words(page)
    assert [place for place, row in enumerate(rows) if row["fate"] == "kept to the end"] == alive(page)


# ---------------------------------------------------------------- hostile texts


def test_hostile_words_are_only_shown(opener: Opener) -> None:
    page = opener(source=f"run {EVIL_RUN}")
    assert page.locator("h1").first.inner_text() == f"{EVIL}.txt"
    assert words(page) == HOSTILE_TEXT
    for place in range(3, 3 + len(EVIL_WORDS)):
        page.locator(".text .w").nth(place).hover()
        expect(page.locator(".tip b")).to_have_text(HOSTILE_TEXT[place])
    tab(page, "Table")
    found = page.locator(".adapler-table th[scope=row]").all_text_contents()
    assert found == HOSTILE_TEXT
    tab(page, "Static text")
    found = page.locator(".adapler-static").locator("mark, del").all_text_contents()
    assert found == HOSTILE_TEXT
    assert page.evaluate("window.hit") is None


def test_hostile_words_are_only_compared(opener: Opener) -> None:
    page = opener("compare", source=f"run {EVIL_RUN}")
    assert page.locator("h1").first.inner_text() == f"{EVIL}.txt"
    panel = page.locator(".panels .text").first
    assert [text.strip() for text in panel.locator(".w").all_text_contents()] == HOSTILE_TEXT
    panel.locator(".w").nth(4).hover()
    expect(page.locator(".tip b")).to_have_text(HOSTILE_TEXT[4])


@pytest.mark.parametrize(
    ("path", "expected"),
    [("data-set", EVIL_TITLE), ("what-if", f"{EVIL}.txt"), ("runs", "Runs"), ("about", EVIL_TITLE)],
)
def test_hostile_names_are_only_shown(opener: Opener, path: str, expected: str) -> None:
    page = opener(path, source=f"run {EVIL_RUN}")
    for part in page.get_by_role("tab").all():
        part.click()
        settle(page)
        if part.inner_text() == "Data":
            expect(page.get_by_test_id("stTable")).to_contain_text(expected)
    if path != "about":
        assert expected in page.locator("h1").first.inner_text()
    if path == "what-if":
        assert words(page) == HOSTILE_TEXT
    if path == "data-set":
        assert sorted(page.locator("[role=gridcell][aria-colindex='1']").all_text_contents()) == sorted(
            [f"{EVIL}.txt", "</script>"]
        )


def test_a_hostile_link_is_only_shown(opener: Opener, warm: str) -> None:
    page = opener()
    page.goto(link(warm, doc=f"<b>{EVIL}$$x$$</b>"))
    page.get_by_test_id("stToast").filter(has_text=f"<b>{EVIL}$$x$$</b>").wait_for()
    page.locator(".text .w").first.wait_for()
    assert page.locator("h1").first.inner_text() == "film_001.txt"


def test_a_hostile_file_name_is_only_shown(opener: Opener) -> None:
    page = opener(source=OWN_TEXT)
    page.locator("input[type=file]").set_input_files(
        {"name": f"{EVIL_RUN}$$x$$.txt", "mimeType": "text/plain", "buffer": b"\xff\xfe\x00film"}
    )
    error = page.get_by_test_id("stAlert")
    expect(error).to_contain_text(f"{EVIL_RUN}$$x$$.txt: not UTF-8")
    page.locator("input[type=file]").set_input_files([])


def test_hostile_prediction_files_are_only_shown(opener: Opener, folder: Path) -> None:
    page = opener("runs")
    tab(page, "Open prediction files")
    content = (folder / "runs" / "sample" / "predictions" / "random.jsonl").read_bytes()
    page.get_by_role("combobox", name="Documents").click()
    page.get_by_role("option", name="run sample", exact=True).click()
    settle(page)
    page.locator("input[type=file]").first.set_input_files(
        {"name": f"{EVIL_RUN}.jsonl", "mimeType": "application/json", "buffer": content}
    )
    page.get_by_test_id("stAlert").filter(has_text=f"{EVIL_RUN} can be chosen on every page now.").wait_for()
    page.get_by_test_id("stSidebarNav").get_by_text("Compare methods").click()
    settle(page)
    choose(page, "Documents", f"upload {EVIL_RUN}")
    expect(page.locator(".panels h3")).to_have_text([EVIL_RUN])


def test_a_broken_prediction_file_is_one_line(opener: Opener) -> None:
    page = opener("runs")
    tab(page, "Open prediction files")
    page.locator("input[type=file]").first.set_input_files(
        {"name": f"{EVIL_RUN}.jsonl", "mimeType": "application/json", "buffer": b"{<b>"}
    )
    error = page.get_by_test_id("stAlert").filter(has_text="not valid JSON")
    error.wait_for()
    assert "\n" not in error.inner_text().strip().removeprefix("error").strip()
    assert page.get_by_test_id("stException").count() == 0


# ---------------------------------------------------------------- what if


def test_a_word_can_be_switched_off(opener: Opener) -> None:
    page = opener("what-if")
    total = len(words(page))
    first = metrics(page)
    title = next(name for name in first if name.startswith("Probability"))
    value = page.get_by_test_id("stMetric").filter(has_text=title).get_by_test_id("stMetricValue")
    place = alive(page)[0]
    page.locator(".text .w").nth(place).click()
    expect(value).not_to_have_text(first[title])
    expect(page.locator(".text .w.off")).to_have_count(1)
    assert metrics(page)["Words kept"].endswith(f"of {total - 1}")
    page.locator(".text .w").nth(place).click()
    expect(page.locator(".text .w.off")).to_have_count(0)
    # The figures arrive one after the other.
    for name, shown in first.items():
        again = page.get_by_test_id("stMetric").filter(has_text=name).get_by_test_id("stMetricValue")
        expect(again).to_have_text(shown)


def test_a_word_can_be_switched_off_by_keyboard(opener: Opener) -> None:
    page = opener("what-if")
    first = metrics(page)
    title = next(name for name in first if name.startswith("Probability"))
    value = page.get_by_test_id("stMetric").filter(has_text=title).get_by_test_id("stMetricValue")
    page.locator(".text .w[tabindex='0']").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(value).not_to_have_text(first[title])
    expect(page.locator(".text .w.off")).to_have_count(1)
    settle(page)
    # The text is drawn anew; the reader stays where they were.
    assert focused(page, "e.place") == 1
    page.keyboard.press("Enter")
    expect(value).to_have_text(first[title])
    expect(page.locator(".text .w.off")).to_have_count(0)


def test_words_switched_off_quickly_are_all_off(opener: Opener) -> None:
    page = opener("what-if")
    for place in alive(page)[:3]:
        page.locator(".text .w").nth(place).evaluate("word => word.click()")
    settle(page)
    page.wait_for_timeout(500)
    settle(page)
    expect(page.locator(".text .w.off")).to_have_count(3)


def test_a_word_switched_off_before_the_last_answer_came_stays_off(opener: Opener) -> None:
    page = opener("what-if")
    first, second, third = alive(page)[:3]
    # The second click falls between the first and its answer, the third just after that answer is drawn.
    page.evaluate(
        """([first, second, third]) => {
          const shadows = [...document.querySelectorAll("*")].flatMap((each) => each.shadowRoot ?? []);
          const root = [...shadows, document].find((each) => each.querySelector(".text .w"));
          const click = (place) => root.querySelectorAll(".text .w")[place].click();
          const before = root.querySelector(".view");
          const watch = new MutationObserver(() => {
            if (root.querySelector(".view") === before) return;
            watch.disconnect();
            click(third);
          });
          watch.observe(root, { childList: true, subtree: true });
          click(first);
          setTimeout(() => click(second), 60);
        }""",
        [first, second, third],
    )
    expect(page.locator(".text .w.off")).to_have_count(3)
    settle(page)
    page.wait_for_timeout(500)
    settle(page)
    expect(page.locator(".text .w.off")).to_have_count(3)
    assert metrics(page)["Words kept"].endswith(f"of {len(words(page)) - 3}")


def test_the_focus_stays_on_the_slider_after_a_word_was_switched(opener: Opener) -> None:
    page = opener("what-if")
    page.locator(".text .w").nth(2).click()
    expect(page.locator(".text .w.off")).to_have_count(1)
    settle(page)
    slider = page.get_by_role("slider", name="Operating point")
    slider.focus()
    for value in ("1.05", "1.1"):
        page.keyboard.press("ArrowRight")
        comes_into_the_address(page, "point", value)
        settle(page)
        expect(slider).to_be_focused()


def test_every_word_can_be_switched_on_again(opener: Opener) -> None:
    page = opener("what-if")
    first = metrics(page)
    for place in alive(page)[:2]:
        page.locator(".text .w").nth(place).click()
        settle(page)
    expect(page.locator(".text .w.off")).to_have_count(2)
    button = page.get_by_role("button", name="Switch every word on")
    button.click()
    expect(button).to_have_count(0)
    expect(page.locator(".text .w.off")).to_have_count(0)
    assert page.get_by_test_id("stException").count() == 0
    assert metrics(page) == first
    # What was switched off before is forgotten.
    page.locator(".text .w").nth(5).click()
    expect(page.locator(".text .w.off")).to_have_count(1)


def test_the_operating_point_changes_how_many_words_stay(opener: Opener) -> None:
    page = opener("what-if")
    before = metrics(page)["Words kept"]
    kept = page.get_by_test_id("stMetric").filter(has_text="Words kept").get_by_test_id("stMetricValue")
    page.get_by_role("slider", name="Operating point").focus()
    for _ in range(6):
        page.keyboard.press("ArrowLeft")
    expect(kept).not_to_have_text(before)
    # The slider sends what it has when the keys have rested, on a busy machine after a first answer.
    comes_into_the_address(page, "point", "0.7")
    settle(page)
    assert int(metrics(page)["Words kept"].split()[0]) > int(before.split()[0])
    assert len(alive(page)) == int(metrics(page)["Words kept"].split()[0])
    again = opener(url=page.url)
    assert metrics(again) == metrics(page)


# ---------------------------------------------------------------- a text of one's own


def test_a_text_of_one_s_own(opener: Opener) -> None:
    page = opener(source=OWN_TEXT)
    write(page, "What a dull <b>story</b> .\nThe songs are wonderful !")
    expect(page.locator(".text .w")).to_have_count(10)
    assert " ".join(words(page)) == "What a dull <b>story</b> . The songs are wonderful !"
    assert page.locator(".text p").count() == 2
    write(page, "  \n ")
    expect(page.get_by_test_id("stAlert")).to_have_text("error" + "the text has no words; write or paste some")
    expect(page.locator(".text .w")).to_have_count(0)
    write(page, invented(20_001))
    expect(page.get_by_test_id("stAlert")).to_contain_text("the text has 20,001 words; give at most 20,000")


@pytest.mark.parametrize("way", ["written", "uploaded"])
def test_a_text_of_one_s_own_goes_along_to_other_pages(opener: Opener, way: str) -> None:
    page = opener(source=OWN_TEXT)
    if way == "written":
        write(page, "zebras sing badly .")
    else:
        given = {"name": "zebras.txt", "mimeType": "text/plain", "buffer": b"zebras sing badly ."}
        page.locator("input[type=file]").first.set_input_files(given)
    expect(page.locator(".text .w")).to_have_count(4)
    for name in ("What if", "Document"):
        page.get_by_test_id("stSidebarNav").get_by_text(name, exact=True).click()
        settle(page)
        expect(page.locator(".text .w")).to_have_text(["zebras", "sing", "badly", "."])
    write(page, "they stopped .")
    expect(page.locator(".text .w")).to_have_text(["they", "stopped", "."])


def test_twenty_thousand_words(opener: Opener) -> None:
    page = opener(source=OWN_TEXT)
    write(page, invented(20_000))
    expect(page.locator(".text .w")).to_have_count(20_000, timeout=240_000)
    to_layer(page, 2)
    left = page.locator(".text .w:not(.gone)").count()
    assert said(page) == sentence(left, 20_000, 2)


# ---------------------------------------------------------------- every page


def test_every_page_keeps_the_document_and_the_layer(opener: Opener) -> None:
    page = opener(doc="film_012.txt", layer="3")
    ways = ("compare", "Compare methods"), ("data-set", "Data set"), ("what-if", "What if"), ("runs", "Runs")
    for path, name in (*ways, ("about", "About"), ("", "Document")):
        page.get_by_test_id("stSidebarNav").get_by_text(name, exact=True).click()
        page.locator(PAGES[path]).first.wait_for(state="attached")
        settle(page)
        assert page.get_by_test_id("stException").count() == 0
        if path != "runs":
            comes_into_the_address(page, "source", "run sample")
        if path in ("", "compare", "what-if"):
            expect(page.locator("h1").first).to_have_text("film_012.txt")
    assert said(page).endswith("after layer 3")
    assert query(page)["layer"] == ["3"]


def test_choosing_a_row_opens_its_document(opener: Opener) -> None:
    page = opener("data-set")
    page.get_by_test_id("stMain").evaluate("main => main.scrollTo(0, 1e6)")
    grid = page.get_by_test_id("stDataFrame")
    second = grid.locator("[role=gridcell][aria-colindex='1']").nth(1).text_content()
    page.wait_for_timeout(800)
    box = grid.bounding_box()
    page.mouse.move(box["x"] + 17, box["y"] + 35 + 35 + 17, steps=4)
    page.wait_for_timeout(300)
    page.mouse.down()
    page.wait_for_timeout(80)
    page.mouse.up()
    expect(page.locator("h1").first).to_have_text(second)
    page.locator(".text .w").first.wait_for()
    comes_into_the_address(page, "source", "run sample")
    comes_into_the_address(page, "doc", second)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_a_telephone(opener: Opener, warm: str, tmp_path: Path, scheme: str) -> None:
    pictures = Path(os.environ.get("ADAPLER_SCREENSHOTS") or tmp_path)
    pictures.mkdir(parents=True, exist_ok=True)
    page = opener(options={"viewport": SMALL, "color_scheme": scheme}, layer="3")
    wide = {}
    for path in PAGES:
        page.set_viewport_size(SMALL)
        visit(page, link(warm, path, **({} if path else {"layer": "3"})))
        # Streamlit scrolls its main region, not the document.
        wide[path] = page.evaluate(
            """() => [document.documentElement, document.querySelector('[data-testid=stMain]')]
                 .map(box => box.scrollWidth - Math.min(innerWidth, box.clientWidth))"""
        )
        if path in ("", "compare"):
            for name, size in (("420", SMALL), ("1280", LARGE)):
                page.set_viewport_size(size)
                page.wait_for_timeout(200)
                page.screenshot(path=str(pictures / f"{path or 'document'}-{name}-{scheme}.png"))
    ink = page.evaluate("getComputedStyle(document.querySelector('[data-testid=stApp]')).color")
    assert (min(map(int, ink.strip("rgba()").split(",")[:3])) > 128) == (scheme == "dark")
    assert wide == {path: [0, 0] for path in PAGES}
