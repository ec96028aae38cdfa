"""How fast pruned inference really is: variants timed in turn in one process, beside what a user would run instead."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from adapler_explain import backbones
from adapler_explain.bench import measure, subjects
from adapler_explain.bench.accuracy import accuracies
from adapler_explain.bench.rows import Facts, Run
from adapler_explain.bench.runtimes import UnavailableError, clear_exported
from adapler_explain.bench.subjects import SHAPES, Inputs, Size
from adapler_explain.bench.variants import BASELINE, VARIANTS
from adapler_explain.classifier import Classifier, all_windows
from adapler_explain.environment import describe
from adapler_explain.loading import check_device
from adapler_explain.progress import Progress
from eraser_eval.datasets import Split, load
from eraser_eval.errors import MissingError, UsageError

DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class BenchConfig:
    """What is timed.

    Attributes:
        model: an AdapLeR checkpoint, timed with its own removal; None: random weights of ``shape``.
        shape: a key of :data:`SHAPES`.
        keep: with random weights, how many times fewer FLOPs: ``10`` for ``--keep 10x``. The share of the pieces that
            stays falls by the same factor from layer to layer, and which ones stay is random.
        dataset: with a checkpoint, the data set whose windows are its texts; None: random pieces.
        split: of the data set.
        accuracy: also measure, on all documents of the split, what variants of lower precision cost.
        data_root: folder of the data sets.
        sizes: batches, see :func:`subjects.size_of`.
        variants: keys of :data:`VARIANTS`; empty: those that are timed by default.
        repeats: timed rounds at least; one round more warms up.
        seconds: rounds go on until the stock model has run this long, or :data:`measure.MOST_ROUNDS` are done.
        dtype: of the weights, for variants that have none of their own.
        device: torch device.
        seed: of weights and inputs.
    """

    model: str | None = None
    shape: str = "bert-base"
    keep: tuple[float, ...] = (10.0,)
    dataset: str | None = None
    split: str = "test"
    accuracy: bool = False
    data_root: str | None = None
    sizes: tuple[str, ...] = ("1x128", "32x128")
    variants: tuple[str, ...] = ()
    repeats: int = 5
    seconds: float = 4.0
    dtype: str = "float32"
    device: str = "cpu"
    seed: int = 0


def bench(config: BenchConfig) -> dict[str, Any]:
    """``rows``, one for each variant, schedule and size, with all that they were made with.

    A row has ``variant``, ``title``, ``keep``, ``batch``, ``length``, ``pieces`` (of all texts), ``dtype``,
    ``rounds``, ``ms`` (the median of a batch), ``ms_low`` and ``ms_high`` (its quartiles), ``p95`` and ``p99`` (None
    of too few rounds), ``texts_per_second``, ``pieces_per_second``, ``speedup`` (over ``stock-sdpa``, of medians),
    ``flops_speedup`` (of the pieces that were really processed), ``efficiency`` (the one over the other),
    ``share_of_peak`` (FLOPs a second over the most that matrix products of that type reach here; None for a model of
    another depth), ``logit_change`` (the largest difference from the same model in ``dtype``), ``where`` and
    ``peak_mb`` (of :func:`measure.profiled`; None for other runtimes). ``accuracy`` has the rows of
    :func:`accuracies`; ``skipped`` names the variants that cannot run, and why.

    Raises:
        UsageError: an option cannot be used.
        MissingError: the model or the data is not there.
    """
    sizes = check(config)
    device = torch.device(config.device)
    timed = subject(config)
    with torch.no_grad():
        runs, skipped = runs_of(timed.model, config)
    rows: list[dict[str, Any]] = []
    with torch.inference_mode(), Progress("timing", len(sizes), "sizes") as progress:
        peaks = {dtype: measure.peak_rate(dtype, device) for dtype in {dtype_of(run.variant, config) for run in runs}}
        for size in sizes:
            rows += rows_of(runs, timed.model, timed.inputs_of(size), config, peaks, skipped)
            progress.advance()
    return {
        "rows": rows,
        "skipped": skipped,
        "peak_gflops": {dtype: rate / 1e9 for dtype, rate in peaks.items()},
        "accuracy": accuracy_of(timed, runs) if config.accuracy else [],
        "texts": timed.texts,
        "settings": asdict(config),
        "environment": describe(config.device),
    }


def check(config: BenchConfig) -> list[Size]:
    """The sizes; UsageError or MissingError for an option that cannot be used."""
    check_device(config.device)
    unknown = [name for name in config.variants if name not in VARIANTS]
    if unknown:
        raise UsageError(f"--variants {','.join(unknown)}: unknown; choose from {', '.join(VARIANTS)}")
    if config.shape not in SHAPES:
        raise UsageError(f"--shape {config.shape}: choose from {', '.join(SHAPES)}")
    if config.dtype not in DTYPES:
        raise UsageError(f"--dtype {config.dtype}: choose from {', '.join(DTYPES)}")
    for times in config.keep:
        if not 1 <= times < np.inf:
            raise UsageError(f"--keep {times:g}x: give at least 1x")
    if config.model is not None and not Path(config.model).is_dir():
        raise MissingError(f"--model {config.model}: no such folder")
    if config.dataset is not None and config.model is None:
        raise UsageError("--dataset: needs --model; random weights are timed on random pieces")
    if config.accuracy and config.dataset is None:
        raise UsageError("--accuracy: needs --dataset")
    if not 0 <= config.seed < 2**63:
        raise UsageError(f"--seed {config.seed}: give a number below 2^63")
    if config.device == "meta":
        raise UsageError("--device meta: computes nothing; give cpu or cuda")
    sizes = list(dict.fromkeys(subjects.size_of(size) for size in config.sizes))
    if not sizes or any((size.longest == 0) != (config.dataset is not None) for size in sizes):
        wanted = "TEXTS alone, e.g. 1,32, with --dataset" if config.dataset else "TEXTSxPIECES, e.g. 1x128,32x128"
        raise UsageError(f"--sizes {','.join(config.sizes)}: give {wanted}")
    return sizes


@dataclass(frozen=True)
class Subject:
    """What is timed: an AdapLeR model, what makes its batches, and a word on them; with real texts, where they are."""

    model: Any
    inputs_of: Callable[[Size], Inputs]
    texts: str
    classifier: Classifier | None = None
    data: Split | None = None


def subject(config: BenchConfig) -> Subject:
    """What ``config`` asks to time."""
    dtype = getattr(torch, config.dtype)
    if config.model is None:
        model = subjects.random_model(config.shape, config.seed).to(config.device, dtype)
    else:
        classifier = Classifier.load(config.model, config.device)
        model = classifier.model.to(dtype)
        if not hasattr(model, "adapler"):
            raise UsageError(f"--model {config.model}: not an AdapLeR checkpoint")
        if config.dataset is not None:
            data = load(config.dataset, config.split, Path(config.data_root) if config.data_root else None)
            unknown = sorted({example.label for example in data.examples} - set(classifier.labels))
            if config.accuracy and unknown:
                raise UsageError(f"--accuracy: the model has no class {', '.join(unknown)} of {config.dataset}")
            windows = [window for document in all_windows(classifier, data) for window in document]
            return Subject(
                model,
                lambda size: subjects.real_inputs(classifier, windows, size, config.seed),
                f"windows of {config.dataset} {config.split} ({data.source})",
                classifier,
                data,
            )
    longest = max(subjects.size_of(size).longest for size in config.sizes)
    if longest > backbones.longest(model):
        raise UsageError(f"--sizes: the model reads {backbones.longest(model)} pieces, not {longest}")
    random = partial(subjects.random_inputs, model, seed=config.seed)
    return Subject(model, random, "random pieces")


def accuracy_of(timed: Subject, runs: list[Run]) -> list[dict[str, Any]]:
    """Accuracies of the stock model, of AdapLeR, and of each variant that has a precision of its own."""
    assert timed.classifier is not None and timed.data is not None
    compared = [
        (run.variant, "adapler" if VARIANTS[run.variant].prunes else BASELINE, run.call)
        for run in runs
        if run.variant in (BASELINE, "adapler") or VARIANTS[run.variant].dtype is not None
    ]
    there = {variant for variant, _, _ in compared}
    return accuracies(timed.classifier, timed.data, [row for row in compared if row[1] in there])


def runs_of(model: Any, config: BenchConfig) -> tuple[list[Run], list[dict[str, str]]]:
    """Every variant made ready, the stock model first, and those that cannot run with the reason."""
    names = list(config.variants or [name for name, variant in VARIANTS.items() if variant.default])
    if config.accuracy and any(VARIANTS[name].prunes for name in names):
        names.append("adapler")
    stock = subjects.stock_of(model)
    pruned = {times: subjects.scheduled(model, times, config.seed) for times in config.keep} if not config.model else {}
    runs, skipped = [], []
    for name in dict.fromkeys((BASELINE, *names)):
        try:
            if not VARIANTS[name].prunes:
                runs.append(Run(name, VARIANTS[name].prepare(stock)))
            elif config.model:
                runs.append(Run(name, VARIANTS[name].prepare(model), model))
            else:
                runs += [Run(name, VARIANTS[name].prepare(twin), twin, times) for times, twin in pruned.items()]
        except UnavailableError as error:
            skipped.append({"variant": name, "reason": str(error)})
    clear_exported()
    return runs, skipped


def rows_of(
    runs: list[Run],
    model: Any,
    inputs: Inputs,
    config: BenchConfig,
    peaks: dict[str, float],
    skipped: list[dict[str, str]],
) -> list[dict[str, Any]]:
    """The rows of one size; what turns out not to run here goes to ``skipped``."""
    device = torch.device(config.device)
    works: list[tuple[Run, measure.Work, torch.Tensor]] = []
    for run in runs:
        work: measure.Work = partial(run.call, inputs)
        try:
            works.append((run, work, torch.as_tensor(run.call(inputs)).float().clone()))
        except UnavailableError as error:
            if run.variant not in (row["variant"] for row in skipped):
                skipped.append({"variant": run.variant, "reason": str(error)})
    times = measure.interleaved([work for _, work, _ in works], device, config.repeats, config.seconds)
    facts = Facts(model, inputs, float(np.median(times[0])), peaks)
    return [
        facts.row(run, dtype_of(run.variant, config), work, logits, taken)
        for (run, work, logits), taken in zip(works, times, strict=True)
    ]


def dtype_of(variant: str, config: BenchConfig) -> str:
    """The type of a variant's matrix products."""
    return VARIANTS[variant].dtype or config.dtype
