"""How fast scoring is beside a straightforward implementation, one document after the other: ``make bench-score``.

Both compute the official figures of the same made-up corpus, and must agree; runs are interleaved in one process and
the ratio is that of the medians. The straightforward one does what the benchmark's own program does: an object
for every word and sets of them, scikit-learn's curves for every document. It gets a share of the corpus, as it is slow;
rates are annotations a second.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_auc_score

from eraser_eval.jsonl import DocumentStore, read_lines
from eraser_eval.metrics.official import hard_scores, soft_scores
from eraser_eval.score_file import official_score_file

Rows = list[dict[str, Any]]


def corpus(folder: Path, annotations: int, words: int, seed: int = 0) -> None:
    """Write ``docs.jsonl``, ``test.jsonl`` and ``predictions.jsonl``: about 10 gold and 10 predicted spans each."""
    generator = np.random.default_rng(seed)
    with (
        (folder / "docs.jsonl").open("w") as docs,
        (folder / "test.jsonl").open("w") as gold,
        (folder / "predictions.jsonl").open("w") as predictions,
    ):
        for number in range(annotations):
            docid = f"d{number}"
            docs.write(json.dumps({"docid": docid, "document": " ".join(["word"] * words)}) + "\n")
            spans = [sorted(generator.choice(words, 20, replace=False).tolist()) for _ in range(2)]
            marked, chosen = (
                [{"start_token": a, "end_token": b} for a, b in zip(s[::2], s[1::2], strict=True)] for s in spans
            )
            evidence = [[{"docid": docid, **span}] for span in marked]
            gold.write(
                json.dumps({"annotation_id": docid, "classification": "A", "evidences": evidence, "docids": [docid]})
                + "\n"
            )
            rationale = {
                "docid": docid,
                "hard_rationale_predictions": chosen,
                "soft_rationale_predictions": generator.random(words).round(6).tolist(),
            }
            predictions.write(json.dumps({"annotation_id": docid, "rationales": [rationale]}) + "\n")


@dataclass(frozen=True)
class Place:
    """A word of a document of an annotation."""

    annotation: str
    docid: str
    word: int


def straightforward(instances: Rows, annotations: Rows, documents: DocumentStore) -> dict[str, float]:
    """The official macro figures, document by document with sets and scikit-learn."""
    gold = {row["annotation_id"]: [item for group in row["evidences"] for item in group] for row in annotations}
    rows = []
    for instance in instances:
        (rationale,) = instance["rationales"]
        words = len(documents.get(rationale["docid"]).words)
        true_spans, made_spans = (
            [set(range(span["start_token"], span["end_token"])) for span in spans]
            for spans in (gold[instance["annotation_id"]], rationale["hard_rationale_predictions"])
        )
        true_words, made_words = (
            {Place(instance["annotation_id"], rationale["docid"], word) for span in spans for word in span}
            for spans in (true_spans, made_spans)
        )
        best = [max(len(made & true) / len(made | true) for true in true_spans) for made in made_spans]
        hits = sum(overlap >= 0.5 for overlap in best)
        shared = len(true_words & made_words)
        precision, recall = shared / len(made_words), shared / len(true_words)
        truth = [False] * words
        for place in true_words:
            truth[place.word] = True
        scores = rationale["soft_rationale_predictions"]
        curve = precision_recall_curve(truth, scores)
        rows.append(
            {
                "iou_p": hits / len(made_spans),
                "iou_r": hits / len(true_spans),
                "token_f1": 2 * precision * recall / (precision + recall) if shared else 0.0,
                "auprc": auc(curve[1], curve[0]),
                "average_precision": average_precision_score(truth, scores),
                "roc_auc_score": roc_auc_score(truth, scores),
            }
        )
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def ours(instances: Rows, annotations: Rows, documents: DocumentStore) -> dict[str, float]:
    """The same figures by the project's code."""
    hard = hard_scores(instances, annotations, (0.5,))
    soft = soft_scores(instances, annotations, documents.get, "soft_rationale_predictions", "token")
    iou = hard["iou_scores"][0]["macro"]
    return {"iou_p": iou["p"], "iou_r": iou["r"], "token_f1": hard["token_prf"]["instance_macro"]["f1"]} | soft


def seconds(work: Callable[[], object]) -> float:
    """How long ``work`` takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    """Make the corpus, check that both agree, time them in turn and print the rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--annotations", type=int, default=5000)
    parser.add_argument("--words", type=int, default=1000)
    parser.add_argument("--share", type=int, default=250, help="annotations that the straightforward one scores")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        corpus(folder, options.annotations, options.words)
        documents = DocumentStore(folder)
        annotations = [row for _, row in read_lines(folder / "test.jsonl")]
        instances = [row for _, row in read_lines(folder / "predictions.jsonl")]
        few = (instances[: options.share], annotations[: options.share], documents)
        apart = {name: abs(value - straightforward(*few)[name]) for name, value in ours(*few).items()}
        assert max(apart.values()) < 1e-9, apart
        times: dict[str, list[float]] = {"straightforward": [], "figures": [], "whole": []}
        for _ in range(options.repeats):
            times["straightforward"].append(seconds(lambda: straightforward(*few)) / options.share)
            times["figures"].append(seconds(lambda: ours(instances, annotations, documents)) / options.annotations)
            whole = seconds(lambda: official_score_file(folder, "test", folder / "predictions.jsonl"))
            times["whole"].append(whole / options.annotations)
    medians = {name: statistics.median(values) for name, values in times.items()}
    print(f"{options.annotations} annotations of {options.words} words, medians of {options.repeats} interleaved runs")
    print(f"straightforward: {1 / medians['straightforward']:8.0f} annotations/s (on {options.share} of them)")
    print(f"figures:         {1 / medians['figures']:8.0f} annotations/s, {_times(medians, 'figures')}")
    print(f"whole command:   {1 / medians['whole']:8.0f} annotations/s, {_times(medians, 'whole')} (reads, checks)")


def _times(medians: dict[str, float], name: str) -> str:
    return f"{medians['straightforward'] / medians[name]:.1f} times the straightforward rate"


if __name__ == "__main__":
    main()
