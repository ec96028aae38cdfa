"""Models, loaded once, and what they say of a document; Streamlit keeps both."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import streamlit as st

from adapler_app.reading import OWN
from eraser_eval.datasets import bundled
from eraser_eval.errors import UserError
from eraser_eval.records import Example, Prediction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from adapler_explain.classifier import Classifier
    from adapler_explain.predict import Probabilities
    from adapler_explain.trace import Trace

MODEL = "ADAPLER_MODEL"


@st.cache_resource(show_spinner=False)
def _lock() -> threading.Lock:
    return threading.Lock()


@st.cache_resource(show_spinner="Loading the model …", max_entries=4)
def _classifier(path: str) -> Classifier:
    from adapler_explain.classifier import Classifier

    return Classifier.load(path)


def own_model() -> str:
    """The path of the viewer's own model."""
    return os.environ.get(MODEL) or str(bundled("models/adapler-movies"))


def adapler_model(path: str | None = None) -> Classifier:
    """The AdapLeR classifier at ``path``, or the viewer's own; loaded once.

    Raises:
        UserError: nothing that can be loaded is there, or it has no removal.
    """
    classifier = _classifier(path or own_model())
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
    return example.id, example.words, example.query, example.label


@st.cache_resource(show_spinner=False, max_entries=64, hash_funcs={Example: _content})
def _known(model: str, example: Example) -> Probabilities:
    """Class probabilities that the methods share."""
    from adapler_explain.predict import Probabilities

    del model, example
    return Probabilities()


@st.cache_data(show_spinner=False, max_entries=64, hash_funcs={Example: _content})
def _predicted(model: str, example: Example, method: str, budget: int) -> Prediction:
    from adapler_explain.predict import Explained, predict

    with alone():
        explained = Explained(adapler_model(model))
        return predict(example, method, explained, _known(model, example), {example.id: budget})


@st.cache_data(show_spinner=False, max_entries=64, hash_funcs={Example: _content})
def _traced(model: str, example: Example, operating_point: float) -> Trace:
    from adapler_explain.trace import trace

    with alone():
        return trace(adapler_model(model), example.words, example.query, operating_point)


def traced(example: Example, model: str | None = None, operating_point: float = 1.0) -> Trace:
    """The document's way through the model; see :func:`adapler_explain.trace.trace`.

    Raises:
        UserError: the text cannot be read by the model.
    """
    from adapler_explain.windows import TextError

    try:
        return _traced(model or own_model(), example, operating_point)
    except TextError as error:
        raise UserError(str(error)) from None


def live_predictions(example: Example, methods: list[str]) -> dict[str, Prediction]:
    """What the viewer's own model and ``methods`` say of ``example``; ``adapler`` first.

    Raises:
        UserError: the text cannot be read by the model.
    """
    from adapler_explain.windows import TextError

    try:
        own = _predicted(own_model(), example, OWN, 0)
        made = {method: _predicted(own_model(), example, method, own.words_chosen) for method in methods}
    except TextError as error:
        raise UserError(str(error)) from None
    return {OWN: own, **made}
