"""What lower precision costs: the classes of whole documents, beside those of the same model in its own precision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from adapler_explain.bench.runtimes import Call
from adapler_explain.classifier import Classifier, all_windows
from adapler_explain.progress import Progress
from adapler_explain.windows import BATCH_PIECES, by_pieces
from eraser_eval.datasets import Split


def accuracies(classifier: Classifier, data: Split, runs: Sequence[tuple[str, str, Call]]) -> list[dict[str, Any]]:
    """For each of ``runs`` (variant, the variant it is compared with, call) its figures over the documents of ``data``.

    Returns:
        Rows of ``variant``, ``documents``, ``accuracy``, ``compared_with``, ``same_class`` (share of the documents that
        both give one class) and ``probability_change`` (the largest of a document's class probability).
    """
    documents = all_windows(classifier, data)
    probabilities = {variant: document_probabilities(classifier, documents, call, variant) for variant, _, call in runs}
    gold = np.array([classifier.labels.index(example.label) for example in data.examples])
    rows = []
    for variant, compared, _ in runs:
        ours, theirs = probabilities[variant], probabilities[compared]
        rows.append(
            {
                "variant": variant,
                "documents": len(gold),
                "accuracy": float((ours.argmax(-1) == gold).mean()),
                "compared_with": compared,
                "same_class": float((ours.argmax(-1) == theirs.argmax(-1)).mean()),
                "probability_change": float(np.abs(ours - theirs).max()),
            }
        )
    return rows


def document_probabilities(
    classifier: Classifier, documents: Sequence[Sequence[Any]], call: Call, title: str
) -> NDArray[np.float64]:
    """Class probabilities ``[documents, classes]``, means over a document's windows, by what ``call`` computes."""
    windows = [window for document in documents for window in document]
    shares: list[NDArray[np.float64]] = []
    with torch.inference_mode(), Progress(f"accuracy, {title}", len(windows), "windows") as progress:
        for group in by_pieces(windows, BATCH_PIECES):
            logits = torch.as_tensor(call(classifier.batch(group)))
            shares.append(logits.cpu().double().softmax(-1).numpy())
            progress.advance(len(group))
    counts = np.array([len(document) for document in documents])
    sums = np.add.reduceat(np.concatenate(shares), np.cumsum(counts) - counts)
    means: NDArray[np.float64] = sums / counts[:, None]
    return means
