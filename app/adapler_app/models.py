"""Models, loaded once, and what they say of a document; Streamlit keeps both."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from adapler_app.reading import OWN
from eraser_eval.datasets import bundled
from eraser_eval.errors import UserError
from eraser_eval.records import Example, Prediction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from adapler_explain.classifier import Classifier
    from adapler_explain.predict import Known
    from adapler_explain.trace import Trace

MODEL = "ADAPLER_MODEL"


@st.cache_resource(show_spinner=False)
def _lock() -> threading.Lock:
    return threading.Lock()


@st.cache_resource(show_spinner="Loading the model …", max_entries=4)
def _classifier(path: str, changed: int) -> Classifier:
    from adapler_explain.classifier import Classifier

    del changed
    return Classifier.load(path)


def own_model() -> str:
    """The path of the viewer's own model."""
    return os.environ.get(MODEL) or str(bundled("models/adapler-movies"))


def adapler_model(path: str | None = None) -> Classifier:
    """The AdapLeR classifier at ``path``, or the viewer's own; loaded once, and again when its files change.

    Raises:
        UserError: nothing that can be loaded is there, or it has no removal.
    """
    place = Path(path or own_model())
    changed = max((file.stat().st_mtime_ns for file in place.glob("*")), default=0) if place.is_dir() else 0
    classifier = _classifier(str(place), changed)
    if not hasattr(classifier.model, "adapler"):
        raise UserError(f"{path or own_model()}: not an AdapLeR checkpoint; train one with 'adapler-explain train'")
    return classifier


@contextmanager
def alone() -> Iterator[None]:
    """Within the block, no other session runs a model: some explainers change how it runs."""
    with _lock():
        yield


def titles() -> dict[str, str]:
    """Method to its name for people."""
    from adapler_explain.explainers import EXPLAINERS

    return {name: explainer.title for name, explainer in EXPLAINERS.items()}


def default_methods() -> list[str]:
    """The methods that are run where no run has their predictions."""
    from adapler_explain.explainers import EXPLAINERS

    return [name for name, explainer in EXPLAINERS.items() if explainer.default]


def _content(example: Example) -> tuple[object, ...]:
    lengths = tuple((document.docid, len(document)) for document in example.documents)
    return example.id, example.words, lengths, example.query, example.label, example.pair


@st.cache_resource(show_spinner=False, max_entries=64, hash_funcs={Example: _content})
def _known(checksum: str, example: Example) -> Known:
    """Class probabilities that the methods share."""
    from adapler_explain.predict import Known

    del checksum, example
    return Known()


@st.cache_data(show_spinner=False, max_entries=64, hash_funcs={Example: _content})
def _predicted(checksum: str, example: Example, method: str, budget: int) -> Prediction:
    from adapler_explain.explainers.baseline import inverse_document_frequency
    from adapler_explain.predict import Explained, predict

    with alone():
        known = _known(checksum, example)
        # Of one text alone every word is as rare.
        idf = inverse_document_frequency([example.words])
        (made,) = predict([example], method, Explained(adapler_model(), idf=idf), known, {example.id: budget})
        return made


@st.cache_data(show_spinner=False, max_entries=64, hash_funcs={Example: _content})
def _traced(model: str, checksum: str, example: Example, operating_point: float) -> Trace:
    from adapler_explain.trace import trace

    del checksum
    with alone():
        return trace(adapler_model(model), example.words, example.query, operating_point, example.pair_at)


def traced(example: Example, model: str | None = None, operating_point: float = 1.0) -> Trace:
    """The document's way through the model; see :func:`adapler_explain.trace.trace`.

    Raises:
        UserError: the text cannot be read by the model.
    """
    from adapler_explain.windows import TextError

    try:
        path = model or own_model()
        with st.spinner("Following the words …"):
            return _traced(path, adapler_model(path).checksum, example, operating_point)
    except TextError as error:
        raise UserError(str(error)) from None


def live_predictions(example: Example, methods: list[str]) -> dict[str, Prediction]:
    """What the viewer's own model and ``methods`` say of ``example``; ``adapler`` first.

    Raises:
        UserError: the text cannot be read by the model.
    """
    from adapler_explain.windows import TextError

    try:
        checksum = adapler_model().checksum
        own = _predicted(checksum, example, OWN, 0)
        made = {method: _predicted(checksum, example, method, own.words_chosen) for method in methods}
    except TextError as error:
        raise UserError(str(error)) from None
    return {OWN: own, **made}
