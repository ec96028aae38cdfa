"""Methods side by side on one document, at one budget of words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from adapler_app.reading import OWN, breaks, clean, word_scores
from eraser_eval import score
from eraser_eval.rationale import top_words
from eraser_eval.records import BoolArray, Example, Prediction, mask_of, spans_of

BUDGETS = {
    "own": "each method's own rationale",
    "adapler": "as many words as AdapLeR kept",
    "gold": "as many words as people marked",
    "words": "a number of words",
    "share": "a share of the words",
}
# What became of a word, as the component numbers it.
TRUE_NEGATIVE, TRUE_POSITIVE, FALSE_POSITIVE, MISS = range(4)
FIGURES = {
    "words": "rationale_words",
    "true positives": "hits",
    "false positives": "false_positives",
    "FPR": "fpr",
    "precision": "token_precision",
    "recall": "token_recall",
    "token F1": "token_f1",
    "average precision": "average_precision",
}


@dataclass(frozen=True)
class Compared:
    """One method at one budget.

    Attributes:
        method: its name.
        mask: ``[words]``, the words it chooses.
        figures: title to value; None where it is not defined. Where people marked nothing, the number of words alone.
        at_budget: whether it chose as many words as it was granted; a method without scores keeps its own.
    """

    method: str
    mask: BoolArray
    figures: Mapping[str, float | None]
    at_budget: bool = True


def annotators(example: Example) -> dict[str, Prediction]:
    """What each of several people marked, as if it were a method's; nothing where single people are not known."""
    people = enumerate(example.annotators, start=1)
    return {f"annotator {number}": Prediction(example.id, spans=spans) for number, spans in people}


def words_of(budget: str, amount: float, example: Example, predictions: Mapping[str, Prediction]) -> int | None:
    """How many words every method may choose; None: as many as it does by itself.

    Args:
        budget: a key of ``BUDGETS``.
        amount: the number of words, or the share in (0, 1].
        example: the document.
        predictions: method to prediction.
    """
    total = len(example.words)
    if budget == "adapler" and OWN in predictions:
        # Spans of other programs may overlap.
        return int(mask_of(predictions[OWN].spans or (), example.documents).sum())
    if budget == "gold":
        return int(example.gold_mask.sum())
    if budget == "words":
        return min(int(amount), total)
    if budget == "share":
        return min(max(1, round(amount * total)), total)
    return None


def compare(example: Example, predictions: Mapping[str, Prediction], count: int | None) -> list[Compared]:
    """Every method at ``count`` words (None: its own rationale), in the order of ``predictions``.

    A method without scores keeps its own rationale; one that has neither is left out.
    """
    found = []
    for method, prediction in predictions.items():
        if count is not None and prediction.scores:
            mask = top_words(word_scores(example, prediction), count)
        elif prediction.spans is not None:
            mask = mask_of(prediction.spans, example.documents)
        else:
            continue
        at_budget = replace(prediction, spans=spans_of(mask, example.documents))
        row = score.per_document([example], {method: [at_budget]}).iloc[0]
        shown = FIGURES if example.gold_mask.any() else {"words": FIGURES["words"]}
        figures = {title: _number(row[column]) for title, column in shown.items()}
        found.append(Compared(method, mask, figures, count is None or bool(prediction.scores)))
    return found


def compare_data(example: Example, compared: list[Compared], titles: Mapping[str, str]) -> dict[str, Any]:
    """What the side-by-side component draws, as JSON."""
    gold = example.gold_mask
    return {
        "words": [clean(word) for word in example.words],
        "breaks": breaks(example),
        "marked": bool(gold.any()),
        "methods": [
            {
                "title": titles.get(row.method, row.method) + ("" if row.at_budget else " (its own number of words)"),
                "outcome": outcomes(row.mask, gold).tolist(),
                "figures": [[title, shown(title, value)] for title, value in row.figures.items() if value is not None],
            }
            for row in compared
        ],
    }


def figures_table(compared: list[Compared], titles: Mapping[str, str]) -> pd.DataFrame:
    """A row for each method, a column for each figure."""
    rows = [{"method": titles.get(row.method, row.method)} | dict(row.figures) for row in compared]
    return pd.DataFrame(rows)


def outcomes(mask: BoolArray, gold: BoolArray) -> Any:
    """What became of each word: 1 chosen and marked, 2 chosen alone, 3 marked alone, 0 neither.

    Where people marked nothing, a chosen word is neither right nor wrong: 1.
    """
    if not gold.any():
        return mask.astype(int)
    return np.select([mask & gold, mask, gold], [TRUE_POSITIVE, FALSE_POSITIVE, MISS], TRUE_NEGATIVE)


def shown(title: str, value: float) -> str:
    """``value`` as people read it: counts whole, everything else with three decimals."""
    return f"{value:.0f}" if title in ("words", "true positives", "false positives") else f"{value:.3f}"


def _number(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)
