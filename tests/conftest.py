"""Fixtures: a tiny random AdapLeR model with a tokenizer, and a tiny data set in ERASER's format."""

from __future__ import annotations

import json
import string
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

from adapler_explain.config import AdaplerBertConfig
from adapler_explain.modeling import AdaplerBertForSequenceClassification

SHARED = Path(__file__).resolve().parents[2] / "shared"
SHAPE = {
    "vocab_size": 70,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 32,
    "initializer_range": 0.4,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
CLASSES = {"id2label": {0: "NEG", 1: "POS"}, "label2id": {"NEG": 0, "POS": 1}}


@pytest.fixture(autouse=True)
def no_data_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests do not see the user's own data."""
    monkeypatch.delenv("ADAPLER_DATA", raising=False)


@pytest.fixture(scope="session")
def release() -> Path:
    """The folder of the real releases; the test is skipped where they are absent."""
    if not (SHARED / "data").is_dir():
        pytest.skip("the real data sets are not beside this checkout")
    return SHARED / "data"


def tiny_model(seed: int = 0, eta: float | None = None, **changes: object) -> AdaplerBertForSequenceClassification:
    """A random model in ``eval()`` mode whose thresholds drop some pieces in every layer (or ``eta`` throughout)."""
    torch.manual_seed(seed)
    model = AdaplerBertForSequenceClassification(AdaplerBertConfig(**{**SHAPE, **CLASSES, **changes}, window_pieces=20))
    with torch.no_grad():
        if eta is None:
            model.adapler.eta.uniform_(0.3, 0.8)
            model.adapler.theta.uniform_(0.2, 2.0)
        else:
            model.adapler.eta.fill_(eta)
    return model.eval()


def random_batch(lengths: list[int], seed: int = 0, width: int | None = None) -> dict[str, torch.Tensor]:
    """A padded batch of random pieces; each row begins with [CLS]."""
    generator = torch.Generator().manual_seed(seed)
    width = width or max(lengths)
    ids = torch.randint(5, 70, (len(lengths), width), generator=generator)
    ids[:, 0] = 2
    mask = (torch.arange(width) < torch.tensor(lengths)[:, None]).long()
    types = (torch.arange(width) > width // 2).long().expand(len(lengths), -1)
    return {"input_ids": ids * mask, "attention_mask": mask, "token_type_ids": types * mask}


@pytest.fixture(scope="session")
def tokenizer() -> BertTokenizer:
    letters = string.ascii_lowercase
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", ",", "good", "bad", "film", "the"]
    pieces = [*names, *letters, *(f"##{letter}" for letter in letters)]
    return BertTokenizer(vocab={piece: index for index, piece in enumerate(pieces)})


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, tokenizer: BertTokenizer) -> Path:
    """A saved tiny AdapLeR classifier."""
    folder = tmp_path_factory.mktemp("adapler")
    tiny_model().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def stock_checkpoint(tmp_path_factory: pytest.TempPathFactory, tokenizer: BertTokenizer) -> Path:
    """A saved tiny stock BERT classifier."""
    folder = tmp_path_factory.mktemp("stock")
    torch.manual_seed(1)
    BertForSequenceClassification(BertConfig(**SHAPE | CLASSES)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_dataset(root: Path, documents: dict[str, str], rows: dict[str, list[dict]]) -> Path:
    """Write a data set in ERASER's format as ``root/movies`` and return ``root``."""
    folder = root / "movies"
    (folder / "docs").mkdir(parents=True, exist_ok=True)
    for docid, text in documents.items():
        (folder / "docs" / docid).write_text(text, encoding="utf-8")
    for split, examples in rows.items():
        lines = [json.dumps(row) for row in examples]
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def annotation(docid: str, label: str, *spans: tuple[int, int]) -> dict:
    """One annotation whose evidence is ``spans``."""
    evidence = [[{"docid": docid, "start_token": a, "end_token": b}] for a, b in spans]
    return {"annotation_id": docid, "classification": label, "evidences": evidence, "query": "?", "docids": None}


@pytest.fixture
def data_root(tmp_path: Path) -> Path:
    """A data set of four short documents, the same in every split; one is longer than a window of the tiny model."""
    documents = {
        "a.txt": "the film was good .\ngood good film .\n",
        "b.txt": "bad film .\nthe end was bad , very bad .\n",
        "c.txt": "a long film , " * 12 + "\nbut good\n",
        "d.txt": "nothing is good here\n",
    }
    rows = [
        annotation("a.txt", "POS", (3, 4), (5, 7)),
        annotation("b.txt", "NEG", (0, 2), (6, 10)),
        annotation("c.txt", "POS", (48, 50)),
        annotation("d.txt", "NEG", (0, 3)),
    ]
    return write_dataset(tmp_path / "data", documents, {split: rows for split in ("train", "val", "test")})
