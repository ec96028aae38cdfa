"""Prediction files and a data folder in, figures out: what stands behind ``score`` and ``validate``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from re import fullmatch
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import classification_report

from eraser_eval import __version__, human, score
from eraser_eval.datasets.load import eraser_checksum
from eraser_eval.errors import DataError, UsageError
from eraser_eval.files import checksum
from eraser_eval.jsonl import DocumentStore, read_examples, read_lines
from eraser_eval.metrics import metrics_for
from eraser_eval.metrics.official import AOPC_THRESHOLDS, IOU_THRESHOLDS, official_scores
from eraser_eval.prediction_file import prediction_of
from eraser_eval.records import Erasure, Example, Prediction
from eraser_eval.signature import signatures
from eraser_eval.validate import (
    TOLERATED_IN_PART,
    TOLERATED_OFFICIALLY,
    Context,
    Defect,
    data_defects,
    prediction_defects,
)


@dataclass(frozen=True)
class ScoreConfig:
    """What is scored and how.

    Attributes:
        data_dir: folder with the documents and ``<split>.jsonl``.
        split: name of the split.
        results: prediction files, each ``FILE`` or ``NAME=FILE``; a name that stands twice has several runs (seeds).
            The others are compared with the first.
        iou_thresholds: of the span scores, beside 0.5.
        cutoffs: numbers of top-scored words, beside 10.
        aopc_thresholds: which of the files' thresholds enter the AOPC; None: all.
        strict: demand predicted classes.
        part: score the predictions that are there: missing and unknown ids are passed over.
        seed, resamples, interval: of intervals and tests.
    """

    data_dir: Path
    split: str
    results: tuple[str, ...]
    iou_thresholds: tuple[float, ...] = ()
    cutoffs: tuple[int, ...] = ()
    aopc_thresholds: tuple[float, ...] | None = None
    part: bool = False
    strict: bool = False
    seed: int = 0
    resamples: int = 10_000
    interval: str = "percentile"


def find_defects(data_dir: Path, split: str, results: Path | None = None) -> list[Defect]:
    """Every defect of a split and, where given, of a prediction file for it.

    The predictions are checked against the annotations only when those have no defect.

    Raises:
        MissingError: a file or the folder is not there.
    """
    documents, path = DocumentStore(data_dir), data_dir / f"{split}.jsonl"
    defects = list(data_defects(path, documents))
    if results is not None and not defects:
        defects = list(prediction_defects(results, _context(path, documents)))
    return defects


def score_files(config: ScoreConfig) -> dict[str, Any]:
    """The figures of prediction files by the safe definitions: values, intervals, differences, chance, signatures.

    Returns:
        ``data``, ``split``, ``data_checksum``, ``documents``, ``prevalence``, ``reference`` (the first name),
        ``methods`` (see :func:`eraser_eval.score.summary`; with ``classification`` and ``results``, the files'
        checksum), ``chance`` (for as many words as the reference chose) and ``signatures``.

    Raises:
        MissingError: a file or the folder is not there.
        DataError: the data or the predictions have a defect.
        UsageError: an entry of ``results`` cannot be read, or a number is out of range.
    """
    _check_numbers(config)
    documents, path = DocumentStore(config.data_dir), config.data_dir / f"{config.split}.jsonl"
    context = _context(path, documents)
    examples = list(context.examples.values())
    files = _named_files(config.results)
    made = {name: [_predictions(file, context, config) for file in paths] for name, paths in files.items()}
    reference = next(iter(made))
    first = {prediction.id: prediction for prediction in made[reference][0]}
    budgets = {p.id: p.words_chosen for p in first.values() if p.spans is not None}
    tables = []
    for number in range(max(map(len, made.values()))):
        run = {name: runs[number] for name, runs in made.items() if number < len(runs)}
        try:
            tables.append(score.per_document(examples, run, config.iou_thresholds, config.cutoffs, budgets))
        except ValueError as error:
            raise DataError(config.data_dir, str(error)) from None
    tables[0] = pd.concat([tables[0], human.leave_one_out(examples, config.iou_thresholds)])
    metrics = metrics_for(config.iou_thresholds, config.cutoffs)
    settings = score.Statistics(
        reference, config.seed, config.resamples, config.interval, metrics, apart=(human.METHOD,)
    )
    try:
        methods = score.summary(tables, settings)
    except ValueError as error:
        raise DataError(config.data_dir, str(error)) from None
    for name, runs in made.items():
        methods[name] |= _about(examples, runs[0]) | {"results": checksum(files[name])}
    covered = [example for example in examples if example.id in first]
    data_checksum = eraser_checksum(path, examples)
    return {
        "data": str(config.data_dir),
        "split": config.split,
        "data_checksum": data_checksum,
        "documents": len(examples),
        "prevalence": float(np.mean([example.gold_mask.mean() for example in examples])),
        "reference": reference,
        "methods": methods,
        "chance": score.chance_levels(covered, budgets, metrics),
        "signatures": signatures(
            [name for name in metrics if any(name in m for m in methods.values())],
            _facts(config, methods, made, data_checksum),
            metrics,
        ),
    }


def _facts(
    config: ScoreConfig,
    methods: Mapping[str, Any],
    made: Mapping[str, Sequence[Sequence[Prediction]]],
    data_checksum: str,
) -> dict[str, object]:
    """What fixes the figures beside the metric itself."""
    return {
        "data": f"{config.data_dir.resolve().name}/{config.split}@{data_checksum}",
        "n": "/".join(str(methods[name]["documents"]) for name in made),
        "predictions": "/".join(methods[name]["results"] for name in made),
        "shares": _shares(made),
        "interval": f"95% {config.interval} bootstrap over documents, {config.resamples}",
        "test": f"approximate randomisation, {config.resamples}, Holm over methods",
        "seed": config.seed,
        "version": __version__,
    }


def official_score_file(
    data_dir: Path,
    split: str,
    results: Path,
    iou_thresholds: Sequence[float] = IOU_THRESHOLDS,
    aopc_thresholds: Sequence[float] = AOPC_THRESHOLDS,
    strict: bool = False,
) -> dict[str, Any]:
    """What the official scorer writes for ``results``; see :func:`eraser_eval.metrics.official.official_scores`.

    Args:
        data_dir: folder with the documents and ``<split>.jsonl``.
        split: name of the split.
        results: prediction file.
        iou_thresholds: of the span scores.
        aopc_thresholds: which of the instances' thresholds enter the AOPC.
        strict: demand predicted classes.

    Raises:
        MissingError: a file or the folder is not there.
        DataError: the data or the predictions have a defect that the official program stops at, or it gives no figure.
        UsageError: ``strict`` without predicted classes.
    """
    documents, path = DocumentStore(data_dir), data_dir / f"{split}.jsonl"
    instances = _sound_rows(results, _context(path, documents), TOLERATED_OFFICIALLY)
    if strict and instances[0].get("classification") is None:
        raise UsageError("--strict: the predictions have no 'classification'; add it or leave --strict out")
    annotations = [row for _, row in read_lines(path)]
    try:
        return official_scores(instances, annotations, documents.get, iou_thresholds, aopc_thresholds)
    except KeyError as error:
        raise DataError(results, f"lacks {error.args[0]!r}, which the official scorer needs") from None
    except (ValueError, OverflowError, IndexError) as error:
        raise DataError(results, str(error)) from None


def _context(path: Path, documents: DocumentStore) -> Context:
    examples = {example.id: example for example in read_examples(path, documents)}
    labels = tuple(sorted({example.label for example in examples.values()}))
    return Context(examples, documents, labels)


def _sound_rows(path: Path, context: Context, tolerated: frozenset[str]) -> list[dict[str, Any]]:
    """The objects of a prediction file that has no defect but ``tolerated`` ones."""
    rows: list[dict[str, Any]] = []
    defects = [defect for defect in prediction_defects(path, context, rows) if defect.kind not in tolerated]
    if defects:
        more = f" (and {len(defects) - 1} more; see 'adapler-explain validate')" if len(defects) > 1 else ""
        where, _, what = defects[0].text.partition(": ")
        raise DataError(where, f"{what}{more}")
    if not rows:
        raise DataError(path, "has no predictions")
    return rows


def _named_files(results: Sequence[str]) -> dict[str, list[Path]]:
    """Name to its files; a file without a name is called by its stem."""
    files: dict[str, list[Path]] = {}
    for entry in results:
        name, sign, path = entry.partition("=")
        if not sign or Path(entry).exists():
            name, path = Path(entry).stem, entry
            if name in files:
                raise UsageError(f"--results {entry}: a second file called {name!r}; write NAME=FILE for several runs")
        if not (path and fullmatch(r"[\w.()-]+", name)) or name == human.METHOD:
            raise UsageError(f"--results {entry}: write FILE or NAME=FILE, with a name of letters, digits, . - _ ( )")
        files.setdefault(name, []).append(Path(path))
    return files


def _predictions(path: Path, context: Context, config: ScoreConfig) -> list[Prediction]:
    tolerated = TOLERATED_IN_PART if config.part else frozenset()
    rows = _sound_rows(path, context, tolerated)
    made = [prediction_of(row) for row in rows if row["annotation_id"] in context.examples]
    if not made:
        raise DataError(path, "has no prediction for this split")
    if config.strict and any(prediction.label is None for prediction in made):
        raise UsageError(f"--strict: {path} has no 'classification'; add it or leave --strict out")
    if config.aopc_thresholds is None:
        return made
    return [
        replace(
            prediction,
            erasures=_chosen(prediction.erasures, config.aopc_thresholds, path, prediction.id),
            sentence_erasures=_chosen(prediction.sentence_erasures, config.aopc_thresholds, path, prediction.id),
        )
        for prediction in made
    ]


def _chosen(erasures: tuple[Erasure, ...], wanted: Sequence[float], path: Path, identifier: str) -> tuple[Erasure, ...]:
    found = tuple(e for e in erasures if any(abs(e.fraction - share) < 1e-9 for share in wanted))
    if erasures and len(found) != len(set(wanted)):
        raise DataError(path, f"{identifier!r} lacks one of the thresholds {', '.join(map(str, wanted))}; add it")
    return found


def _shares(made: Mapping[str, Sequence[Sequence[Prediction]]]) -> str:
    """The shares that enter the AOPC, which must be the same in all files that have any."""
    found = {
        tuple(erasure.fraction for erasure in prediction.erasures)
        for runs in made.values()
        for predictions in runs
        for prediction in predictions
        if prediction.erasures
    }
    if len(found) > 1:
        raise UsageError("--results: the files have other thresholds; choose common ones with --aopc-thresholds")
    return ",".join(f"{share:g}" for shares in found for share in shares) or "none"


def _about(examples: Sequence[Example], made: Sequence[Prediction]) -> dict[str, Any]:
    """``classification`` of the first run, where it predicts classes: accuracy, macro F1 and figures of each class."""
    predicted: Mapping[str, str | None] = {prediction.id: prediction.label for prediction in made}
    covered = [example for example in examples if example.id in predicted]
    if any(label is None for label in predicted.values()):
        return {}
    gold = [example.label for example in covered]
    report = classification_report(
        gold, [predicted[example.id] for example in covered], output_dict=True, zero_division=0.0
    )
    return {"classification": score.classification(covered, predicted) | {"report": report}}


def _check_numbers(config: ScoreConfig) -> None:
    for option, values, sound in (
        ("--iou-thresholds", config.iou_thresholds, lambda value: 0 < value <= 1),
        ("--aopc-thresholds", config.aopc_thresholds or (), lambda value: 0 <= value <= 1),
        ("--top-words", config.cutoffs, lambda value: value >= 1),
    ):
        for value in values:
            if not sound(value):
                raise UsageError(f"{option} {value}: out of range")
