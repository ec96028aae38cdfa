"""What if the thresholds were higher, or a word were not there?"""

from __future__ import annotations

from zlib import crc32

import numpy as np
import streamlit as st

from adapler_app import link
from adapler_app.components import Switched, word_strip
from adapler_app.models import adapler_model, titles, traced
from adapler_app.opened import Opened
from adapler_app.reading import clean, strip_data
from adapler_app.session import as_text, choose_document, guarded, model_for
from adapler_app.whatif import changed, nothing_left, with_words
from eraser_eval.errors import MissingError
from eraser_eval.records import Example

# The largest factor of the thresholds that the slider has.
HIGHEST = 3.0


def what_if() -> None:
    """The page."""
    source, example = choose_document()
    st.title(as_text(clean(example.id)))
    st.caption("The model runs again at every change. A word that is switched off is taken out of the text.")
    experiment(source, example)


def stored_points(model: str | None) -> None:
    """A button for each operating point that ``tune`` has stored in the model, which moves the slider there."""
    stored = adapler_model(model).model.config.operating_points or {}

    def move(factor: float) -> None:
        st.session_state["point"] = min(factor, HIGHEST)
        link.changed("point")

    with st.container(horizontal=True, gap="small"):
        for name, point in stored.items():
            factor = float(point["factor"])
            st.button(as_text(f"{clean(name)} ({factor:.3g})"), key=f"point {name}", on_click=move, args=(factor,))


@st.fragment
@guarded
def experiment(source: Opened | None, example: Example) -> None:
    """The slider, the figures and the text; only this part runs again."""
    model = model_for(source)
    if model is None:
        raise MissingError(f"{source.name if source else ''}: the model that made these predictions is not here")
    label = "Operating point: factor of the thresholds (above 1 keeps fewer words)"
    link.begin("point", link.number(0.0, HIGHEST, float))
    if "point" not in st.session_state:
        st.session_state["point"] = 1.0
    point = link.hold(
        "point", st.slider(label, 0.0, HIGHEST, step=0.05, key="point", on_change=link.changed, args=("point",))
    )
    stored_points(model)
    # A document's words that are off, kept while the reader looks at others.
    key = f"what_{source.name if source else 'text'}_{example.id}_{crc32(' '.join(example.words).encode())}"
    memory: dict[str, Switched] = st.session_state.setdefault("switched_off", {})
    switched = memory.get(key, Switched())
    off = frozenset(place for place in switched.off if place < len(example.words))

    def all_on() -> None:
        memory[key] = Switched(turn=memory[key].turn)

    kept = [place for place in range(len(example.words)) if place not in off]
    if kept:
        before = traced(example, model)
        now = traced(with_words(example, kept) if off else example, model, point)
        labels = [clean(label) for label in adapler_model(model).labels]
        winner, first = int(now.probabilities.argmax()), int(before.probabilities.argmax())
        layers = len(now.kept_per_layer)
        moved, faster = now.probabilities[first] - before.probabilities[first], now.speedup - before.speedup
        with st.container(horizontal=True, gap="medium"):
            at_first = as_text(f"At first: {labels[first]}.")
            st.metric("Prediction", as_text(labels[winner]), help=at_first, width="content")
            st.metric(
                as_text(f"Probability of {labels[first]}"),
                f"{now.probabilities[first]:.3f}",
                f"{moved:+.3f}" if moved else None,
                width="content",
            )
            st.metric("Words kept", f"{int((now.fell >= layers).sum())} of {len(kept)}", width="content")
            st.metric("Fewer FLOPs", f"{now.speedup:.2f}×", f"{faster:+.2f}" if faster else None, width="content")
        seen = changed(example, now, np.array(kept), labels[winner])
    else:
        st.warning("Every word is switched off: there is nothing to classify. Switch one on.")
        seen = nothing_left(example, adapler_model(model).model.config.num_hidden_layers)

    def switch(now_off: Switched) -> None:
        memory[key] = now_off

    data = strip_data(seen, titles(), off=sorted(off), turn=switched.turn, switchable=True)
    word_strip(data, key=key, on_switch=switch)
    if off:
        st.button("Switch every word on", key="all_on", on_click=all_on)
