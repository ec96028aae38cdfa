"""What words drawn at random get: computed in closed form, not simulated."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from eraser_eval.metrics.corpus import FloatArray


def chance_statistics(
    words: FloatArray,
    marked: FloatArray,
    budget: FloatArray,
    cutoffs: tuple[int, ...],
    thirds: Mapping[str, FloatArray] | None = None,
) -> dict[str, FloatArray]:
    """The expectation of each statistic for words drawn, or ordered, at random; each ``[examples]``.

    With m of n words marked, H the n-th harmonic number and b words chosen: ``average_precision`` is that of a random
    order, (m−1)/(n−1) · (1 − H/n) + H/n, a little above m/n; ``auprc`` is half of it and half of m/n;
    ``auprc_of_constant``, (1 + m/n) / 2, is what ERASER's trapezoid gives a *constant* score: it is not safe with ties.
    There is no closed form for spans; the method ``random`` shows their level.

    Args:
        words: ``[examples]``, n.
        marked: m; where it is 0 or n, what is undefined there is NaN.
        budget: b, words of the hard rationale; NaN where there is none.
        cutoffs: of the figures of the top-scored words.
        thirds: marked words in each third of the examples, by name.

    >>> row = chance_statistics(np.array([4.0]), np.array([1.0]), np.array([2.0]), ())
    >>> {name: round(float(row[name][0]), 4) for name in ("fpr", "token_f1", "average_precision")}
    {'fpr': 0.5, 'token_f1': 0.3333, 'average_precision': 0.5208}
    """
    share = marked / words
    some, both = marked > 0, (marked > 0) & (marked < words)
    harmonic = np.concatenate(([0.0], np.cumsum(1 / np.arange(1, words.max() + 1))))[words.astype(int)]
    order = np.divide(marked - 1, words - 1, out=np.zeros_like(words), where=words > 1)
    precision = order * (1 - harmonic / words) + harmonic / words
    columns = {
        "fpr": np.where(marked < words, budget / words, np.nan),
        "false_positives": budget * (1 - share),
        "negatives": words - marked,
        "fpr_at_gold": np.where(both, share, np.nan),
        "average_precision": np.where(both, precision, np.nan),
        "auprc": np.where(both, (precision + share) / 2, np.nan),
        "auprc_of_constant": np.where(both, (1 + share) / 2, np.nan),
        "roc_auc": np.where(both, 0.5, np.nan),
        "token_precision": np.where(some, np.where(budget > 0, share, 0.0 * budget), np.nan),
        "token_recall": np.where(some, budget / words, np.nan),
        "token_f1": np.divide(2 * budget * share, budget + marked, out=np.full_like(words, np.nan), where=some),
        "hits": budget * share,
        "chosen": budget,
        "marked": marked,
        "token_f1_at_gold": np.where(some, share, np.nan),
    }
    columns |= {f"{name}_at_reference": columns[name] for name in ("fpr", "token_f1")}
    for third, count in (thirds or {}).items():
        columns[f"coverage_{third}"] = np.where(count > 0, budget / words, np.nan)
    for cutoff in cutoffs:
        taken = np.minimum(cutoff, words)
        columns |= {
            f"precision_at_{cutoff}": np.where(some, share, np.nan),
            f"recall_at_{cutoff}": np.where(some, taken / words, np.nan),
            f"f1_at_{cutoff}": np.where(some, 2 * taken * share / (taken + marked), np.nan),
        }
    return columns
