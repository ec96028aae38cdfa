"""What if the thresholds were higher, or a word were not there?"""

from __future__ import annotations

import numpy as np
import streamlit as st

from adapler_app.components import word_strip
from adapler_app.models import adapler_model, own_model, titles, traced
from adapler_app.opened import Opened
from adapler_app.reading import clean, strip_data
from adapler_app.session import as_text, choose_document, guarded, trace_for, with_words
from adapler_app.whatif import changed
from eraser_eval.errors import MissingError
from eraser_eval.records import Example


def what_if() -> None:
    """The page."""
    source, example = choose_document()
    st.title(as_text(clean(example.id)))
    st.caption("The model runs again at every change. A word that is switched off is taken out of the text.")
    experiment(source, example)


@st.fragment
@guarded
def experiment(source: Opened | None, example: Example) -> None:
    """The slider, the figures and the text; only this part runs again."""
    point = st.slider(
        "Operating point: factor of the thresholds (above 1 keeps fewer words)",
        0.0,
        3.0,
        1.0,
        0.05,
        key="point",
        bind="query-params",
    )
    before = trace_for(source, example)
    if before is None:
        raise MissingError(f"{source.name if source else ''}: the model that made these predictions is not here")
    key = f"what_{source.name if source else 'text'}_{example.id}"
    off = [place for place in (st.session_state.get(key) or {}).get("off") or [] if place < len(example.words)]
    model = (source.model if source else None) or own_model()
    kept = [place for place in range(len(example.words)) if place not in set(off)]
    now = traced(with_words(example, kept) if off else example, model, point)
    labels = adapler_model(model).labels
    winner = int(now.probabilities.argmax())
    first = int(before.probabilities.argmax())
    layers = len(now.kept_per_layer)
    moved, faster = now.probabilities[first] - before.probabilities[first], now.speedup - before.speedup
    with st.container(horizontal=True, gap="medium"):
        st.metric(
            "Prediction", clean(labels[winner]), help=as_text(f"At first: {clean(labels[first])}."), width="content"
        )
        st.metric(
            as_text(f"Probability of {clean(labels[first])}"),
            f"{now.probabilities[first]:.3f}",
            f"{moved:+.3f}" if moved else None,
            width="content",
        )
        st.metric("Words kept", f"{int((now.fell >= layers).sum())} of {len(kept)}", width="content")
        st.metric("Fewer FLOPs", f"{now.speedup:.2f}×", f"{faster:+.2f}" if faster else None, width="content")
    seen = changed(example, now, np.array(kept), clean(labels[winner]))
    word_strip(strip_data(seen, titles(), off=off, switchable=True), key=key)
    if off and st.button("Switch every word on", key="all_on"):
        st.session_state[key] = {"off": []}
        st.rerun(scope="fragment")
