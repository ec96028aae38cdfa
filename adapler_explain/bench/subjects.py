"""What is timed: a model with removal, the stock model with the same encoder, and batches of texts for both."""

from __future__ import annotations

import re
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig

from adapler_explain import backbones, flops
from adapler_explain.classifier import Classifier
from adapler_explain.modeling import AdaplerForSequenceClassification, stock_class
from eraser_eval.errors import UsageError

# Model types with the configuration entries that are not transformers' defaults.
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "bert-base": ("bert", {}),
    "minilm": ("bert", {"num_hidden_layers": 6, "hidden_size": 384, "intermediate_size": 1536}),
    "roberta-base": ("roberta", {"vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1}),
    "distilbert": ("distilbert", {}),
    "electra-small": ("electra", {}),
    "modernbert-base": ("modernbert", {}),
    "tiny": ("bert", {"num_hidden_layers": 2, "hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2}),
}
MOST_PIECES = 1 << 20
Inputs = dict[str, Tensor]


@dataclass(frozen=True)
class Size:
    """A batch: ``texts`` texts of ``shortest`` to ``longest`` pieces, or, where both are 0, of a data set's lengths."""

    texts: int
    shortest: int = 0
    longest: int = 0

    @property
    def length(self) -> int | str:
        """Pieces of a text, ``8-512`` where they differ."""
        return self.longest if self.shortest == self.longest else f"{self.shortest}-{self.longest}"


def size_of(text: str) -> Size:
    """The size that ``text`` names: ``32x128``, ``16x8-512``, or ``32`` for texts of a data set.

    Raises:
        UsageError: it names none.

    >>> size_of("16x8-512").length
    '8-512'
    """
    found = re.fullmatch(r"(\d+)(?:x(\d+)(?:-(\d+))?)?", text.strip())
    texts, shortest, longest = (int(number or 0) for number in found.groups()) if found else (0, 0, 0)
    size = Size(texts, shortest, longest or shortest)
    mixed = size.shortest != size.longest
    if not found or texts < 1 + mixed or (found[2] and not 1 <= size.shortest <= size.longest <= 512):
        raise UsageError(f"--sizes {text}: give TEXTSxPIECES of 1 to 512 pieces, e.g. 32x128 or 16x8-512")
    if texts * max(size.longest, 1) > MOST_PIECES:
        raise UsageError(f"--sizes {text}: give at most {MOST_PIECES} pieces in all")
    return size


class Scheduled(nn.Module):
    """A contribution predictor with its cost, whose verdict is random: each piece stays with probability ``share``."""

    draws: Tensor

    def __init__(self, predictor: nn.Module, share: float, seed: int) -> None:
        super().__init__()
        self.predictor, self.share = predictor, share
        draws = torch.rand(MOST_PIECES, generator=torch.Generator().manual_seed(seed))
        self.register_buffer("draws", draws, persistent=False)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Logits so far apart that those to stay share all contribution."""
        logits: Tensor = self.predictor(hidden_states)
        draws = self.draws[: len(logits)]
        # Those that fall differ too: of a text whose pieces all fall, [CLS] or another keeps all contribution.
        return 0.0 * logits - 30.0 * (draws >= self.share) * (1 + 1000 * draws)


def random_model(shape: str, seed: int) -> Any:
    """A random AdapLeR model of a key of :data:`SHAPES`, in ``eval()`` mode."""
    torch.manual_seed(seed)
    model_type, entries = SHAPES[shape]
    return AdaplerForSequenceClassification.from_config(AutoConfig.for_model(model_type, **entries)).eval()


def scheduled(model: Any, times: float, seed: int) -> Any:
    """``model``, sharing its weights, with random removal that leaves about ``1 / times`` of its FLOPs."""
    layers = model.config.num_hidden_layers
    factor = falling_factor(times, layers)
    twin = deepcopy(model, {id(weight): weight for weight in model.parameters()})
    for layer in range(layers):
        predictor = twin.adapler.predictors[layer]
        twin.adapler.predictors[layer] = Scheduled(predictor, factor, seed + layer).to(model.device)
    return twin.eval()


def stock_of(model: Any) -> Any:
    """The stock model with the encoder of ``model``, in ``eval()`` mode."""
    stock: Any = stock_class(model)(model.config)
    stock.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith("adapler.")})
    stock.set_attn_implementation("sdpa")
    return stock.to(model.device, model.dtype).eval()


def plain_stock(model: Any) -> Any:
    """The stock model with the encoder and the classes of ``model``, in float32 and ``eval()`` mode.

    Its configuration is the architecture's own, so that others can load what is saved of it.
    """
    kind = model.config.model_type.removeprefix("adapler_")
    entries = {key: value for key, value in model.config.to_dict().items() if key not in ("model_type", "dtype")}
    stock: Any = stock_class(model)(AutoConfig.for_model(kind, **entries))
    stock.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith("adapler.")})
    return stock.to(model.device).eval()


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


def random_inputs(model: Any, size: Size, seed: int) -> Inputs:
    """A padded batch of random pieces for ``model``, on its device.

    The lengths of mixed texts are drawn evenly, longest and shortest among them.
    """
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(size.shortest, size.longest + 1, (size.texts,), generator=generator)
    lengths[0], lengths[-1] = size.shortest, size.longest
    mask = (torch.arange(size.longest) < lengths[:, None]).long()
    padding = model.config.pad_token_id
    # Any piece but padding, from which RoBERTa counts no position on.
    ids = torch.randint(0, model.config.vocab_size - 1, mask.shape, generator=generator)
    batch = {"input_ids": torch.where(mask == 1, ids + (ids >= padding), padding), "attention_mask": mask}
    if backbones.segments(model):
        batch["token_type_ids"] = torch.zeros_like(mask)
    return {name: values.to(model.device) for name, values in batch.items()}


def real_inputs(classifier: Classifier, windows: Sequence[Any], size: Size, seed: int) -> Inputs:
    """A padded batch of windows drawn from ``windows``."""
    chosen = torch.randperm(len(windows), generator=torch.Generator().manual_seed(seed))[: size.texts].tolist()
    if len(chosen) < size.texts:
        raise UsageError(f"--sizes {size.texts}: the data has {len(windows)} windows")
    return classifier.batch([windows[index] for index in chosen])


def lengths_of(inputs: Inputs) -> list[int]:
    """Pieces of each text of a batch."""
    found: list[int] = inputs["attention_mask"].sum(-1).tolist()
    return found


def dense_flops(config: Any, inputs: Inputs) -> int:
    """FLOPs of the stock model on a batch as it runs, padding included."""
    texts, length = inputs["input_ids"].shape
    return texts * flops.dense(config, length)


def unpruned_flops(config: Any, inputs: Inputs) -> int:
    """FLOPs of our own pass without removal: no padding, and [CLS] alone in the last layer."""
    return sum(flops.unpruned(config, length) for length in lengths_of(inputs))


def pruned_flops(model: Any, inputs: Inputs) -> int:
    """FLOPs of the forward pass with removal on a batch, of the pieces that are really processed."""
    output = model(**inputs, prune=True)
    kept = torch.stack([alive.sum(-1) for alive in output.alive]).T.tolist()
    return sum(flops.pruned(model.config, n, row) for n, row in zip(lengths_of(inputs), kept, strict=True))
