"""How well people agree with people: each annotator against the others, as a row beside the methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from eraser_eval.metrics import plausibility
from eraser_eval.metrics.corpus import Gold
from eraser_eval.records import Example, Prediction, mask_of, spans_of

METHOD = "human"


def leave_one_out(examples: Sequence[Example], iou_thresholds: Sequence[float] = ()) -> pd.DataFrame:
    """The statistics of people on every example that at least two annotated; empty where there is none.

    Each annotator's words are a hard rationale, and the words that at least half of the *others* marked are gold; the
    statistics of an example are the means over its annotators. The gold is therefore not that of the methods.

    Args:
        examples: with ``annotators``.
        iou_thresholds: beside 0.5.

    Returns:
        Rows as of :func:`eraser_eval.score.per_document`, method ``human``.
    """
    turns: list[tuple[Example, Prediction]] = []
    for example in examples:
        masks = np.array([mask_of(spans, example.documents) for spans in example.annotators])
        for number in range(len(masks)) if len(masks) > 1 else ():
            others = 2 * np.delete(masks, number, axis=0).sum(0) >= len(masks) - 1
            marked = spans_of(others, example.documents)
            made = Prediction(example.id, spans=spans_of(masks[number], example.documents))
            turns.append((replace(example, evidence=(marked,) if marked else (), annotators=()), made))
    if not turns:
        return pd.DataFrame()
    gold, predictions = [turn[0] for turn in turns], [turn[1] for turn in turns]
    columns = pd.DataFrame(plausibility.statistics(Gold.of(gold), predictions, iou_thresholds))
    means = columns.groupby([example.id for example in gold], sort=False).mean().reset_index(names="annotation_id")
    labels = {example.id: example.label for example in gold}
    return means.assign(method=METHOD, label=means["annotation_id"].map(labels), predicted=None, seconds=None)
