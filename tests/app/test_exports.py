"""What can be taken away: nothing in a text may become markup, and every export says what the strip says."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
import struct
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_reading import TITLES, own_prediction, seen, trace_of

from adapler_app.exports import (
    component_script,
    file_name,
    markup,
    page,
    scores_csv,
    static_view,
    strip_figure,
    strip_picture,
    table_markup,
)
from adapler_app.reading import OWN, Reading, clean, reading, strip_data, word_table
from eraser_eval.records import Document, Example, Span

HOSTILE = (
    "</script><script>alert(1)</script>",
    "<b>bold</b>",
    "<img src=x onerror=alert(1)>",
    "fish&chips;&lt;",
    '"><i title="',
    "line\u2028and\u2029paragraph",
    "half\ud83d",
    "\x00\x1b[31m",
    "\u202e\u05e9\u05dc\u05d5\u05dd",
    "<!--<script>",
    "$x^2$",
    "</title></style></textarea>",
)
OWN_TAGS = {"div", "p", "b", "style", "mark", "del", "u", "bdi"}
PAGE_TAGS = OWN_TAGS | {"html", "head", "meta", "title", "body", "main", "h1", "dl", "dt", "dd", "script"}


class Parsed(HTMLParser):
    """A page's tags, attributes, and the text in each of some elements."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[dict[str, str | None]] = []
        self.open: list[str] = []
        self.inside: dict[str, list[str]] = {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.append(dict(attrs))
        if tag != "meta":
            self.open.append(tag)
            self.inside.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        for tag in self.open[-1:]:
            self.inside[tag][-1] += data


def hostile_reading(words: tuple[str, ...] = HOSTILE) -> Reading:
    """Every fourth word is kept, and the first two are marked."""
    document = Document("d", (words,))
    example = Example("d", (document,), "POS", ((Span("d", 0, min(2, len(words))),),))
    return reading(example, {OWN: own_prediction(example, [0.5 + place % 4 for place in range(len(words))])})


def called(made: Reading, name: str) -> Reading:
    return replace(made, example=replace(made.example, id=name))


def words_in(parsed: Parsed) -> list[str]:
    """The words in reading order: in ``u`` where marked, else in ``bdi``."""
    marked = iter(parsed.inside.get("u", []))
    return [text or next(marked) for text in parsed.inside["bdi"]]


# ---------------------------------------------------------------- markup


def test_markup_by_hand() -> None:
    """After two layers words 2, 3 and 5 of six are left; 2 and 3 are marked; the second sentence begins at word 4."""
    assert markup(seen(), 2) == (
        '<p><del title="dropped at layer 1"><bdi>a</bdi></del> '
        '<mark title="kept to the end, marked by people"><bdi><u>good</u></bdi></mark> '
        '<mark title="dropped at layer 3, marked by people"><bdi><u>film</u></bdi></mark> '
        '</p><p><del title="dropped at layer 2"><bdi>but</bdi></del> '
        '<mark title="kept to the end"><bdi>bad</bdi></mark> '
        '<del title="dropped at layer 1"><bdi>end</bdi></del> </p>'
    )


@pytest.mark.parametrize(("layer", "left"), [(0, 6), (1, 4), (2, 3), (3, 2)])
def test_the_static_view_says_what_is_left(layer: int, left: int) -> None:
    parsed = Parsed(static_view(seen(), layer))
    expected = "All words, before layer 1" if layer == 0 else f"{left} of 6 words left after layer {layer}"
    assert parsed.inside["b"] == [expected]
    assert parsed.tags.count("mark") == left and parsed.tags.count("del") == 6 - left


def test_hostile_words_stay_words() -> None:
    parsed = Parsed(static_view(hostile_reading(), 1))
    assert set(parsed.tags) <= OWN_TAGS
    assert words_in(parsed) == [clean(word) for word in HOSTILE]
    # Right to left marks end with their word.
    assert parsed.tags.count("bdi") == len(HOSTILE)


words = st.lists(
    st.text(st.one_of(st.characters(), st.sampled_from("<>&\"'/!-\u2028\ud800\x00\u202e")), min_size=1),
    min_size=1,
    max_size=8,
)


@settings(max_examples=40, deadline=None)
@given(words, st.integers(0, 3))
def test_no_word_becomes_markup(drawn: list[str], layer: int) -> None:
    parsed = Parsed(markup(hostile_reading(tuple(drawn)), layer))
    assert set(parsed.tags) <= OWN_TAGS and words_in(parsed) == [clean(word) for word in drawn]
    assert all(set(attributes) <= {"title"} for attributes in parsed.attributes)


# ---------------------------------------------------------------- the page


def page_of(made: Reading, layer: int = 1, **facts: str) -> tuple[str, Parsed]:
    text = page(made, strip_data(made, TITLES), facts, layer)
    return text, Parsed(text)


def test_the_pages_data_are_the_strips() -> None:
    for made in (seen(trace_of()), hostile_reading()):
        _, parsed = page_of(made, 2)
        assert json.loads(parsed.inside["script"][0]) == strip_data(made, TITLES) | {"layer": 2}


def test_the_page_runs_its_own_script_and_nothing_else() -> None:
    text, parsed = page_of(hostile_reading())
    policy = next(a["content"] or "" for a in parsed.attributes if a.get("http-equiv") == "Content-Security-Policy")
    allowed = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    _, script = parsed.inside["script"]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert allowed["script-src"] == f"'sha256-{digest}'" and allowed["default-src"] == "'none'"
    # A file that a browser reads back byte by byte has the same script.
    assert script in text.encode().decode() and "\r" not in script
    assert not re.search(r"<!--|</script|\bexport\b|\bimport\b", script)
    assert "connect-src" not in allowed and not re.search(r"https?://(?!www\.w3\.org)", script)


def test_hostile_ids_and_facts_stay_text() -> None:
    made = called(hostile_reading(), "</title><script>alert(1)</script>\ud83d")
    _, parsed = page_of(made, **{"<i>fact</i>": "<b>&amp;\x00"})
    assert set(parsed.tags) <= PAGE_TAGS and parsed.tags.count("script") == 2
    assert parsed.inside["h1"] == [clean(made.example.id)]
    assert parsed.inside["title"] == [f"{clean(made.example.id)} – adapler-explain"]
    assert (parsed.inside["dt"], parsed.inside["dd"]) == (["<i>fact</i>"], ["<b>&amp;\ufffd"])


def test_the_page_can_be_read_without_scripts() -> None:
    text, parsed = page_of(seen(trace_of()), 3, Prediction="POS 80%")
    assert words_in(parsed) == ["a", "good", "film", "but", "bad", "end"]
    assert "2 of 6 words left after layer 3" in text and parsed.inside["dd"] == ["POS 80%"]


@settings(max_examples=40, deadline=None)
@given(words, st.text(max_size=10), st.text(max_size=10))
def test_no_page_holds_a_word_as_markup(drawn: list[str], name: str, value: str) -> None:
    made = called(hostile_reading(tuple(drawn)), name)
    text, parsed = page_of(made, 1, Fact=value)
    assert set(parsed.tags) <= PAGE_TAGS and parsed.tags.count("script") == 2
    content, _ = parsed.inside["script"]
    assert json.loads(content)["words"] == [clean(word) for word in drawn]
    assert not set("<>&\u2028\u2029") & set(content)
    assert text.encode("utf-8").decode("utf-8") == text


def test_components_share_one_script() -> None:
    """What makes elements never parses HTML."""
    for name in ("strip", "compare"):
        script = component_script(name)
        assert script.count("export default function") == 1
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", script)


# ---------------------------------------------------------------- the picture


def test_the_picture_as_png() -> None:
    content = strip_picture(seen(), "png")
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", content[16:24])
    # 7.2 inches at 200 dots; 0.9 inches and 0.24 for each of three layers and for people.
    assert (width, height) == (1440, 372)


def test_the_picture_as_svg_is_vectors() -> None:
    root = ET.fromstring(strip_picture(seen(), "svg"))
    tags = [element.tag.rpartition("}")[2] for element in root.iter()]
    assert root.tag.endswith("}svg") and "image" not in tags and tags.count("path") > 6


def test_pictures_are_the_same_every_time() -> None:
    assert strip_picture(seen(), "svg") == strip_picture(seen(), "svg")


def test_the_strip_has_a_row_for_each_layer_and_one_for_people() -> None:
    labels = lambda made: [tick.get_text() for tick in strip_figure(made).axes[0].get_yticklabels()]  # noqa: E731
    assert labels(seen()) == ["people", "1", "2", "3"] and labels(seen(marked=())) == ["1", "2", "3"]


def test_the_rows_hold_the_words_that_a_layer_processes() -> None:
    """Layer 1 of the strip: words 2 to 5 of six are processed, 1 and 6 are not; layer 3: words 2 and 5."""
    axes = strip_figure(seen()).axes[0]
    rows = [
        sorted((path.get_extents().x0, path.get_extents().x1) for path in part.get_paths()) for part in axes.collections
    ]
    assert rows[0] == [(0, 1), (5, 6)] and rows[1] == [(1, 5)]
    assert rows[4] == [(0, 1), (2, 4), (5, 6)] and rows[5] == [(1, 2), (4, 5)]
    assert rows[6] == [(1, 3)]


@pytest.mark.parametrize("name", ["<b>&\x00\x1b", "$\\frac{1}$ $", "\ud83d", "\u202eא", "映画", "x" * 300])
def test_a_picture_of_any_name(name: str) -> None:
    """Neither markup nor mathematics, and no warning about letters that the font lacks."""
    root = ET.fromstring(strip_picture(called(seen(), name), "svg"))
    assert root.tag.endswith("}svg")


# ---------------------------------------------------------------- tables and names


def test_the_csv_says_what_the_table_says() -> None:
    made = seen(trace_of())
    rows = list(csv.DictReader(io.StringIO(scores_csv(made, TITLES))))
    assert [row["word"] for row in rows] == list(made.example.words) and rows[0]["place"] == "1"
    assert [float(row["score, Attention"]) for row in rows] == [1, 6, 2, 3, 5, 4]
    assert rows[1]["contribution, layer 3"] == "1.1" and rows[0]["contribution, layer 2"] == ""
    hostile = list(csv.DictReader(io.StringIO(scores_csv(hostile_reading(), {}))))
    assert [row["word"] for row in hostile] == [clean(word) for word in HOSTILE]


@pytest.mark.parametrize("word", ["=HYPERLINK(1)", "+1", "-cmd", "@SUM(1)"])
def test_a_spreadsheet_computes_no_word(word: str) -> None:
    example = Example("x", (Document("d", ((word, "-", "plain"),)),), "POS")
    made = reading(example, {OWN: own_prediction(example, [1.5, 2.5, 3.5])})
    rows = list(csv.DictReader(io.StringIO(scores_csv(made, {}))))
    assert [row["word"] for row in rows] == [f"'{word}", "-", "plain"]


def test_the_table_as_html() -> None:
    text = table_markup(word_table(seen(trace_of()), TITLES), 1, 2)
    parsed = Parsed(text)
    assert parsed.tags.count("tr") == 3 and parsed.inside["bdi"][0] == "good"
    scopes = [attributes.get("scope") for attributes in parsed.attributes if "scope" in attributes]
    assert scopes == ["col"] * 12 + ["row"] * 2 and parsed.inside["th"][:2] == ["place", "word"]
    assert "1.5" in parsed.inside["bdi"] and "nan" not in text


def test_hostile_words_and_titles_in_the_table() -> None:
    made = hostile_reading()
    titled = reading(
        made.example,
        {OWN: own_prediction(made.example, made.fell + 0.5), "a": own_prediction(made.example, [1.0] * len(made.fell))},
    )
    parsed = Parsed(table_markup(word_table(titled, {"a": "<script>x</script>"}), 0, 100))
    assert set(parsed.tags) == {"style", "div", "table", "thead", "tbody", "tr", "th", "td", "bdi"}
    assert [text for text in parsed.inside["bdi"] if text in {clean(word) for word in HOSTILE}] == [
        clean(word) for word in HOSTILE
    ]
    assert parsed.inside["th"][5] == "score, <script>x</script>"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.txt", "a.txt.png"),
        ("../../etc/passwd", "etc_passwd.png"),
        ("C:\\windows\\x", "C_windows_x.png"),
        ("映画", "document.png"),
        ("", "document.png"),
        ("...", "document.png"),
        ("-rf", "-rf.png"),
    ],
)
def test_file_names(name: str, expected: str) -> None:
    assert file_name(name, "png") == expected


@settings(max_examples=40, deadline=None)
@given(st.text(st.one_of(st.characters(), st.sampled_from("./\\:\x00\n~"))))
def test_no_file_name_is_a_path(name: str) -> None:
    made = file_name(name, "svg")
    assert Path(made).name == made and re.fullmatch(r"[A-Za-z0-9-][A-Za-z0-9._-]*\.svg", made) and len(made) <= 84


def test_the_examples_of_this_file_have_what_it_needs() -> None:
    made = hostile_reading()
    assert set(made.fell.tolist()) == {0, 1, 2, 3} and made.is_marked
