"""The whole on a GPU: what is computed there is what the processor computes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import tiny_model
from test_explainers import SHORT, WORDS, asked
from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

from adapler_explain.batches import Batches
from adapler_explain.bench import BenchConfig, bench
from adapler_explain.bulk import BulkConfig, bulk
from adapler_explain.classifier import Classifier
from adapler_explain.evaluate import EvalConfig, evaluate
from adapler_explain.explainers import EXPLAINERS
from adapler_explain.explainers.request import Request
from adapler_explain.sanity import Checked, check
from adapler_explain.task_row import TaskConfig, task_row
from adapler_explain.teachers import TEACHERS
from adapler_explain.training import TrainConfig, train
from adapler_explain.tuning import TuneConfig, tune
from eraser_eval.datasets import from_rows
from eraser_eval.prediction_file import read_predictions

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")]

# Flash attention's kernels want heads of 32.
WIDE = {"hidden_size": 64, "num_attention_heads": 2, "intermediate_size": 96, "initializer_range": 0.1}


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory, tokenizer: BertTokenizer) -> Path:
    folder = tmp_path_factory.mktemp("wide")
    tiny_model(**WIDE).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def wide_stock(tmp_path_factory: pytest.TempPathFactory, wide: Path, tokenizer: BertTokenizer) -> Path:
    folder = tmp_path_factory.mktemp("wide-stock")
    config = BertConfig.from_dict(json.loads((wide / "config.json").read_text()) | {"model_type": "bert"})
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("name", EXPLAINERS)
def test_explanations_are_those_of_the_processor(wide: Path, name: str) -> None:
    found = []
    for device in ("cpu", "cuda"):
        classifier = Classifier.load(wide, device)
        texts = [asked(classifier), asked(classifier, SHORT)]
        found.append(EXPLAINERS[name].explain(Request(classifier, texts, Batches())))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=2e-4 * max(1e-9, np.abs(theirs).max()))


@pytest.fixture
def settings(tmp_path: Path, wide_stock: Path, data_root: Path) -> TrainConfig:
    return TrainConfig(
        dataset="movies",
        data_root=str(data_root),
        model=str(wide_stock),
        output_dir=str(tmp_path / "run"),
        window_pieces=20,
        fine_tune_lr=1e-3,
        epochs=2,
        batch_size=2,
        tolerance=1.0,
        dropout=0.0,
        jitter=0.25,
    )


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_training_takes_the_steps_of_the_processor(settings: TrainConfig, tmp_path: Path, precision: str) -> None:
    losses = []
    for device in ("cpu", "cuda"):
        config = replace(settings, output_dir=str(tmp_path / device), device=device, precision=precision)
        train(config)
        rows = [json.loads(line) for line in (tmp_path / device / "metrics.jsonl").read_text().splitlines()]
        losses.append([[row[name] for name in ("task", "contribution")] for row in rows if "contribution" in row])
    tolerance = 1e-3 if precision == "float32" else 0.1
    np.testing.assert_allclose(*losses, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("teacher", TEACHERS)
def test_every_teacher_teaches(settings: TrainConfig, teacher: str) -> None:
    folder = train(replace(settings, device="cuda", teacher=teacher))
    tune(TuneConfig(str(folder), "movies", data_root=settings.data_root, max_drop=1.0, name="all", device="cuda"))
    row = task_row(TaskConfig(str(folder), "movies", data_root=settings.data_root, batch_sizes=(1,), device="cuda"))
    assert row["environment"]["accelerator"] and row["wall_clock"][0]["speedup"] > 0


@pytest.mark.parametrize("erase", ["remove", "mask", "pad", "layer:1"])
def test_evaluation_writes_what_the_processor_writes(wide: Path, data_root: Path, tmp_path: Path, erase: str) -> None:
    written = []
    for device in ("cpu", "cuda"):
        config = EvalConfig(
            "movies",
            data_root=str(data_root),
            model=str(wide),
            methods=("adapler", "input-x-gradient", "attention"),
            faithfulness=erase,
            device=device,
            output_dir=str(tmp_path / device),
        )
        folder, _ = evaluate(config)
        written.append([list(read_predictions(path)) for path in sorted((folder / "predictions").glob("*.jsonl"))])
    for ours, theirs in zip(*written, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            assert one.spans == other.spans
            for kind in ("probabilities", "erased", "kept", "empty"):
                a, b = getattr(one, kind), getattr(other, kind)
                assert a.keys() == b.keys() and list(a.values()) == pytest.approx(list(b.values()), abs=1e-4)


def test_sanity_and_bulk(wide: Path, tmp_path: Path) -> None:
    rows = [{"text": " ".join(WORDS[: 5 + n]), "label": "POS", "id": str(n)} for n in range(6)]
    checked = check(Checked(Classifier.load(wide, "cuda"), from_rows(rows, "own").examples, ("adapler", "attention")))
    assert checked["methods"]["adapler"]["same_text"] == pytest.approx(1.0, abs=1e-6)
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    made = []
    for device in ("cpu", "cuda"):
        output = tmp_path / f"{device}.jsonl"
        bulk(BulkConfig(str(tmp_path / "texts.jsonl"), str(output), model=str(wide), device=device))
        made.append([json.loads(line) for line in output.read_text().splitlines()])
    assert [row["classification"] for row in made[0]] == [row["classification"] for row in made[1]]


def test_bench_times_all_that_runs_there() -> None:
    variants = ("stock-eager", "stock-bf16", "unpruned", "adapler", "adapler-padded", "adapler-bf16")
    config = BenchConfig(shape="tiny", keep=(4.0,), sizes=("1x16", "3x2-16"), variants=variants, device="cuda")
    found = bench(replace(config, repeats=2, seconds=0))
    assert not found["skipped"]
    for row in found["rows"]:
        assert row["logit_change"] < (0.05 if row["dtype"] == "bfloat16" else 1e-3) or row["variant"] == "adapler-bf16"
