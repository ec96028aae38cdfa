"""The table of metrics of rationales. A metric is two small functions: statistics of each example, then an aggregate.

Adding a metric is adding its statistics in ``plausibility.py`` or ``faithfulness.py`` and a row here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eraser_eval.metrics.aggregates import f1_of_counts, f1_of_means, ratio
from eraser_eval.metrics.metric import Metric, mean_metric

IOU_THRESHOLD = 0.5
CUTOFF = 10


SAFE_IOU = (
    "a gold span counts once however many predicted spans match it, empty spans are left out, and no prediction is 0 "
    "(official: can pass 1; stops)"
)
SAFE_SOFT = (
    "one ranking over all documents of an annotation, only where some words are marked and some are not "
    "(official: one for each document; 1/2 where nothing is marked)"
)
SAFE_WORDS = (
    "only documents with marked words, the documents of an annotation together (official: also documents with a "
    "predicted word, each by itself)"
)
FAITHFUL = "unit:document|class:predicted"

METRICS: dict[str, Metric] = {
    "fpr": mean_metric(
        "FPR",
        "fpr",
        "share of the words people did not mark that are in the hard rationale; mean over documents",
        "unit:word|budget:own",
        lower_is_better=True,
        shown=True,
    ),
    "fpr_pooled": Metric(
        "FPR pooled",
        ("false_positives", "negatives"),
        ratio,
        True,
        "the same over the words of all documents together",
        "unit:word|budget:own|over:words",
    ),
    "fpr_at_gold": mean_metric(
        "FPR @gold",
        "fpr_at_gold",
        "the same for as many top-scored words as people marked",
        "unit:word|budget:gold",
        lower_is_better=True,
        shown=True,
    ),
    "fpr_at_reference": mean_metric(
        "FPR @reference",
        "fpr_at_reference",
        "the same for as many top-scored words as the reference system chose in that document",
        "unit:word|budget:reference",
        lower_is_better=True,
    ),
    "average_precision": mean_metric(
        "AP",
        "average_precision",
        "average precision of the word scores; chance is that of a random order",
        "unit:word|budget:none",
        differs=SAFE_SOFT,
        shown=True,
    ),
    "auprc": mean_metric(
        "AUPRC (ERASER)",
        "auprc",
        "trapezoidal area under the precision-recall curve, as ERASER computes it",
        "unit:word|budget:none",
        differs=SAFE_SOFT,
        shown=True,
    ),
    "roc_auc": mean_metric(
        "ROC AUC",
        "roc_auc",
        "probability that a marked word scores higher than one that is not",
        "unit:word|budget:none",
        differs=SAFE_SOFT,
    ),
    "token_f1": mean_metric(
        "Token F1",
        "token_f1",
        "F1 of the words of the hard rationale; mean over documents",
        "unit:word|budget:own",
        differs=SAFE_WORDS,
        shown=True,
    ),
    "token_precision": mean_metric(
        "Token P",
        "token_precision",
        "share of the rationale's words that people marked; 0 for an empty rationale",
        "unit:word|budget:own",
        differs=SAFE_WORDS,
    ),
    "token_recall": mean_metric(
        "Token R",
        "token_recall",
        "share of the marked words that are in the rationale",
        "unit:word|budget:own",
        differs=SAFE_WORDS,
    ),
    "token_f1_micro": Metric(
        "Token F1 micro",
        ("hits", "chosen", "marked"),
        f1_of_counts,
        False,
        "F1 of the rationale's words of all documents together",
        "unit:word|budget:own|over:words",
    ),
    "token_f1_at_gold": mean_metric(
        "Token F1 @gold",
        "token_f1_at_gold",
        "F1 of as many top-scored words as people marked; precision and recall are then the same",
        "unit:word|budget:gold",
    ),
    "token_f1_at_reference": mean_metric(
        "Token F1 @reference",
        "token_f1_at_reference",
        "F1 of as many top-scored words as the reference system chose in that document",
        "unit:word|budget:reference",
    ),
    "iou_f1": Metric(
        "IOU F1",
        ("iou_precision", "iou_recall"),
        f1_of_means,
        False,
        "F1 of the spans of the hard rationale that overlap a marked span with an IOU of at least 0.5",
        "unit:span|budget:own|over:f1-of-mean-p-and-r",
        differs=SAFE_IOU,
        shown=True,
    ),
    "iou_f1_at_gold": Metric(
        "IOU F1 @gold",
        ("iou_precision_at_gold", "iou_recall_at_gold"),
        f1_of_means,
        False,
        "the same for the runs of as many top-scored words as people marked",
        "unit:span|budget:gold|over:f1-of-mean-p-and-r",
        differs=SAFE_IOU,
    ),
    "coverage_head": mean_metric(
        "Coverage head", "coverage_head", "token recall in the first third of the document", "unit:word|budget:own"
    ),
    "coverage_middle": mean_metric(
        "Coverage middle", "coverage_middle", "token recall in the middle third", "unit:word|budget:own"
    ),
    "coverage_tail": mean_metric(
        "Coverage tail", "coverage_tail", "token recall in the last third", "unit:word|budget:own"
    ),
    "sentence_average_precision": mean_metric(
        "Sentence AP",
        "sentence_average_precision",
        "average precision of the sentence scores",
        "unit:sentence|budget:none",
        differs="a sentence is marked when one of its words is (official: by the sentence offsets of the evidence)",
    ),
    "sentence_auprc": mean_metric(
        "Sentence AUPRC (ERASER)",
        "sentence_auprc",
        "trapezoidal area under the precision-recall curve of the sentence scores",
        "unit:sentence|budget:none",
        differs="as sentence_average_precision",
    ),
    "sentence_roc_auc": mean_metric(
        "Sentence ROC AUC",
        "sentence_roc_auc",
        "probability that a marked sentence scores higher than one that is not",
        "unit:sentence|budget:none",
        differs="as sentence_average_precision",
    ),
}


def cutoff_metrics(cutoff: int) -> dict[str, Metric]:
    """Precision, recall and F1 of the ``cutoff`` words with the highest scores."""
    fixes = f"unit:word|budget:{cutoff}"
    return {
        f"precision_at_{cutoff}": mean_metric(
            f"P @{cutoff}", f"precision_at_{cutoff}", f"share of the {cutoff} top-scored words that are marked", fixes
        ),
        f"recall_at_{cutoff}": mean_metric(
            f"R @{cutoff}",
            f"recall_at_{cutoff}",
            f"share of the marked words among the {cutoff} top-scored ones",
            fixes,
        ),
        f"f1_at_{cutoff}": mean_metric(
            f"F1 @{cutoff}", f"f1_at_{cutoff}", f"F1 of the {cutoff} top-scored words", fixes
        ),
    }


def iou_metric(threshold: float) -> dict[str, Metric]:
    """IOU F1 at another threshold than 0.5."""
    return {
        f"iou_f1@{threshold:g}": Metric(
            f"IOU F1 @{threshold:g}",
            (f"iou_precision@{threshold:g}", f"iou_recall@{threshold:g}"),
            f1_of_means,
            False,
            f"F1 of the spans of the hard rationale with an IOU of at least {threshold:g}",
            "unit:span|budget:own|over:f1-of-mean-p-and-r",
            differs=SAFE_IOU,
        )
    }


def _faithfulness() -> dict[str, Metric]:
    """Rows in pairs: what erasing the rationale does (more is better), what keeping it alone does (less is better)."""
    rows: dict[str, Metric] = {}
    both = {"comprehensiveness": "the rationale is erased", "sufficiency": "only the rationale is kept"}
    for name, what in both.items():
        less = name == "sufficiency"
        short = name[:4].title()
        for suffix, title, meaning, more in (
            ("", "", f"fall of the predicted class's probability when {what}", {"bounds": (-1.0, 1.0)}),
            ("_entropy", " entropy", f"fall of the entropy (nats) when {what}", {"bounds": (-np.inf, np.inf)}),
            ("_kl", " KL", f"KL divergence (nats) from the first probabilities when {what}", {"bounds": (0.0, np.inf)}),
            (
                "_aopc",
                " AOPC",
                f"mean fall over the shares of words in the file when {what}",
                {"bounds": (-1.0, 1.0)},
            ),
            (
                "_aopc_sentences",
                " AOPC, sentences",
                f"mean fall over the shares of sentences in the file when {what}",
                {"bounds": (-1.0, 1.0)},
            ),
            (
                "_area",
                " area",
                f"area under the fall over the share of words, by its width, when {what}: every share weighs alike",
                {"bounds": (-1.0, 1.0)},
            ),
        ):
            # Without a rationale that matters the model is less sure: the entropy rises, and its fall is below 0.
            lower = less != (suffix == "_entropy")
            rows[name + suffix] = mean_metric(
                short + title, name + suffix, meaning, FAITHFUL, lower_is_better=lower, **more
            )
    rows["normalised_comprehensiveness"] = mean_metric(
        "Comp norm.",
        "normalised_comprehensiveness",
        "comprehensiveness (at least 0) over the fall when everything is erased, at most 1",
        FAITHFUL,
    )
    rows["normalised_sufficiency"] = mean_metric(
        "Suff norm.",
        "normalised_sufficiency",
        "share of the fall when everything is erased that keeping the rationale prevents",
        FAITHFUL,
    )
    rows["log_odds"] = mean_metric(
        "Log odds",
        "log_odds",
        "mean over the shares of words in the file of log(probability of the predicted class without them / with them)",
        FAITHFUL,
        lower_is_better=True,
        bounds=(-np.inf, np.inf),
    )
    rows["deletion"] = mean_metric(
        "Deletion AUC",
        "deletion",
        "area under the probability of the predicted class while its words are erased, best first, from none to all",
        FAITHFUL,
        lower_is_better=True,
    )
    rows["insertion"] = mean_metric(
        "Insertion AUC",
        "insertion",
        "area under the probability of the predicted class while words are put in, best first, from none to all",
        FAITHFUL,
    )
    return rows


METRICS |= cutoff_metrics(CUTOFF) | _faithfulness()


def metrics_for(iou_thresholds: Sequence[float] = (), cutoffs: Sequence[int] = ()) -> dict[str, Metric]:
    """:data:`METRICS` with rows for further IOU thresholds and cutoffs."""
    table = dict(METRICS)
    for threshold in iou_thresholds:
        table |= iou_metric(threshold) if threshold != IOU_THRESHOLD else {}
    for cutoff in cutoffs:
        table |= cutoff_metrics(cutoff)
    return table
