"""One document: what became of each word, layer by layer."""

from __future__ import annotations

import streamlit as st

from adapler_app import exports
from adapler_app.components import word_strip
from adapler_app.models import titles, traced
from adapler_app.opened import Opened
from adapler_app.reading import Reading, clean, has_layers, reading, strip_data, word_table
from adapler_app.session import as_text, choose_document, link_layer, model_for, predictions_for, show_query
from eraser_eval.errors import MissingError

ROWS = 500


def document() -> None:
    """The page."""
    source, example = choose_document()
    predictions = predictions_for(source, example)
    if not has_layers(predictions):
        raise MissingError(
            f"{source.name if source else example.id}: has no predictions of AdapLeR, whose layers are shown here; "
            "open it on the page 'Compare methods'"
        )
    model = model_for(source)
    point = source.operating_point if source is not None else 1.0
    seen = reading(example, predictions, traced(example, model, point) if model else None)
    st.title(as_text(clean(example.id)))
    asked = source.manifest.get("layer") if source is not None else None
    # Of a run with --layer, the rationale is what is left after that layer.
    last = asked + 1 if isinstance(asked, int) and 0 <= asked < seen.layers else seen.layers
    with st.container(horizontal=True, gap="medium"):
        for title, value, note in facts(seen, last):
            st.metric(title, as_text(value), help=as_text(note), width="content")
    about(source, seen, last)
    show_query(example)
    layer = link_layer(seen.layers, last)
    data = strip_data(seen, titles(), layer=layer, link=True)
    strip, table, static = st.tabs(["Strip and text", "Table", "Static text"], key="tab", on_change="rerun")
    with strip:
        word_strip(data, key="strip")
        downloads(seen, data, facts(seen, last), layer)
    with table:
        if table.open:
            word_rows(seen)
    with static:
        if static.open:
            chosen = st.select_slider("After layer", range(seen.layers + 1), layer, key="static_layer")
            st.html(exports.static_view(seen, chosen))


def facts(seen: Reading, last: int) -> list[tuple[str, str, str]]:
    """Title, value and note of each figure above the strip; the rationale is what is left after layer ``last``."""
    words = len(seen.fell)
    probability = "" if seen.probability is None else f" {seen.probability:.0%}"
    people = f"People say {seen.example.label}." if seen.example.label else "Nobody labelled this text."
    rows = [
        (
            "Prediction",
            f"{clean(seen.label)}{probability}",
            f"The class that the pruned model gives. {clean(people)}",
        ),
        (
            "Words kept",
            f"{int(seen.kept.sum())} of {words}",
            f"AdapLeR's rationale: what is left after layer {last}.",
        ),
        ("Fewer FLOPs", f"{seen.speedup:.2f}×" if seen.speedup else "–", "Operations without removal over with it."),
    ]
    if seen.is_marked:
        f1 = "–" if seen.token_f1 is None else f"{seen.token_f1:.3f}"
        fpr = "–" if seen.fpr is None else f"{seen.fpr:.3f}"
        rows.append(("Token F1", f1, "Kept words against the words people marked."))
        rows.append(("False-positive rate", fpr, "Share of the words people did not mark that are kept."))
    return rows


def about(source: Opened | None, seen: Reading, last: int) -> None:
    """Where the document and the figures are from, and what is not known."""
    origin = (
        "Your own text" if source is None else f"{source.split.info.title}, {source.split.name}, {source.split.source}"
    )
    notes = [clean(origin)]
    if seen.example.label and seen.example.label != seen.label:
        notes.append(f"the prediction is wrong: people say {clean(seen.example.label)}")
    if source is not None and not seen.is_marked:
        notes.append("people marked no word of this document")
    if last < seen.layers:
        notes.append(f"this run's rationale is what is left after layer {last} of {seen.layers}")
    if len(seen.example.documents) > 1:
        notes.append(f"documents: {', '.join(clean(document.docid) for document in seen.example.documents)}")
    if seen.trace is None:
        notes.append("contributions are not shown: the model that made these predictions is not here")
    st.caption(as_text("; ".join(notes)))


def word_rows(seen: Reading) -> None:
    """The table of all words, ``ROWS`` at a time."""
    table = word_table(seen, titles())
    first = 0
    if len(table) > ROWS:
        starts = list(range(0, len(table), ROWS))
        first = st.selectbox(
            "Words", starts, format_func=lambda a: f"{a + 1} to {min(a + ROWS, len(table))}", key="rows"
        )
    st.html(exports.table_markup(table, int(first), ROWS))


def downloads(seen: Reading, data: dict[str, object], rows: list[tuple[str, str, str]], layer: int) -> None:
    """Buttons that save the view; each file is made when it is asked for."""
    name = seen.example.id
    page_data = {key: value for key, value in data.items() if key != "link"}
    with st.container(horizontal=True):
        for label, ending, mime, make in (
            (
                "HTML page",
                "html",
                "text/html",
                lambda: exports.page(seen, page_data, {title: value for title, value, _ in rows}, layer),
            ),
            ("PNG of the strip", "png", "image/png", lambda: exports.strip_picture(seen, "png")),
            ("SVG of the strip", "svg", "image/svg+xml", lambda: exports.strip_picture(seen, "svg")),
            ("CSV of the scores", "csv", "text/csv", lambda: exports.scores_csv(seen, titles())),
        ):
            st.download_button(
                label,
                make,
                exports.file_name(name, ending),
                mime,
                key=f"save_{ending}",
                on_click="ignore",
                icon=":material/download:",
            )
