"""One document as the viewer shows it: what became of each word, what people marked, and what the figures are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from eraser_eval import score
from eraser_eval.records import BoolArray, Example, Prediction, mask_of

if TYPE_CHECKING:
    from adapler_explain.trace import Trace

OWN = "adapler"
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Reading:
    """A document, word by word.

    Attributes:
        example: the document and what people say of it.
        label, probability: the predicted class, and its probability where it is known.
        layers: of the encoder.
        fell: ``[words]``, how many layers process the word; ``layers`` for a word kept to the end.
        kept: ``[words]``, AdapLeR's hard rationale.
        scores: method to its word scores ``[words]``.
        speedup: in operations, where it is known.
        fpr, token_f1: against what people marked, where they marked something.
        trace: contributions and thresholds, where the model is at hand.
    """

    example: Example
    label: str
    probability: float | None
    layers: int
    fell: IntArray
    kept: BoolArray
    scores: Mapping[str, FloatArray]
    speedup: float | None
    fpr: float | None
    token_f1: float | None
    trace: Trace | None = None

    @property
    def is_marked(self) -> bool:
        """Whether people marked anything."""
        return bool(self.example.gold_mask.any())

    @property
    def left(self) -> list[int]:
        """Words left after each layer; first, all of them."""
        return [int((self.fell >= layer).sum()) for layer in range(self.layers + 1)]


def reading(example: Example, predictions: Mapping[str, Prediction], trace: Trace | None = None) -> Reading:
    """The reading of one example.

    Args:
        example: the document.
        predictions: method to prediction, for which :func:`has_layers` holds.
        trace: from the model that made them.
    """
    own = predictions[OWN]
    extra: Mapping[str, Any] = own.extra
    layers = len(extra["kept_per_layer"])
    row = score.per_document([example], {OWN: [own]}).iloc[0]
    return Reading(
        example=example,
        label=own.label or "",
        probability=own.probabilities.get(own.label or ""),
        layers=layers,
        fell=np.floor(word_scores(example, own)).astype(np.int64).clip(0, layers),
        kept=mask_of(own.spans or (), example.documents),
        scores={name: word_scores(example, made) for name, made in predictions.items() if name != OWN and made.scores},
        speedup=extra["flops_unpruned"] / extra["flops_pruned"],
        fpr=_number(row["fpr"]) if example.evidence else None,
        token_f1=_number(row["token_f1"]),
        trace=trace,
    )


def has_layers(predictions: Mapping[str, Prediction]) -> bool:
    """Whether AdapLeR's predictions are among ``predictions``, with what they say of its layers."""
    own = predictions.get(OWN)
    if own is None or not own.scores:
        return False
    kept, *counts = (own.extra.get(name) for name in ("kept_per_layer", "flops_unpruned", "flops_pruned"))
    return isinstance(kept, list) and bool(kept) and all(isinstance(count, int) and count > 0 for count in counts)


def word_scores(example: Example, prediction: Prediction) -> FloatArray:
    """The scores ``[words]`` of all documents of ``example``, one after the other."""
    return np.concatenate([np.asarray(prediction.scores[document.docid], float) for document in example.documents])


def strip_data(reading: Reading, titles: Mapping[str, str], **options: Any) -> dict[str, Any]:
    """What the word strip draws, as JSON.

    Args:
        reading: the document.
        titles: method to its name for people.
        **options: for the component: ``layer`` (where it begins; None: the last), ``off`` (words switched off),
            ``turn`` (the click which made them so) and ``switchable``.
    """
    trace = reading.trace
    return {
        "id": clean(reading.example.id),
        "words": [clean(word) for word in reading.example.words],
        "breaks": breaks(reading.example),
        "layers": reading.layers,
        "fell": reading.fell.tolist(),
        "kept": np.flatnonzero(reading.kept).tolist(),
        "gold": np.flatnonzero(reading.example.gold_mask).tolist() if reading.is_marked else None,
        "contribution": None if trace is None else [rounded(row) for row in trace.contribution],
        "needed": None if trace is None else [rounded(row) for row in trace.needed],
        "window": None if trace is None else trace.window.tolist(),
        "scores": [
            {"title": titles.get(method, method), "values": rounded(values)}
            for method, values in reading.scores.items()
        ],
    } | options


def word_table(reading: Reading, titles: Mapping[str, str]) -> pd.DataFrame:
    """The same facts as rows, one for each word.

    Columns: ``word``, ``fate``, ``layers`` (how many process it), ``people`` (where they marked something), a
    ``contribution`` and a ``needed`` for each layer (where they are known; empty where the word did not get) and one
    for each method's scores.
    """
    columns: dict[str, Any] = {
        "word": [clean(word) for word in reading.example.words],
        "fate": [fate(int(fell), reading.layers) for fell in reading.fell],
        "layers": reading.fell,
    }
    if reading.is_marked:
        columns["people"] = np.where(reading.example.gold_mask, "marked", "")
    if reading.trace is not None:
        for layer in range(reading.layers):
            reached = reading.fell >= layer
            columns[f"contribution, layer {layer + 1}"] = np.where(reached, reading.trace.contribution[layer], np.nan)
            needed = reading.trace.needed[layer][reading.trace.window]
            columns[f"needed, layer {layer + 1}"] = np.where(reached, needed, np.nan)
    columns |= {f"score, {titles.get(method, method)}": values for method, values in reading.scores.items()}
    table = pd.DataFrame(columns)
    table.index = pd.RangeIndex(1, len(table) + 1, name="place")
    return table


def fate(fell: int, layers: int) -> str:
    """What became of a word that ``fell`` of ``layers`` layers processed, in words.

    >>> fate(2, 6), fate(6, 6)
    ('dropped at layer 3', 'kept to the end')
    """
    return "kept to the end" if fell >= layers else f"dropped at layer {fell + 1}"


def breaks(example: Example) -> list[int]:
    """The words that begin a sentence, without the first."""
    lengths = [len(sentence) for document in example.documents for sentence in document.sentences]
    starts: list[int] = np.cumsum(lengths)[:-1].tolist()
    return starts


def clean(text: str) -> str:
    """``text`` as it can be sent and shown: half a surrogate pair and control characters become U+FFFD."""
    return "".join("\ufffd" if sign < " " or sign == "\x7f" or "\ud800" <= sign <= "\udfff" else sign for sign in text)


def rounded(values: FloatArray) -> list[float]:
    """``values`` to four significant digits."""
    return [float(f"{value:.4g}") for value in values.tolist()]


def _number(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)
