"""How far each teacher agrees with people, and what it costs: ``python benchmarks/teachers.py --help``.

For every document with marked words, each teacher explains the gold class of a fine-tuned model without removal; what
it says is read as the contribution predictors do: as shares of a window. A word's score is the largest of its pieces'.
Printed as JSON: average precision, and token F1 of as many top words as people marked, means over documents, beside the
chance level; and seconds a document. A supervised teacher has seen the answer: its agreement is its recipe's.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapler_explain.classifier import Classifier, all_windows
from adapler_explain.progress import Progress
from adapler_explain.teachers import TEACHERS, saliency_of
from adapler_explain.windows import Window, word_scores
from eraser_eval.datasets import Split, limited, load
from eraser_eval.metrics import CUTOFF
from eraser_eval.metrics.corpus import Gold
from eraser_eval.metrics.plausibility import soft_statistics
from eraser_eval.score import chance_levels

SHOWN = ("average_precision", "token_f1_at_gold")


@dataclass(frozen=True)
class Marked:
    """A split's documents with marked words, cut for a model.

    Attributes:
        split: the documents.
        windows: of each document.
        labels: names of the model's classes.
    """

    split: Split
    windows: list[list[Window]]
    labels: tuple[str, ...]

    def scores(self, classifier: Classifier, teacher: str) -> NDArray[np.float64]:
        """Word scores of all documents, one after the other."""
        found = []
        with Progress(teacher, len(self.windows), "documents") as progress:
            for example, windows in zip(self.split.examples, self.windows, strict=True):
                golds = [self.labels.index(example.label)] * len(windows)
                marked = [np.append(example.gold_mask, False)[list(window.words)] for window in windows]
                rows = saliency_of(classifier, windows, golds, marked, teacher)
                shares = [(row / row.mean()).cpu().double().numpy() for row in rows]
                found.append(word_scores(shares, windows, len(example.words), pair_at=example.pair_at, copies="mean"))
                progress.advance()
        return np.concatenate(found)


def figures(marked: Marked, classifier: Classifier, teacher: str) -> dict[str, Any]:
    """A teacher's row."""
    started = time.perf_counter()
    scores = marked.scores(classifier, teacher)
    seconds = (time.perf_counter() - started) / len(marked.windows)
    columns = soft_statistics(Gold.of(marked.split.examples), scores, (CUTOFF,))
    agreement = {name: round(float(np.nanmean(columns[name])), 4) for name in SHOWN}
    row = TEACHERS[teacher]
    return agreement | {"seconds": round(seconds, 3), "passes": row.passes, "supervised": row.supervised}


def marked_documents(classifier: Classifier, split: Split, limit: int) -> Marked:
    """At most ``limit`` (0: all) of the documents of ``split`` in which people marked words, cut for ``classifier``."""
    examples = tuple(example for example in split.examples if example.gold_mask.any())
    chosen = limited(replace(split, examples=examples), limit)
    return Marked(chosen, all_windows(classifier, chosen), classifier.labels)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the figures of every teacher."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a fine-tuned classifier; removal is off")
    parser.add_argument("--dataset", default="movies")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--split", default="val")
    parser.add_argument("--limit", type=int, default=0, help="documents, evenly spaced over the split; 0: all")
    parser.add_argument("--teachers", default=",".join(TEACHERS))
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args(arguments)
    classifier = Classifier.load(options.model, options.device)
    split = load(options.dataset, options.split, options.data_root)
    marked = marked_documents(classifier, split, options.limit)
    chance = chance_levels(marked.split.examples, {})
    report = {
        "model": classifier.checksum,
        "dataset": options.dataset,
        "split": options.split,
        "documents": len(marked.windows),
        "chance": {name: round(chance[name] or 0.0, 4) for name in SHOWN},
        "teachers": {name: figures(marked, classifier, name) for name in options.teachers.split(",")},
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
