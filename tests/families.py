"""The architectures, tiny and random: stock configurations, AdapLeR models, batches, tokenizers of invented words."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import torch
from conftest import CLASSES, SHAPE
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertTokenizer,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaTokenizer,
)

from adapler_explain import AdaplerForSequenceClassification

WORDS = ["vor", "mandel", "kist", "osk", "lum", "taparin", "eb", "zonk", "frilla", "go", "ip", "qua"]
SIZES = {
    "vocab_size": 70,
    "hidden_size": 16,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 32,
    "initializer_range": 0.4,
}
CONFIGS: dict[str, Any] = {
    "bert": lambda **changes: BertConfig(**SHAPE | CLASSES | changes),
    # Two of its positions are padding's.
    "roberta": lambda **changes: RobertaConfig(
        **SHAPE | CLASSES | {"max_position_embeddings": 34, "type_vocab_size": 1} | changes
    ),
    "distilbert": lambda **changes: DistilBertConfig(
        **SIZES
        | CLASSES
        | {"hidden_dim": 24, "dropout": 0.0, "attention_dropout": 0.0, "seq_classif_dropout": 0.0}
        | changes
    ),
    "electra": lambda **changes: ElectraConfig(**SHAPE | CLASSES | {"embedding_size": 12} | changes),
    # Every second layer sees three columns to each side.
    "modernbert": lambda **changes: ModernBertConfig(
        **SIZES
        | CLASSES
        | {"local_attention": 6, "layer_types": ["full_attention", "sliding_attention"] * 2}
        | {"pad_token_id": 0, "bos_token_id": 2, "cls_token_id": 2, "eos_token_id": 3, "sep_token_id": 3}
        | changes
    ),
}


def tiny(family: str, eta: float | None = None, seed: int = 0, **changes: Any) -> Any:
    """A random AdapLeR model in ``eval()`` mode whose thresholds drop some pieces in every layer (or ``eta``)."""
    torch.manual_seed(seed)
    model = AdaplerForSequenceClassification.from_config(CONFIGS[family](**changes))
    model.config.window_pieces = 20
    with torch.no_grad():
        # Biases are zero in transformers' random models, and the norms nothing but norms.
        for name, weight in model.named_parameters():
            if weight.dim() == 1 and not name.startswith("adapler."):
                weight.add_(torch.randn_like(weight) * 0.2)
        if eta is None:
            model.adapler.eta.uniform_(0.3, 0.8)
            model.adapler.theta.uniform_(0.2, 2.0)
        else:
            model.adapler.eta.fill_(eta)
    return model.eval()


def batch_for(model: Any, lengths: list[int], seed: int = 0, width: int | None = None) -> dict[str, torch.Tensor]:
    """A padded batch of random pieces, with token types where the encoder knows them; rows begin with [CLS]."""
    generator = torch.Generator().manual_seed(seed)
    width = width or max(lengths)
    ids = torch.randint(5, 70, (len(lengths), width), generator=generator)
    ids[:, 0] = 2
    mask = (torch.arange(width) < torch.tensor(lengths)[:, None]).long()
    batch = {"input_ids": torch.where(mask == 1, ids, model.config.pad_token_id), "attention_mask": mask}
    if getattr(model.config, "type_vocab_size", 0) > 1:
        batch["token_type_ids"] = (torch.arange(width) > width // 2).long() * mask
    return batch


def row(batch: dict[str, torch.Tensor], number: int, length: int) -> dict[str, torch.Tensor]:
    """One text of a batch without its padding."""
    return {key: value[number : number + 1, :length] for key, value in batch.items()}


@cache
def trained(family: str) -> Any:
    """A tokenizer of the kind that the family's checkpoints have, trained on :data:`WORDS`."""
    if family == "roberta":
        special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        learned = _byte_pairs(special)
        vocabulary, merges = learned.get_vocab(), [tuple(pair) for pair in learned_merges(learned)]
        return RobertaTokenizer(vocab=vocabulary, merges=merges)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    if family == "modernbert":
        learned = _byte_pairs(special)
        cls, sep = (("[CLS]", learned.token_to_id("[CLS]")), ("[SEP]", learned.token_to_id("[SEP]")))
        learned.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[cls, sep]
        )
        names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), special, strict=True))
        inputs = ["input_ids", "attention_mask"]
        return PreTrainedTokenizerFast(tokenizer_object=learned, model_input_names=inputs, **names)
    learned = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    learned.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.WordPieceTrainer(vocab_size=66, special_tokens=special, show_progress=False)
    learned.train_from_iterator([" ".join(WORDS)], trainer)
    names = {"model_input_names": ["input_ids", "attention_mask"]} if family == "distilbert" else {}
    pieces = [*special, *sorted(learned.get_vocab().keys() - set(special))]
    return BertTokenizer(vocab={piece: number for number, piece in enumerate(pieces)}, **names)


def _byte_pairs(special: list[str]) -> Tokenizer:
    learned = Tokenizer(models.BPE())
    learned.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    learned.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=66, special_tokens=special, show_progress=False)
    learned.train_from_iterator([" ".join(WORDS)], trainer)
    return learned


def learned_merges(learned: Tokenizer) -> list[Any]:
    """The merges of a byte-pair tokenizer."""
    merges: list[Any] = json.loads(learned.to_str())["model"]["merges"]
    return merges


def saved(folder: Path, family: str, **changes: Any) -> Path:
    """``folder`` with a tiny AdapLeR model and its tokenizer."""
    tiny(family, **changes).save_pretrained(folder)
    trained(family).save_pretrained(folder)
    return folder
