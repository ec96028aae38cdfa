"""What figures show, as tables: a row a point. Nothing here draws."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import kendalltau
from sklearn.metrics import roc_curve

from eraser_eval.curves import precision_recall
from eraser_eval.errors import DataError
from eraser_eval.metrics import METRICS
from eraser_eval.rationale import top_words
from eraser_eval.records import BoolArray, Example, Prediction, mask_of
from eraser_eval.runs import Run

FloatArray = NDArray[np.float64]
BARS = ("fpr", "average_precision", "token_f1", "comprehensiveness_aopc", "sufficiency_aopc")
POINTS = 51
TENTHS = 10


def bars(runs: Sequence[Run]) -> pd.DataFrame:
    """Columns ``run``, ``method``, ``metric``, ``value``, ``low``, ``high``, ``chance``: the metrics that a run has."""
    rows = []
    for run in runs:
        for method, values in run.figures["methods"].items():
            for metric in BARS:
                estimate = values.get(metric)
                if estimate is not None and estimate["value"] is not None:
                    row = {key: estimate[key] for key in ("value", "low", "high")}
                    level = run.figures["chance"].get(metric)
                    rows.append({"run": run.name, "method": method, "metric": metric} | row | {"chance": level})
    return pd.DataFrame(rows)


def precision_recall_curves(run: Run) -> pd.DataFrame:
    """Columns ``method``, ``recall``, ``precision``; see :func:`eraser_eval.curves.precision_recall`."""
    return precision_recall(run.split.examples, run.predictions)


def roc_curves(run: Run) -> pd.DataFrame:
    """Columns ``method``, ``false_positive_rate``, ``true_positive_rate``: the mean curve over documents.

    At each level of the false-positive rate the mean, over documents with words marked and words not, of the
    true-positive rate, interpolated between thresholds.
    """
    levels = np.linspace(0, 1, POINTS)
    tables = []
    for method, made in run.predictions.items():
        curves = []
        for example, scores in _scored(run, made):
            if 0 < example.gold_mask.sum() < len(example.words):
                falls, hits, _ = roc_curve(example.gold_mask, scores)
                curves.append(np.interp(levels, falls, hits))
        if curves:
            row = {"method": method, "false_positive_rate": levels, "true_positive_rate": np.mean(curves, axis=0)}
            tables.append(pd.DataFrame(row))
    return pd.concat(tables, ignore_index=True)


def layers(run: Run) -> pd.DataFrame:
    """Columns ``method``, ``layer`` (from 1), ``kept``, ``fpr``, ``precision``, ``recall``: means over documents.

    Of the words that AdapLeR has alive in a layer, and of as many words that score highest with each other method.
    Documents without marked words have a false-positive rate alone; precision where there are no words is left out.

    Raises:
        DataError: the run has no predictions of AdapLeR.
    """
    if "adapler" not in run.predictions:
        raise DataError(run.folder, "has no predictions of adapler; figures by layer need them")
    own = dict(_by_id(run, run.predictions["adapler"]))
    count = len(run.figures["efficiency"]["kept_per_layer"])
    rows = []
    for method, made in run.predictions.items():
        found: list[list[tuple[float, float, float, float]]] = [[] for _ in range(count)]
        for example, scores in _scored(run, made):
            for layer in range(count):
                alive = own[example.id] >= layer + 1
                chosen = alive if method == "adapler" else top_words(scores, int(alive.sum()))
                found[layer].append(_against(chosen, example.gold_mask))
        for layer, values in enumerate(found):
            # Where no document has any word alive, nothing is known of their precision.
            means = pd.DataFrame(values, columns=list(LAYER_COLUMNS)).mean()
            rows.append({"method": method, "layer": layer + 1, **means.to_dict()})
    return pd.DataFrame(rows)


LAYER_COLUMNS = ("kept", "fpr", "precision", "recall")


def _against(chosen: BoolArray, gold: BoolArray) -> tuple[float, float, float, float]:
    hits, marked, words = float((chosen & gold).sum()), float(gold.sum()), float(len(gold))
    false, picked = float((chosen & ~gold).sum()), float(chosen.sum())
    return (
        picked / words,
        false / (words - marked) if words > marked else np.nan,
        hits / picked if picked and marked else np.nan,
        hits / marked if marked else np.nan,
    )


def costs(runs: Sequence[Run]) -> pd.DataFrame:
    """Columns ``run``, ``method``, ``gflops``, ``seconds``, ``average_precision`` and, where known,
    ``comprehensiveness_aopc``: what a document's explanation takes, and what it is worth.

    Raises:
        DataError: a run does not say what explanations cost.
    """
    rows = []
    for run in runs:
        known = {m: v for m, v in run.figures["methods"].items() if v.get("flops_per_document")}
        if not known:
            raise DataError(run.folder, "does not say what explanations cost; repeat it with this version")
        for method, values in known.items():
            row = {"run": run.name, "method": method, "gflops": values["flops_per_document"] / 1e9}
            row["seconds"] = values["seconds_per_document"]
            for metric in ("average_precision", "comprehensiveness_aopc"):
                if values.get(metric, {}).get("value") is not None:
                    row[metric] = values[metric]["value"]
            rows.append(row)
    return pd.DataFrame(rows)


def agreement(run: Run) -> pd.DataFrame:
    """Columns ``method``, ``other``, ``kendall_tau``: the mean over documents where the scores of both vary.

    A method whose scores never vary is left out.
    """
    scored = {method: dict(_by_id(run, made)) for method, made in run.predictions.items()}
    names = [method for method, scores in scored.items() if any(np.ptp(values) > 0 for values in scores.values())]
    rows = []
    for one in names:
        for other in names:
            taus = [
                float(kendalltau(scored[one][key], scored[other][key]).statistic)
                for key in scored[one].keys() & scored[other].keys()
                if np.ptp(scored[one][key]) > 0 and np.ptp(scored[other][key]) > 0
            ]
            rows.append(
                {"method": one, "other": other, "kendall_tau": float(np.mean(sorted(taus))) if taus else np.nan}
            )
    return pd.DataFrame(rows)


def calibration(run: Run) -> pd.DataFrame:
    """Columns ``tenth``, ``saliency``, ``contribution``, ``low``, ``high``, ``power``, by tenths of saliency.

    Words of all documents, in even shares of their document (1 is what each would have if all had the same), in ten
    groups of equal size by gradient × input; mean and quartiles of what the contribution predictors say of them.
    Gradient × input is raised to the ``power`` that the predictors were taught it with.

    Raises:
        DataError: the run lacks one of the two methods.
    """
    for method in ("contribution", "input-x-gradient"):
        if method not in run.predictions:
            raise DataError(run.folder, f"has no predictions of {method}; calibration needs them")
    made = {name: dict(_by_id(run, run.predictions[name])) for name in ("contribution", "input-x-gradient")}
    keys = [key for key in made["contribution"] if key in made["input-x-gradient"]]
    power = float(run.manifest.get("teacher_power", 1.0))
    said, asked = (
        np.concatenate([_in_even_shares(made[name][key] ** exponent) for key in keys])
        for name, exponent in (("contribution", 1.0), ("input-x-gradient", power))
    )
    order = np.argsort(asked, kind="stable")
    rows = []
    for number, places in enumerate(np.array_split(order, TENTHS)):
        low, high = np.quantile(said[places], [0.25, 0.75])
        rows.append(
            {
                "tenth": number + 1,
                "saliency": asked[places].mean(),
                "contribution": said[places].mean(),
                "low": low,
                "high": high,
                "power": power,
            }
        )
    return pd.DataFrame(rows)


def _in_even_shares(values: FloatArray) -> FloatArray:
    shares: FloatArray = values / max(values.mean(), 1e-12)
    return shares


def position(run: Run) -> pd.DataFrame:
    """Columns ``method``, ``tenth``, ``share``: where in the document rationale words are; ``people`` are gold's.

    The mean over documents of the share of the rationale's words in each tenth of the document.
    """
    rows = []
    masks = {
        method: [mask_of(p.spans or (), e.documents) for e, p in _pairs(run, made)]
        for method, made in run.predictions.items()
    }
    for method, found in {"people": [e.gold_mask for e in run.split.examples], **masks}.items():
        shares = []
        for mask in found:
            if mask.any():
                tenth = np.arange(len(mask)) * TENTHS // len(mask)
                shares.append(np.bincount(tenth[mask], minlength=TENTHS) / mask.sum())
        for number, share in enumerate(np.mean(shares, axis=0) if shares else []):
            rows.append({"method": method, "tenth": number + 1, "share": float(share)})
    return pd.DataFrame(rows)


def length(run: Run, groups: int = 4) -> pd.DataFrame:
    """Columns ``method``, ``group``, ``words``, ``average_precision``, ``documents``: by length, in equal groups."""
    metric = METRICS["average_precision"].columns[0]
    rows = []
    for method, table in run.table.groupby("method", sort=False):
        known = table[["words", metric]].dropna().sort_values("words", kind="stable")
        for number, part in enumerate(np.array_split(np.arange(len(known)), min(groups, len(known)))):
            rows.append(
                {
                    "method": method,
                    "group": number + 1,
                    "words": float(known["words"].iloc[part].mean()),
                    "average_precision": float(known[metric].iloc[part].mean()),
                    "documents": len(part),
                }
            )
    return pd.DataFrame(rows)


def _pairs(run: Run, made: Sequence[Prediction]) -> list[tuple[Example, Prediction]]:
    found = {one.id: one for one in made}
    return [(example, found[example.id]) for example in run.split.examples if example.id in found]


def _scored(run: Run, made: Sequence[Prediction]) -> list[tuple[Example, FloatArray]]:
    return [
        (example, np.concatenate([np.asarray(p.scores[d.docid], dtype=np.float64) for d in example.documents]))
        for example, p in _pairs(run, made)
        if p.scores
    ]


def _by_id(run: Run, made: Sequence[Prediction]) -> list[tuple[str, FloatArray]]:
    return [(example.id, scores) for example, scores in _scored(run, made)]
