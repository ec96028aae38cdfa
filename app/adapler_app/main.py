"""What Streamlit runs: ``adapler-explain view``, or ``streamlit run app/adapler_app/main.py``."""

from pathlib import Path

import streamlit as st

from adapler_app.session import guarded
from adapler_app.views.about import about
from adapler_app.views.compare import compare_methods
from adapler_app.views.dataset import data_set
from adapler_app.views.document import document
from adapler_app.views.runs import runs
from adapler_app.views.whatif import what_if

st.set_page_config("adapler-explain", Path(__file__).with_name("icon.svg"), layout="wide")
st.html(
    "<style>.stMainBlockContainer { padding-top: 3.5rem; }"
    ".stMarkdown table { display: block; overflow-x: auto; }</style>"
)
PAGES = (
    ("document", "Document", "article", document),
    ("compare", "Compare methods", "compare", compare_methods),
    ("data-set", "Data set", "bar_chart", data_set),
    ("what-if", "What if", "tune", what_if),
    ("runs", "Runs", "folder_open", runs),
    ("about", "About", "info", about),
)
pages = {
    path: st.Page(guarded(page), title=title, icon=f":material/{icon}:", url_path=path, default=path == "document")
    for path, title, icon, page in PAGES
}
st.session_state["pages"] = pages
chosen = st.navigation(list(pages.values()))
st.session_state["page"] = chosen.url_path
chosen.run()
