"""How fast pruned inference really is: variants timed in turn in one process, beside what a user would run instead."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import BertForSequenceClassification

from adapler_explain import flops
from adapler_explain.classifier import check_device, load_pretrained
from adapler_explain.config import AdaplerBertConfig
from adapler_explain.environment import describe
from adapler_explain.modeling import AdaplerBertForSequenceClassification
from adapler_explain.progress import Progress
from eraser_eval.errors import MissingError, UsageError

SHAPES: dict[str, dict[str, Any]] = {
    "bert-base": {},
    "minilm": {"num_hidden_layers": 6, "hidden_size": 384, "intermediate_size": 1536},
    "tiny": {"num_hidden_layers": 2, "hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2},
}
BASELINE = "stock-sdpa"
Inputs = dict[str, Tensor]
Work = Callable[[], object]


@dataclass(frozen=True)
class BenchConfig:
    """What is timed.

    Attributes:
        model: an AdapLeR checkpoint, timed with its own removal; None: random weights of ``shape``.
        shape: a key of :data:`SHAPES`.
        keep: with random weights, how many times fewer FLOPs: ``10`` for ``--keep 10x``. The share of the pieces that
            stays falls by the same factor from layer to layer, and which ones stay is random.
        batches: texts in a batch.
        lengths: pieces of a text.
        variants: keys of :data:`VARIANTS`.
        repeats: timed rounds; one round more warms up.
        device: torch device.
        seed: of weights and inputs.
    """

    model: str | None = None
    shape: str = "bert-base"
    keep: float = 10.0
    batches: tuple[int, ...] = (1, 32)
    lengths: tuple[int, ...] = (128,)
    variants: tuple[str, ...] = ()
    repeats: int = 7
    device: str = "cpu"
    seed: int = 0


class Scheduled(nn.Module):
    """A contribution predictor with its cost, whose verdict is random: each piece stays with probability ``share``."""

    def __init__(self, predictor: nn.Module, share: float, seed: int) -> None:
        super().__init__()
        self.predictor, self.share, self.seed = predictor, share, seed

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Logits so far apart that those to stay share all contribution."""
        logits: Tensor = self.predictor(hidden_states)
        generator = torch.Generator().manual_seed(self.seed)
        stays = torch.rand(logits.shape, generator=generator).to(logits.device) < self.share
        return torch.where(stays, 0.0 * logits, torch.full_like(logits, -30.0))


@dataclass(frozen=True)
class Variant:
    """A way to run a classifier.

    Attributes:
        prunes: whether it runs the AdapLeR model with removal, or the stock model.
        prepared: from the model to what is run.
        call: from that and a batch to its output; the pruned model prunes by default.
        dtype: of the weights.
    """

    prunes: bool
    prepared: Callable[[Any], Any] = lambda model: model
    call: Callable[[Any, Inputs], Any] = lambda model, inputs: model(**inputs)
    dtype: str = "float32"


def _eager(model: Any) -> Any:
    eager = deepcopy(model)
    eager.set_attn_implementation("eager")
    return eager


def _half(model: Any) -> Any:
    return deepcopy(model).to(torch.bfloat16)


def _one_at_a_time(model: Any, inputs: Inputs) -> list[Any]:
    return [model(**{key: value[i : i + 1] for key, value in inputs.items()}) for i in range(len(inputs["input_ids"]))]


VARIANTS = {
    BASELINE: Variant(prunes=False),
    "stock-eager": Variant(prunes=False, prepared=_eager),
    "stock-bf16": Variant(prunes=False, prepared=_half, dtype="bfloat16"),
    "adapler": Variant(prunes=True),
    "adapler-one-at-a-time": Variant(prunes=True, call=_one_at_a_time),
    "adapler-bf16": Variant(prunes=True, prepared=_half, dtype="bfloat16"),
}


def bench(config: BenchConfig) -> dict[str, Any]:
    """``rows``, one for each variant, batch and length, and the ``environment`` and settings they were made with.

    A row has ``variant``, ``batch``, ``length``, ``dtype``, ``ms`` (median of a batch), ``ms_low`` and ``ms_high``
    (fastest and slowest round), ``texts_per_second``, ``pieces_per_second``, ``speedup`` (over ``stock-sdpa``, of
    medians), ``flops_speedup`` (of the pieces that were really processed) and ``efficiency`` (one over the other; for
    variants that remove pieces).

    Raises:
        UsageError: an option cannot be used.
        MissingError: the model is not there.
    """
    _check(config)
    names = config.variants or tuple(VARIANTS)
    rows: list[dict[str, Any]] = []
    total = len(config.batches) * len(config.lengths) * (config.repeats + 1)
    with torch.inference_mode(), Progress("timing", total, "rounds") as progress:
        model, stock = models(config)
        runs = {
            name: VARIANTS[name].prepared(model if VARIANTS[name].prunes else stock)
            for name in dict.fromkeys((BASELINE, *names))
        }
        for length in config.lengths:
            for batch in config.batches:
                inputs = random_inputs(model.config, batch, length, config)
                times: dict[str, list[float]] = {name: [] for name in runs}
                for number in range(config.repeats + 1):
                    for name, ready in runs.items():
                        taken = _seconds(partial(VARIANTS[name].call, ready, inputs), config.device)
                        if number:
                            times[name].append(taken)
                    progress.advance()
                saved = flops_speedup(model, inputs)
                rows += [_row(name, batch, length, times, saved) for name in names]
    settings = asdict(config) | {"variants": list(names)}
    return {"rows": rows, "settings": settings, "environment": describe(config.device)}


def models(config: BenchConfig) -> tuple[Any, Any]:
    """The AdapLeR model, scheduled where its weights are random, and the stock model with the same encoder."""
    torch.manual_seed(config.seed)
    model: Any
    if config.model is None:
        model = AdaplerBertForSequenceClassification(AdaplerBertConfig(**SHAPES[config.shape]))
        layers = model.config.num_hidden_layers
        factor = falling_factor(config.keep, layers)
        for layer in range(layers):
            model.adapler.predictors[layer] = Scheduled(model.adapler.predictors[layer], factor, config.seed + layer)
    else:
        model, _ = load_pretrained(config.model, dtype=torch.float32)
        if not hasattr(model, "adapler"):
            raise UsageError(f"--model {config.model}: not an AdapLeR checkpoint")
    stock: Any = BertForSequenceClassification(model.config)
    stock.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith("adapler.")})
    stock.set_attn_implementation("sdpa")
    return model.to(torch.device(config.device)).eval(), stock.to(config.device).eval()


def falling_factor(times: float, layers: int) -> float:
    """The factor f such that layers that process f, f², f³, … of the pieces process ``1 / times`` of all together.

    >>> round(falling_factor(2.0, 2), 4)
    0.618
    """
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        share = sum(middle ** (layer + 1) for layer in range(layers)) / layers
        low, high = (middle, high) if share < 1 / times else (low, middle)
    return high


def random_inputs(model_config: Any, batch: int, length: int, config: BenchConfig) -> Inputs:
    """A batch of random pieces, without padding."""
    generator = torch.Generator().manual_seed(config.seed)
    ids = torch.randint(0, model_config.vocab_size, (batch, length), generator=generator).to(config.device)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}


def flops_speedup(model: Any, inputs: Inputs) -> float:
    """How many times fewer FLOPs the pruned forward pass of the batch takes."""
    output = model(**inputs, prune=True)
    kept = torch.stack([alive.sum(-1) for alive in output.alive]).T.tolist()
    length = inputs["input_ids"].shape[1]
    dense = flops.dense(model.config, length) * len(kept)
    return dense / sum(flops.pruned(model.config, length, row) for row in kept)


def _row(name: str, batch: int, length: int, times: dict[str, list[float]], saved: float) -> dict[str, Any]:
    median = statistics.median(times[name])
    speedup = statistics.median(times[BASELINE]) / median
    prunes = VARIANTS[name].prunes
    return {
        "variant": name,
        "batch": batch,
        "length": length,
        "dtype": VARIANTS[name].dtype,
        "ms": 1000 * median,
        "ms_low": 1000 * min(times[name]),
        "ms_high": 1000 * max(times[name]),
        "texts_per_second": batch / median,
        "pieces_per_second": batch * length / median,
        "speedup": speedup,
        "flops_speedup": saved if prunes else 1.0,
        "efficiency": speedup / saved if prunes else None,
    }


def _seconds(call: Work, device: str) -> float:
    started = time.perf_counter()
    call()
    if torch.device(device).type == "cuda":
        # Kernels run on after the call returns.
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def _check(config: BenchConfig) -> None:
    check_device(config.device)
    unknown = [name for name in config.variants if name not in VARIANTS]
    if unknown:
        raise UsageError(f"--variants {','.join(unknown)}: unknown; choose from {', '.join(VARIANTS)}")
    if config.shape not in SHAPES:
        raise UsageError(f"--shape {config.shape}: choose from {', '.join(SHAPES)}")
    if config.keep < 1:
        raise UsageError(f"--keep {config.keep:g}x: give at least 1x")
    if config.model is not None and not Path(config.model).is_dir():
        raise MissingError(f"--model {config.model}: no such folder")
    sizes: Sequence[int] = (*config.batches, *config.lengths)
    if not sizes or min(sizes) < 1 or max(config.lengths) > 512:
        raise UsageError("--batches, --lengths: give numbers of at least 1, and at most 512 pieces")
