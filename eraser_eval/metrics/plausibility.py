"""Agreement of one rationale with the words that people marked: the statistics of one example.

A statistic that is undefined for an example (no word marked, or every word marked) is NaN there, and the aggregates
leave that example out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from eraser_eval.metrics.overlap import best_overlaps
from eraser_eval.metrics.ranking import Areas, areas
from eraser_eval.rationale import top_words
from eraser_eval.records import BoolArray, Example, Prediction, Span, mask_of

IOU_THRESHOLD = 0.5
COLUMNS = ("fpr", "fpr_at_gold", "average_precision", "auprc", "token_f1", "iou_precision", "iou_recall")


def statistics(example: Example, prediction: Prediction) -> dict[str, float]:
    """The statistics of one prediction, by column name, with the counts they were made of.

    Raises:
        ValueError: a document has no scores, scores of another length, or a span beyond its end.
    """
    _check(example, prediction)
    gold = example.gold_mask
    chosen = mask_of(prediction.spans, example.documents)
    scores = np.concatenate([np.asarray(prediction.scores[document.docid]) for document in example.documents])
    precision, recall = iou_precision_recall(example.evidence_spans, prediction.spans)
    return {
        "words": len(gold),
        "gold_words": int(gold.sum()),
        "rationale_words": int(chosen.sum()),
        "fpr": false_positive_rate(gold, chosen),
        "fpr_at_gold": false_positive_rate(gold, top_words(scores, int(gold.sum()))) if gold.any() else np.nan,
        "average_precision": average_precision(gold, scores),
        "auprc": auprc(gold, scores),
        "token_f1": token_f1(gold, chosen),
        "iou_precision": precision,
        "iou_recall": recall,
    }


def chance(example: Example, budget: int) -> dict[str, float]:
    """What words drawn at random get on average, for a hard rationale of ``budget`` words; computed, not simulated.

    ``average_precision`` is that of a random order, (m−1)/(n−1) · (1 − H/n) + H/n with m of n words marked and H the
    n-th harmonic number: a little above the share of marked words. ``auprc_of_constant`` is what ERASER's trapezoid
    gives a constant score, (1 + share) / 2: not safe with ties.
    """
    gold = example.gold_mask
    words, marked = len(gold), int(gold.sum())
    share = marked / words
    some = 0 < marked < words
    return {
        "fpr": budget / words if marked < words else np.nan,
        "fpr_at_gold": share if some else np.nan,
        "average_precision": _random_average_precision(words, marked) if some else np.nan,
        "auprc_of_constant": (1 + share) / 2 if some else np.nan,
        "token_f1": 2 * budget * share / (budget + marked) if marked else np.nan,
    }


def _random_average_precision(words: int, marked: int) -> float:
    harmonic = float((1 / np.arange(1, words + 1)).sum())
    return (marked - 1) / (words - 1) * (1 - harmonic / words) + harmonic / words


def false_positive_rate(gold: BoolArray, chosen: BoolArray) -> float:
    """FP / (FP + TN): the share of unmarked words that were chosen; NaN when every word is marked.

    >>> false_positive_rate(np.array([True, False, False]), np.array([True, True, False]))
    0.5
    """
    negatives = int((~gold).sum())
    return float((chosen & ~gold).sum() / negatives) if negatives else float("nan")


def token_f1(gold: BoolArray, chosen: BoolArray) -> float:
    """F1 of the chosen words; 0 when nothing was chosen, NaN when nothing is marked.

    >>> token_f1(np.array([True, True, False]), np.array([True, False, False])).__round__(4)
    0.6667
    """
    if not gold.any():
        return float("nan")
    return float(2 * (gold & chosen).sum() / (gold.sum() + chosen.sum()))


def average_precision(gold: BoolArray, scores: NDArray[np.float64]) -> float:
    """Average precision of the word scores, safe with ties; NaN unless some words are marked and some are not.

    >>> average_precision(np.array([True, False, True]), np.array([0.9, 0.5, 0.1])).__round__(4)
    0.8333
    """
    if gold.all() or not gold.any():
        return float("nan")
    return float(_areas(gold, scores).average_precision[0])


def auprc(gold: BoolArray, scores: NDArray[np.float64]) -> float:
    """The area under the precision–recall curve by trapezoids, as ERASER computes it; not safe with ties.

    NaN unless some words are marked and some are not; the official scorer counts such a document too.

    >>> auprc(np.array([True, False, False, False]), np.zeros(4))
    0.625

    Source: DeYoung et al. 2020, section 4.2 and the benchmark's scorer.
    """
    if gold.all() or not gold.any():
        return float("nan")
    return float(_areas(gold, scores).auprc[0])


def iou_precision_recall(gold: tuple[Span, ...], predicted: tuple[Span, ...]) -> tuple[float, float]:
    """Share of predicted spans, and share of gold spans, whose best partner has an IOU of at least 0.5.

    The official scorer divides the number of matching predicted spans by the number of gold spans, so that two halves
    of one gold span count twice and recall can pass 1; here a gold span counts once. It also counts empty spans; here
    they are left out. NaN both when nothing is marked; 0 both when nothing was predicted.

    >>> iou_precision_recall((Span("d", 0, 4),), (Span("d", 0, 3), Span("d", 8, 9)))
    (0.5, 1.0)
    """
    gold, predicted = (tuple(span for span in spans if span.start < span.end) for spans in (gold, predicted))
    if not gold:
        return float("nan"), float("nan")
    if not predicted:
        return 0.0, 0.0
    documents = {docid: number for number, docid in enumerate(sorted({span.docid for span in (*gold, *predicted)}))}
    keyed = [[(documents[span.docid], span.start, span.end) for span in spans] for spans in (predicted, gold)]
    best_of_predicted, best_of_gold = best_overlaps(*keyed)
    return float((best_of_predicted >= IOU_THRESHOLD).mean()), float((best_of_gold >= IOU_THRESHOLD).mean())


def _areas(gold: BoolArray, scores: NDArray[np.float64]) -> Areas:
    return areas(gold, scores, np.array([len(gold)]))


def _check(example: Example, prediction: Prediction) -> None:
    for document in example.documents:
        scores = prediction.scores.get(document.docid)
        if scores is None:
            raise ValueError(f"no soft_rationale_predictions for document {document.docid!r}")
        if len(scores) != len(document.words):
            raise ValueError(f"{len(scores)} scores for the {len(document.words)} words of document {document.docid!r}")
    lengths = {document.docid: len(document.words) for document in example.documents}
    for span in prediction.spans:
        if span.end > lengths.get(span.docid, -1):
            raise ValueError(f"rationale {span.start}:{span.end} is not within document {span.docid!r}")
