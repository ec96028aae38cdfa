"""Bring your own: run folders, prediction files of anyone's; and two runs document by document."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from adapler_app import link, overview
from adapler_app.comparison import compare, compare_data
from adapler_app.components import pick_row, side_by_side
from adapler_app.models import titles
from adapler_app.opened import Opened, open_predictions
from adapler_app.session import add_opened, add_run, as_text, guarded, opened, opened_names
from eraser_eval import score
from eraser_eval.datasets import load
from eraser_eval.errors import DataError, UserError

MOST_MEGABYTES = 200


def runs() -> None:
    """The page."""
    st.title("Runs")
    names = opened_names()
    folder, files = st.tabs(["Open a run folder", "Open prediction files"])
    with folder:
        guarded(open_folder)()
    with files:
        guarded(open_files)(names)
    st.subheader("Two runs, document by document")
    two_runs(names)


def open_folder() -> None:
    """A run folder by its path on the machine where the viewer runs."""
    with st.form("folder"):
        path = st.text_input(
            "Folder that 'adapler-explain eval' wrote", key="folder_path", placeholder="runs/movies-test"
        )
        if st.form_submit_button("Open") and path.strip():
            st.success(as_text(f"{add_run(Path(path.strip()))} can be chosen on every page now."))


def open_files(names: list[str]) -> None:
    """Prediction files in ERASER's format, with a data set's documents or uploaded ones."""
    given = st.file_uploader(
        "Prediction files (ERASER's format, .jsonl)", ["jsonl"], True, key="files", max_upload_size=MOST_MEGABYTES
    )
    sources = ["uploaded: a table of documents", *names]
    about = st.selectbox("Documents", sources, min(1, len(sources) - 1), key="files_of")
    table = None
    if about == sources[0]:
        table = st.file_uploader(
            "Documents: a table with text, label and perhaps rationale (.jsonl, .csv, .tsv)",
            ["jsonl", "csv", "tsv"],
            key="files_documents",
            max_upload_size=MOST_MEGABYTES,
        )
    if not given or (about == sources[0] and table is None):
        st.caption("Choose prediction files and the documents that they are about.")
        return
    # The same files again are not read again.
    stamp = (about, *(file.file_id for file in (*given, *([table] if table is not None else []))))
    if st.session_state.get("files_read") != stamp:
        made = read_uploaded(given, table, None if table is not None else opened(str(about)))
        add_opened(made)
        st.session_state["files_read"], st.session_state["files_name"] = stamp, made.name
        st.rerun()
    st.success(as_text(f"{st.session_state['files_name']} can be chosen on every page now."))


def read_uploaded(given: Sequence[Any], table: Any, source: Opened | None) -> Opened:
    """Uploaded prediction files with the documents of ``source``, or of an uploaded table.

    Raises:
        UserError: a file cannot be read; it is named as the reader knows it.
    """
    with tempfile.TemporaryDirectory() as folder:

        def kept(file: Any, number: int) -> Path:
            path = Path(folder) / str(number) / Path(file.name).name
            path.parent.mkdir()
            path.write_bytes(file.getvalue())
            return path

        try:
            split = source.split if source is not None else load(str(kept(table, 0)), "test")
            paths: dict[str, Path] = {}
            for number, file in enumerate(given, start=1):
                path = kept(file, number)
                paths[path.stem if path.stem not in paths else f"{path.stem} ({number})"] = path
            return open_predictions(f"upload {' + '.join(paths)}", split, paths)
        except DataError as error:
            raise DataError("upload", re.sub(rf"{re.escape(folder)}/\d+/", "", str(error))) from None
        except UserError as error:
            raise UserError(re.sub(rf"{re.escape(folder)}/\d+/", "", str(error))) from None


def two_runs(names: list[str]) -> None:
    """Two methods of two runs (or of one), on the documents that both have."""
    able = [name for name in names if name.startswith("run ") or name in st.session_state.get("added", {})]
    if not able:
        st.info("Open a run first, or make one with `adapler-explain eval --dataset movies`.")
        return
    columns = st.columns(2)
    sides = []
    for side, column in zip("AB", columns, strict=True):
        key = f"run_{side}"
        link.begin(key, link.one_of(able))
        first = min("AB".index(side), len(able) - 1) if key not in st.session_state else 0
        name = link.hold(
            key, column.selectbox(f"Run {side}", able, first, key=key, on_change=link.changed, args=(key,))
        )
        run = opened(str(name))
        method = column.selectbox(
            f"Method {side}",
            list(run.predictions),
            format_func=lambda m: titles().get(m, m),
            key=f"method_{side}",
        )
        sides.append((run, str(method)))
    (one, first_method), (two, second_method) = sides
    try:
        table = overview.differences(*(_rows(run, method) for run, method in sides))
    except ValueError as error:
        raise DataError(one.name, str(error)) from None
    if table.empty:
        st.info("The two have no document in common.")
        return
    key = f"differences_{one.name}_{first_method}_{two.name}_{second_method}"
    place = pick_row(table, key, "Documents of both runs") or 0
    example = one.example(str(table.loc[place, "annotation_id"]))
    if two.example(example.id).words != example.words:
        raise DataError(two.name, f"{example.id!r} has other words than in {one.name}")
    st.markdown(f"**{as_text(example.id)}**")
    pair = {
        f"A: {one.name}, {titles().get(first_method, first_method)}": one.predictions[first_method][example.id],
        f"B: {two.name}, {titles().get(second_method, second_method)}": two.predictions[second_method][example.id],
    }
    side_by_side(compare_data(example, compare(example, pair, None), {}), key="two_sides")


def _rows(run: Opened, method: str) -> pd.DataFrame:
    """The run's rows for ``method``, from its table or computed now."""
    made = run.predictions[method]
    table = run.table
    if table is None:
        table = score.per_document(run.split.examples, {method: list(made.values())})
    rows = overview.documents(table, method, "as in the file")
    return rows[rows["annotation_id"].isin(list(made))]
