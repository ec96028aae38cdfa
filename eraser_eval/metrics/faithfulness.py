"""What erasing a rationale, or keeping it alone, does to the prediction: the statistics of each example.

They are made from the class probabilities that a prediction file holds, so that scoring needs no model. A statistic
whose probabilities are not there is NaN. ``p`` is the probability of the predicted class for the whole input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import entropy

from eraser_eval.metrics.corpus import FloatArray
from eraser_eval.records import Erasure, Prediction

Classes = Mapping[str, float]
LEAST = 1e-12


def statistics(predictions: Sequence[Prediction]) -> dict[str, FloatArray]:
    """Every statistic by column name, each ``[examples]``.

    Raises:
        ValueError: the probabilities of a prediction do not name the same classes throughout, or not its own class.
    """
    rows = [_row(prediction) for prediction in predictions]
    names = sorted({name for row in rows for name in row})
    return {name: np.array([row.get(name, np.nan) for row in rows]) for name in names}


def _row(prediction: Prediction) -> dict[str, float]:
    try:
        return _figures(prediction)
    except KeyError as error:
        raise ValueError(f"{prediction.id!r}: class {error.args[0]!r} has no probability everywhere; add it") from None


def _figures(prediction: Prediction) -> dict[str, float]:
    label, before = prediction.label, prediction.probabilities
    if label is None or not before:
        return {}
    row: dict[str, float] = {}
    for after in (prediction.erased, prediction.kept, prediction.empty):
        if after and after.keys() != before.keys():
            raise KeyError(sorted(after.keys() ^ before.keys())[0])
    for name, after in (("comprehensiveness", prediction.erased), ("sufficiency", prediction.kept)):
        if after:
            row[name] = before[label] - after[label]
            row[f"{name}_entropy"] = entropy_fall(before, after)
            row[f"{name}_kl"] = divergence(before, after)
    for suffix, erasures in (("", prediction.erasures), ("_sentences", prediction.sentence_erasures)):
        falls = falls_at(label, before, erasures)
        for name, points in falls.items():
            row[f"{name}_aopc{suffix}"] = float(np.mean(points))
            if not suffix and len(points) > 1:
                row[f"{name}_area"] = area([e.fraction for e in erasures], points)
            if not suffix:
                row |= {f"{name}@{e.fraction:g}": fall for e, fall in zip(erasures, points, strict=True)}
    row |= _curves(label, before, prediction)
    whole = prediction.erasures[-1] if prediction.erasures else None
    empty = prediction.empty or (whole.erased if whole is not None and whole.fraction == 1 else {})
    return row | (_normalised(row, before[label] - empty[label]) if empty else {})


def _curves(label: str, before: Classes, prediction: Prediction) -> dict[str, float]:
    """Mean log odds over the shares, and, where the input without words is known, areas from share 0 to 1."""
    if not prediction.erasures:
        return {}
    logs = [log_fall(before[label], erasure.erased[label]) for erasure in prediction.erasures]
    row = {"log_odds": float(np.mean(logs))}
    inside = [erasure for erasure in prediction.erasures if erasure.fraction < 1]
    if prediction.empty and inside:
        nothing = prediction.empty[label]
        places = [0.0, *(erasure.fraction for erasure in inside), 1.0]
        row["deletion"] = area(places, [before[label], *(erasure.erased[label] for erasure in inside), nothing])
        row["insertion"] = area(places, [nothing, *(erasure.kept[label] for erasure in inside), before[label]])
    return row


def log_fall(before: float, after: float) -> float:
    """log(after / before); a probability below 1e-12 counts as that.

    >>> round(log_fall(0.8, 0.4), 4)
    -0.6931
    """
    return float(np.log(max(after, LEAST)) - np.log(max(before, LEAST)))


def falls_at(label: str, before: Classes, erasures: Sequence[Erasure]) -> dict[str, list[float]]:
    """The fall of the probability of ``label`` at each share, by metric; nothing without shares.

    >>> erasure = Erasure(0.5, {"A": 0.25, "B": 0.75}, {"A": 0.5, "B": 0.5})
    >>> falls_at("A", {"A": 0.75, "B": 0.25}, [erasure])
    {'comprehensiveness': [0.5], 'sufficiency': [0.25]}
    """
    if not erasures:
        return {}
    return {
        "comprehensiveness": [before[label] - erasure.erased[label] for erasure in erasures],
        "sufficiency": [before[label] - erasure.kept[label] for erasure in erasures],
    }


def area(fractions: Sequence[float], falls: Sequence[float]) -> float:
    """The area under the fall over the share erased or kept, by trapezoids, over its width; shares ascend.

    ERASER's AOPC is the mean over its shares (1, 5, 10, 20, 50 %), in which the small ones weigh most; here every
    share between the first and the last weighs alike. NaN where the width is 0.

    >>> area([0.0, 0.5, 1.0], [0.0, 0.5, 0.5])
    0.375
    """
    width = fractions[-1] - fractions[0]
    return float(np.trapezoid(falls, fractions) / width) if width > 0 else float("nan")


def entropy_fall(before: Classes, after: Classes) -> float:
    """The entropy of the prediction minus its entropy afterwards, in nats.

    >>> round(entropy_fall({"A": 0.5, "B": 0.5}, {"A": 1.0, "B": 0.0}), 4)
    0.6931
    """
    return float(entropy(list(before.values())) - entropy(list(after.values())))


def divergence(before: Classes, after: Classes) -> float:
    """KL(after ‖ before) of the class probabilities, in nats; infinite where a class had probability 0 before.

    >>> round(divergence({"A": 0.5, "B": 0.5}, {"A": 1.0, "B": 0.0}), 4)
    0.6931
    """
    return float(entropy([after[label] for label in before], list(before.values())))


def _normalised(row: Mapping[str, float], widest: float) -> dict[str, float]:
    """Comprehensiveness and sufficiency over ``widest``, the fall for an input without words.

    Undefined where that is not above 0: then nothing was there to lose.

    >>> _normalised({"comprehensiveness": 0.2, "sufficiency": 0.1}, 0.4)
    {'normalised_comprehensiveness': 0.5, 'normalised_sufficiency': 0.75}

    Source: Carton, Rathore and Tan, "Evaluating and Characterizing Human Rationales", EMNLP 2020, section 3.
    """
    if widest <= 0:
        return {}
    figures = {}
    if "comprehensiveness" in row:
        figures["normalised_comprehensiveness"] = float(np.clip(row["comprehensiveness"] / widest, 0, 1))
    if "sufficiency" in row:
        figures["normalised_sufficiency"] = float(np.clip(1 - max(0.0, row["sufficiency"]) / widest, 0, 1))
    return figures
