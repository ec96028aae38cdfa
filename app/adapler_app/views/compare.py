"""One document, all methods side by side at one budget of words."""

from __future__ import annotations

import streamlit as st

from adapler_app import link
from adapler_app.comparison import BUDGETS, annotators, compare, compare_data, figures_table, words_of
from adapler_app.components import side_by_side
from adapler_app.models import titles
from adapler_app.reading import OWN, clean
from adapler_app.session import as_text, choose_document, predictions_for, show_query
from eraser_eval.records import Example, Prediction

AT_FIRST = 3


def compare_methods() -> None:
    """The page."""
    source, example = choose_document()
    predictions = predictions_for(source, example) | annotators(example)
    st.title(as_text(clean(example.id)))
    names = titles()
    link.begin("methods", link.some_of(list(predictions)))
    chosen = link.hold(
        "methods",
        st.multiselect(
            "Methods",
            list(predictions),
            list(predictions)[:AT_FIRST] if "methods" not in st.session_state else None,
            format_func=lambda method: names.get(method, method),
            key="methods",
            on_change=link.changed,
            args=("methods",),
        ),
    )
    count = budget_of(example, predictions)
    compared = compare(example, {method: predictions[method] for method in predictions if method in chosen}, count)
    if not compared:
        st.info("Choose a method.")
        return
    unmarked = "" if example.gold_mask.any() else "; people marked no word of this document"
    own = "each method's own rationale" if count is None else f"{count} of {len(example.words)} words for every method"
    missing = [names.get(m, m) for m in chosen if m in predictions and m not in {row.method for row in compared}]
    without = f"; without a rationale: {', '.join(missing)}" if missing else ""
    st.caption(as_text(own + unmarked + without))
    show_query(example)
    side_by_side(compare_data(example, compared, names), key="side")
    with st.expander("All figures as a table"):
        table = figures_table(compared, names)
        table["method"] = table["method"].map(as_text)
        st.table(table.set_index("method"))


def budget_of(example: Example, predictions: dict[str, Prediction]) -> int | None:
    """The number of words that the reader grants every method; None: each its own."""
    own = predictions.get(OWN)
    impossible = {"adapler": own is None or own.spans is None, "gold": not example.gold_mask.any()}
    possible = [name for name in BUDGETS if not impossible.get(name)]
    link.begin("budget", link.one_of(possible))
    first = possible.index("adapler") if "adapler" in possible else 0
    columns = st.columns([2, 3])
    budget = columns[0].selectbox(
        "Words for each",
        possible,
        first if "budget" not in st.session_state else 0,
        format_func=BUDGETS.__getitem__,
        key="budget",
        on_change=link.changed,
        args=("budget",),
    )
    amount = 0.0
    with columns[1]:
        if budget == "words":
            amount = _slider("Number of words", len(example.words), 20, "count")
        elif budget == "share":
            amount = _slider("Share of the words in %", 100, 10, "share") / 100
    return words_of(link.hold("budget", str(budget)), amount, example, predictions)


def _slider(label: str, most: int, first: int, key: str) -> int:
    """A slider from 1 to ``most``; there is nothing to slide where that is 1."""
    if most == 1:
        return 1
    link.begin(key, link.number(1, most, int))
    if key not in st.session_state:
        st.session_state[key] = min(first, most)
    return link.hold(key, int(st.slider(label, 1, most, key=key, on_change=link.changed, args=(key,))))
