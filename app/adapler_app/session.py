"""What the pages share: runs opened once, the document that is chosen, errors in one line."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import streamlit as st

from adapler_app import link
from adapler_app.models import adapler_model, default_methods, live_predictions, own_model, titles
from adapler_app.opened import TEXT, Opened, Source, decoded, open_dataset, open_run, own_text, sources
from adapler_app.reading import OWN, clean
from eraser_eval.datasets import bundled
from eraser_eval.errors import MissingError, UserError, printable
from eraser_eval.records import Example, Prediction

Given = ParamSpec("Given")
# The environment in which 'adapler-explain view' starts the viewer.
RUNS, DATA = "ADAPLER_RUNS", "ADAPLER_DATA"
# What explains a document at once, without gradients, and what a longer one; the reader may ask for more.
QUICK = ("contribution", "attention")
QUICKEST = ("contribution",)
QUICK_UP_TO = 1_000
SAMPLE_TEXT = (
    "The plot is thin and the jokes are older than the cast .\n"
    "Still , the two leads are a joy to watch , and the last half hour is wonderful ."
)


def guarded(page: Callable[Given, None]) -> Callable[Given, None]:
    """``page``, with a user's errors shown as the one line that they are."""

    @wraps(page)
    def shown(*args: Given.args, **options: Given.kwargs) -> None:
        try:
            page(*args, **options)
        except UserError as error:
            st.error(as_text(printable(clean(str(error)))), icon=":material/error:")

    return shown


def as_text(text: str) -> str:
    """``text`` so that Streamlit's Markdown shows every character of it as it is."""
    # Streamlit makes arrows, dashes and links of some signs even where they are escaped: a joiner keeps them apart.
    apart = re.sub(r"(?<!\S)(?:<->|->|<-|--|>=|<=|~=)(?!\S)", lambda found: "\u2060".join(found[0]), text)
    apart = re.sub(r"(?<=www)(?=\.)|(?<=:)(?=//)|(?<=@)", "\u2060", apart)
    return "".join(f"\\{sign}" if sign in r"\`*_{}[]<>()#+-.!|$:~^=&" else sign for sign in apart)


# ---------------------------------------------------------------- what is open


def data_root() -> Path | None:
    """Where releases are, or None."""
    return Path(os.environ[DATA]) if os.environ.get(DATA) else None


def runs_folder() -> Path:
    """The folder of run folders."""
    return Path(os.environ.get(RUNS) or "runs")


@st.cache_resource(show_spinner="Opening the run …", max_entries=8)
def _run(name: str, folder: str, changed: float, root: Path | None) -> Opened:
    del changed
    return open_run(name, Path(folder), root)


@st.cache_resource(show_spinner="Reading the documents …", max_entries=8)
def _dataset(source: Source, root: Path | None) -> Opened:
    return open_dataset(source, root)


def known_sources() -> dict[str, Source]:
    """What can be opened, by name: data sets, runs, and what the reader added."""
    found = sources(runs_folder(), data_root(), adapler_model().labels)
    added: Mapping[str, Source] = st.session_state.get("added_sources", {})
    return {source.name: source for source in found} | dict(added)


def opened_names() -> list[str]:
    """The names of everything with documents."""
    return [*known_sources(), *st.session_state.get("added", {})]


def opened(name: str) -> Opened:
    """What is called ``name``, read once.

    Raises:
        UserError: there is nothing of that name, or it is broken.
    """
    if name in st.session_state.get("added", {}):
        found: Opened = st.session_state["added"][name]
        return found
    source = known_sources().get(name)
    if source is None:
        raise MissingError(f"{name}: nothing of this name is here; choose another source")
    if source.folder is None:
        return _dataset(source, data_root())
    metrics = source.folder / "metrics.json"
    if not metrics.is_file():
        raise MissingError(f"{source.folder}: not a finished run (no metrics.json); finish it with 'eval --resume'")
    return _run(name, str(source.folder), metrics.stat().st_mtime, data_root())


def add_run(path: Path) -> str:
    """The name under which the run at ``path`` can be opened from now on, by this reader.

    Raises:
        UserError: it is not the folder of a run.
    """
    folder = path.expanduser()
    name = f"run {folder.resolve().name}"
    known = known_sources().get(name)
    if known is not None and known.folder is not None and known.folder.resolve() != folder.resolve():
        name = f"run {folder.resolve()}"
    open_run(name, folder, data_root())
    st.session_state["added_sources"] = st.session_state.get("added_sources", {}) | {name: Source(name, folder)}
    return name


def add_opened(made: Opened) -> None:
    """Let ``made`` be chosen on every page by this reader."""
    st.session_state["added"] = st.session_state.get("added", {}) | {made.name: made}


# ---------------------------------------------------------------- the document of a page


def choose_source(with_text: bool = True) -> str:
    """The source that the reader chose, in the sidebar; the address holds it."""
    names = [*opened_names(), *([TEXT] if with_text else [])]
    if not names:
        raise MissingError("nothing can be opened here; make a run with 'adapler-explain eval --dataset movies'")
    _check_link("source", names, "which is not here")
    link.begin("source", link.one_of(names))
    chosen = st.sidebar.selectbox("Documents", names, key="source", on_change=link.changed, args=("source",))
    return link.hold("source", str(chosen))


def choose_document() -> tuple[Opened | None, Example]:
    """The document that the reader chose in the sidebar, and the source that it is from (None: a text of their own).

    Raises:
        UserError: the source or the text cannot be read.
    """
    name = choose_source()
    if name == TEXT:
        return None, _own_text()
    source = opened(name)
    identifiers = [example.id for example in source.split.examples]
    _check_link("doc", identifiers, f"which is not in {name}")
    link.begin("doc", link.one_of(identifiers))
    chosen = st.sidebar.selectbox("Document", identifiers, key="doc", on_change=link.changed, args=("doc",))
    return source, source.example(link.hold("doc", str(chosen)))


def _check_link(name: str, known: list[str], trouble: str) -> None:
    """Say so where the link that the reader came by names what is not here; what is known takes its place."""
    if st.session_state.get(f"checked_{name}"):
        return
    st.session_state[f"checked_{name}"] = True
    asked = st.query_params.get(name)
    if asked is not None and asked not in known:
        st.toast(as_text(f"The link names {clean(asked)!r}, {trouble}."), icon=":material/link_off:", duration="long")


def _own_text() -> Example:
    given = st.file_uploader("A text file (UTF-8), or write below", type=["txt"], key="upload", max_upload_size=5)
    kept, page = st.session_state.get("own_text", SAMPLE_TEXT), st.session_state.get("page")
    # Streamlit forgets what stands in a box when another page is opened, unless it is set.
    renew = "text" not in st.session_state or st.session_state.get("text_seen_on") != page
    if given is not None and st.session_state.get("upload_read") != given.file_id:
        kept, renew = decoded(given.getvalue(), given.name), True
        st.session_state["upload_read"] = given.file_id
    if renew:
        st.session_state["text"] = kept
    st.session_state["text_seen_on"] = page
    st.session_state["own_text"] = st.text_area("Your text (one sentence a line)", key="text", height=140)
    return own_text(st.session_state["own_text"])


def predictions_for(source: Opened | None, example: Example) -> dict[str, Prediction]:
    """What is known of ``example``: its run's predictions, else those that the viewer's model makes now."""
    if source is not None and source.predictions:
        found = source.of(example)
        if not found:
            raise MissingError(f"{example.id}: {source.name} has no prediction for this document")
        return found
    if source is not None:
        _check_classes(source)
    every = [method for method in default_methods() if method != OWN]
    short = len(example.words) <= QUICK_UP_TO
    few = [method for method in every if method in (QUICK if short else QUICKEST)]
    wanted = st.sidebar.multiselect(
        "Also explain with",
        every,
        few,
        format_func=lambda method: titles()[method],
        key="explain_with" if short else "explain_long_with",
    )
    with st.spinner("Explaining …"):
        return live_predictions(example, [method for method in every if method in wanted])


def model_for(source: Opened | None) -> str | None:
    """The path of the model that made the source's predictions, or that would; None where it is not here."""
    if source is None or not source.predictions:
        return own_model()
    for path in (source.model or str(bundled("models/adapler-movies")), own_model()):
        try:
            # A run may name a model of the hub, which the viewer does not fetch.
            if not Path(path).is_dir():
                continue
            if source.model_checksum and adapler_model(path).checksum == source.model_checksum:
                return path
        except UserError:
            continue
    return None


def _check_classes(source: Opened) -> None:
    labels = adapler_model().labels
    if set(labels) != set(source.split.info.labels):
        raise UserError(
            f"the viewer's model knows the classes {', '.join(labels)}, not those of {source.split.info.title}; "
            "start the viewer with --model"
        )


def show_query(example: Example) -> None:
    """What the model reads in front of the document, where there is something."""
    if example.query:
        st.caption(as_text(f"Query: {clean(example.query)}"))


def link_layer(layers: int, otherwise: int) -> int:
    """The layer that the link asks for, of ``layers``."""
    asked: Any = st.query_params.get("layer", "")
    return min(int(asked), layers) if asked.isascii() and asked.isdigit() and len(asked) < 4 else otherwise
