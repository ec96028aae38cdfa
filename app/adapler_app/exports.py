"""What can be taken away: a page that works by itself, the strip as a picture, the scores as a table."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import warnings
from collections.abc import Mapping
from html import escape
from pathlib import Path
from threading import Lock
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from adapler_app.reading import Reading, breaks, clean, fate, word_table
from eraser_eval.plots import STYLE
from eraser_eval.records import BoolArray

PACKAGE = Path(__file__).parent
# Matplotlib's settings and Python's warnings are those of the whole process, which draws for several readers.
_DRAWING = Lock()
KEPT, DROPPED, MARKED = "#0072B2", "#E5E5E5", "#D55E00"


def component_script(name: str) -> str:
    """The JavaScript of a component: what all share, and its own."""
    return "\n".join((PACKAGE / f"{part}.js").read_text(encoding="utf-8") for part in ("text", name))


def component_style(name: str) -> str:
    """The style sheet of a component: what all share, and its own."""
    return "\n".join((PACKAGE / f"{part}.css").read_text(encoding="utf-8") for part in ("text", name))


def markup(reading: Reading, layer: int) -> str:
    """The document as HTML without scripts: words left after ``layer`` layers are tinted, the others struck through.

    What people marked is underlined, and said in words for those who do not see it.
    """
    gold, starts = reading.example.gold_mask, set(breaks(reading.example))
    parts = []
    for place, word in enumerate(reading.example.words):
        state = "kept" if reading.fell[place] >= layer else "gone"
        note = fate(int(reading.fell[place]), reading.layers) + (", marked by people" if gold[place] else "")
        shown = escape(clean(word))
        tag = ("mark", "del")[state == "gone"]
        cell = f"<u>{shown}</u>" if gold[place] else shown
        parts.append("</p><p>" if place in starts else "")
        parts.append(f'<{tag} title="{note}"><bdi>{cell}</bdi></{tag}> ')
    return f"<p>{''.join(parts)}</p>"


STATIC_STYLE = (
    "<style>.adapler-static p{line-height:1.9;margin:0 0 .3em}.adapler-static bdi{overflow-wrap:anywhere}"
    ".adapler-static mark{background:rgb(86 180 233/.35);color:inherit;border-radius:3px;padding:0 .1em}"
    ".adapler-static del{opacity:.62}.adapler-static u{text-decoration:underline 3px #D55E00;text-underline-offset:3px}"
    "</style>"
)


def static_view(reading: Reading, layer: int) -> str:
    """:func:`markup` with its style and a sentence that says what is seen."""
    left = reading.left[layer]
    summary = f"{left} of {len(reading.fell)} words left after layer {layer}" if layer else "All words, before layer 1"
    return f'{STATIC_STYLE}<div class="adapler-static"><p><b>{summary}</b></p>{markup(reading, layer)}</div>'


def page(reading: Reading, data: Mapping[str, Any], facts: Mapping[str, str], layer: int) -> str:
    """One HTML file that shows the document as the viewer does, without a server and without the network.

    Args:
        reading: the document.
        data: of the word strip, see :func:`adapler_app.reading.strip_data`.
        facts: title to value, above the text.
        layer: where it begins.
    """
    # The module's one export becomes a function of the page.
    script = component_script("strip").replace("export default function", "function show", 1)
    script += "\nconst view = document.getElementById('view'); view.replaceChildren();"
    script += "\nshow({parentElement: view, data: JSON.parse(document.getElementById('data').textContent)});\n"
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    content = json.dumps(dict(data) | {"layer": layer}, ensure_ascii=False)
    for sign in "<>&\u2028\u2029":
        content = content.replace(sign, f"\\u{ord(sign):04x}")
    rows = "".join(f"<div><dt>{escape(clean(k))}</dt><dd>{escape(clean(v))}</dd></div>" for k, v in facts.items())
    title = escape(clean(reading.example.id))
    policy = f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data: blob:"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title} – adapler-explain</title>"
        f"<style>{(PACKAGE / 'page.css').read_text(encoding='utf-8')}\n{component_style('strip')}</style></head>"
        f'<body><main><h1>{title}</h1><dl>{rows}</dl><div id="view">{static_view(reading, layer)}</div></main>'
        f'<script type="application/json" id="data">{content}</script>'
        f"<script>{script}</script></body></html>\n"
    )


def strip_figure(reading: Reading) -> Figure:
    """The strip for a paper: words as columns, layers as rows, alive or dropped; what people marked above."""
    words = len(reading.fell)
    alive = reading.fell[None] > np.arange(reading.layers)[:, None]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 0.9 + 0.24 * (reading.layers + reading.is_marked)), layout="constrained")
        axes = figure.add_subplot()
        for layer, row in enumerate(alive):
            axes.broken_barh(_runs(~row), (layer + 0.55, 0.9), color=DROPPED, linewidth=0)
            axes.broken_barh(_runs(row), (layer + 0.55, 0.9), color=KEPT, linewidth=0)
        handles = [Patch(color=KEPT, label="processed"), Patch(color=DROPPED, label="dropped")]
        ticks = list(range(1, reading.layers + 1))
        names = [str(layer) for layer in ticks]
        if reading.is_marked:
            axes.broken_barh(_runs(reading.example.gold_mask), (-0.45, 0.9), color=MARKED, linewidth=0)
            handles.append(Patch(color=MARKED, label="marked by people"))
            ticks, names = [0, *ticks], ["people", *names]
        axes.set(xlim=(0, words), ylim=(reading.layers + 0.6, -0.6 if reading.is_marked else 0.4))
        axes.set(xlabel="word", ylabel="layer")
        axes.set_yticks(ticks, names)
        axes.tick_params(axis="y", length=0)
        figure.suptitle(clean(reading.example.id), fontsize=8, parse_math=False)
        figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=7)
    return figure


def strip_picture(reading: Reading, kind: str) -> bytes:
    """:func:`strip_figure` as ``png`` (200 dots an inch) or ``svg``."""
    metadata = {"png": {"Software": None}, "svg": {"Date": None}}[kind]
    stream = io.BytesIO()
    with _DRAWING, matplotlib.rc_context(STYLE), warnings.catch_warnings():
        # The picture's font lacks the letters of some ids; they are drawn as boxes.
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        strip_figure(reading).savefig(stream, format=kind, dpi=200, metadata=metadata)
    return stream.getvalue()


def scores_csv(reading: Reading, titles: Mapping[str, str]) -> str:
    """:func:`adapler_app.reading.word_table` as CSV; words that a spreadsheet would compute get an apostrophe."""
    table = word_table(reading, titles)
    table["word"] = [f"'{word}" if len(word) > 1 and word[0] in "=+-@" else word for word in table["word"]]
    text: str = table.to_csv()
    return text


def file_name(identifier: str, ending: str) -> str:
    """A file name made of a document's id: letters, digits, ``.``, ``-`` and ``_``, at most 80 of them.

    >>> file_name("../a<b>.txt", "svg")
    'a_b_.txt.svg'
    """
    safe = re.sub(r"[^A-Za-z0-9.-]+", "_", identifier).strip("._")[:80]
    return f"{safe or 'document'}.{ending}"


def table_markup(table: Any, first: int, count: int) -> str:
    """``count`` rows of a word table from row ``first`` (from 0) as an HTML table that screen readers can walk."""
    part = table.iloc[first : first + count]
    head = "".join(f'<th scope="col">{escape(str(name))}</th>' for name in ("place", *part.columns))
    rows = []
    for place, values in zip(part.index, part.itertuples(index=False), strict=True):
        cells = "".join(f"<td><bdi>{escape(_cell(value))}</bdi></td>" for value in values[1:])
        rows.append(f'<tr><td>{place}</td><th scope="row"><bdi>{escape(str(values[0]))}</bdi></th>{cells}</tr>')
    return (
        "<style>.adapler-table{overflow-x:auto}.adapler-table table{border-collapse:collapse;font-size:.85rem}"
        ".adapler-table th,.adapler-table td{padding:.2rem .6rem;text-align:right;border-bottom:1px solid rgb(128 128 "
        "128/.3);white-space:nowrap}.adapler-table th[scope=row]{text-align:left;max-width:20em;overflow-wrap:anywhere;"
        'white-space:normal}</style><div class="adapler-table" tabindex="0" role="region" aria-label="Words"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:.3g}"
    return str(value)


def _runs(mask: BoolArray) -> list[tuple[int, int]]:
    """Where ``mask`` is True, as (first, count)."""
    changes = np.flatnonzero(np.diff(np.concatenate(([0], mask.astype(np.int8), [0]))))
    return [(int(a), int(b - a)) for a, b in zip(changes[::2], changes[1::2], strict=True)]
