"""What a run of ``eval`` found, and its files: ``metrics.json``, ``table.md``, ``per_document.csv``, the figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from adapler_explain.explainers import named, title_of
from eraser_eval import __version__, bootstrap, human, plots, report, score, significance
from eraser_eval.datasets import Split
from eraser_eval.files import replacing, write_json, write_text
from eraser_eval.metrics import METRICS
from eraser_eval.records import Prediction
from eraser_eval.signature import signatures

WORDS = {"max": "largest of a word's pieces", "sum": "sum of a word's pieces", "mean": "mean of a word's pieces"}


def figures_of(
    split: Split,
    predictions: Mapping[str, Sequence[Prediction]],
    added: Mapping[str, Sequence[Prediction]],
    manifest: Mapping[str, Any],
) -> tuple[dict[str, Any], pd.DataFrame]:
    """The content of ``metrics.json``, and the statistics of each document behind it."""
    examples, own = split.examples, predictions["adapler"]
    budgets = {p.id: p.words_chosen for p in own}
    unpruned: dict[str, Any] = {p.id: p.extra["unpruned_classification"] for p in own}
    classification = {
        "pruned": score.classification(examples, {p.id: p.label for p in own}),
        "unpruned": score.classification(examples, unpruned),
    }
    reference = next((made for made in predictions.values() if made[0].extra["explains"] == "reference"), None)
    if reference is not None:
        classification["reference"] = score.classification(examples, {p.id: p.label for p in reference})
    table = pd.concat([score.per_document(examples, {**predictions, **added}), human.leave_one_out(examples)])
    # An own row of people has other gold; people's predictions from a file have the table's.
    apart = (human.METHOD,) if human.METHOD not in added else ()
    figures = score.summary(table, score.Statistics(seed=manifest["seed"], apart=apart))
    for method in figures:
        made = predictions.get(method)
        figures[method]["budget"] = "adapler" if made and not named(method)[0].chooses else "own"
        figures[method]["explains"] = made[0].extra["explains"] if made else "nothing: predictions from elsewhere"
    measured = {name: metric for name, metric in METRICS.items() if name in figures["adapler"]}
    content = {
        "dataset": split.info.name,
        "title": split.info.title,
        "source": split.source,
        "split": split.name,
        "documents": len(examples),
        "documents_in_split": split.total,
        "data_checksum": split.checksum,
        "model": manifest["model"],
        "model_checksum": manifest["model_checksum"],
        "reference_model": manifest["reference_model"],
        "reference_model_checksum": manifest["reference_model_checksum"],
        "explained": f"{manifest['reference_model']} ({manifest['reference_model_checksum']})"
        if manifest["reference_model"]
        else "the same weights with removal switched off",
        "target": manifest["target"],
        "layer": manifest["layer"],
        "operating_point": manifest["operating_factor"],
        "prevalence": float(np.mean([example.gold_mask.mean() for example in examples])),
        **({"supervised": True} if manifest.get("supervised") else {}),
        "classification": classification,
        "efficiency": score.efficiency(own),
        "chance": score.chance_levels(examples, budgets, measured),
        "methods": figures,
        "signatures": signatures(list(measured), _facts(split, manifest)),
    }
    return content, table


def _facts(split: Split, manifest: Mapping[str, Any]) -> dict[str, object]:
    """What fixes the figures of a run beside the metric itself."""
    point = manifest["operating_factor"]
    return {
        "data": f"{split.info.name}/{split.name}/{split.source}@{split.checksum}",
        "n": len(split.examples),
        "own": "adapler's words of each document",
        "words": WORDS[manifest["pool"]] + (", without sign" if manifest["sign"] == "absolute" else ""),
        "erased": manifest["faithfulness"] or "nothing",
        "explained_class": manifest["target"],
        "adapler": manifest["model_checksum"] + (f"×{point:.6g}" if point != 1 else ""),
        "explained": manifest["reference_model_checksum"] or "adapler without removal",
        "interval": f"95% percentile bootstrap over documents, {bootstrap.RESAMPLES}",
        "test": f"approximate randomisation, {significance.PERMUTATIONS}, Holm over methods",
        "seed": manifest["seed"],
        "version": __version__,
    }


def write_results(folder: Path, split: Split, table: pd.DataFrame, figures: Mapping[str, Any]) -> None:
    """Write the table, the statistics of each document, the figure and, last, ``metrics.json``."""
    table.insert(0, "data", f"{split.info.name}, {split.name}, {split.source}")
    with replacing(folder / "per_document.csv") as temporary:
        table.to_csv(temporary, index=False)
    write_text(folder / "table.md", report.markdown(figures))
    titles = {method: title_of(method) for method in figures["methods"]}
    plots.save(plots.comparison(figures, titles), folder / "comparison")
    write_json(folder / "metrics.json", figures)
