"""Training end to end on a tiny encoder: stages, what they write, and that they are not run twice."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import annotation, write_dataset
from safetensors.torch import load_file

from adapler_explain import stages
from adapler_explain.classifier import Classifier
from adapler_explain.training import Run, TrainConfig, train
from eraser_eval.errors import DataError, MissingError, UsageError


@pytest.fixture
def config(tmp_path: Path, stock_checkpoint: Path, data_root: Path) -> TrainConfig:
    return TrainConfig(
        dataset="movies",
        data_root=str(data_root),
        model=str(stock_checkpoint),
        output_dir=str(tmp_path / "run"),
        window_pieces=20,
        fine_tune_epochs=3,
        fine_tune_lr=1e-3,
        saliency_epochs=2,
        epochs=2,
        batch_size=2,
        tolerance=1.0,
        dropout=0.1,
        attention_dropout=0.1,
    )


def metrics(config: TrainConfig) -> list[dict]:
    return [json.loads(line) for line in (Path(config.output_dir) / "metrics.jsonl").read_text().splitlines()]


def test_three_stages_then_nothing_more_to_do(config: TrainConfig) -> None:
    folder = train(config)
    run = folder.parent
    assert sorted(path.name for path in run.iterdir()) == [
        "adapler",
        "fine-tuned",
        "manifest.json",
        "metrics.jsonl",
        "saliency.safetensors",
    ]
    assert len(list((run / "fine-tuned").glob("epoch-*"))) == 2
    kept = Classifier.load(folder)
    assert hasattr(kept.model, "adapler") and kept.window_pieces == 20 and kept.labels == ("NEG", "POS")
    reference = Classifier.load(run / "fine-tuned")
    assert not hasattr(reference.model, "adapler") and reference.window_pieces == 20
    rows = metrics(config)
    assert [row["stage"] for row in rows if "seconds" in row] == ["fine-tuned", "saliency.safetensors", "adapler"]
    assert {"task", "contribution", "length", "eta", "theta"} <= rows[-4].keys() | rows[-5].keys()
    before = (folder / "model.safetensors").read_bytes()
    assert train(config) == folder
    assert (folder / "model.safetensors").read_bytes() == before
    assert [row["stage"] for row in metrics(config) if row.get("skipped")] == [
        "fine-tuned",
        "saliency.safetensors",
        "adapler",
    ]


def test_the_same_seed_gives_the_same_weights_also_after_an_interruption(config: TrainConfig, tmp_path: Path) -> None:
    first = train(config)
    again = replace(config, output_dir=str(tmp_path / "again"))
    run = Run(again)
    run.stage("fine-tuned", stages.fine_tune)
    (run.folder / ".partial-saliency.safetensors").write_text("cut off")
    with (run.folder / "metrics.jsonl").open("a") as file:
        file.write('{"torn')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "better", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(again)
    second = train(again)
    a, b = (load_file(folder / "model.safetensors") for folder in (first, second))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert train(replace(config, output_dir=str(tmp_path / "other"), seed=1))
    c = load_file(tmp_path / "other" / "adapler" / "model.safetensors")
    assert any(not torch.equal(a[name], c[name]) for name in a)


def test_saliency_covers_the_windows_that_will_be_drawn(config: TrainConfig) -> None:
    train(config)
    run = Run(config)
    saliency = load_file(run.folder / "saliency.safetensors")
    drawn = {item.key: item for epoch in range(2) for item in run.drawn(epoch)}
    assert saliency.keys() == drawn.keys()
    for key, item in drawn.items():
        assert saliency[key].shape == (len(item.window),)
        assert (saliency[key] > 0).all()


def test_a_window_a_document_is_drawn_anew_each_epoch(config: TrainConfig) -> None:
    run = Run(replace(config, windows_per_document=1))
    epochs = [run.drawn(epoch) for epoch in range(12)]
    assert all(sorted(item.document for item in items) == [0, 1, 2, 3] for items in epochs)
    assert run.drawn(3) == epochs[3]
    long = {item.number for items in epochs for item in items if item.document == 2}
    assert len(long) > 1
    whole = Run(replace(config, output_dir=config.output_dir + "-all")).drawn(0)
    assert len(whole) == sum(len(document) for document in run.items)


def test_thresholds_stay_in_bounds_and_theta_learns(config: TrainConfig) -> None:
    folder = train(replace(config, threshold_lr=5.0, phi=10.0))
    reduction = Classifier.load(folder).model.adapler
    assert ((reduction.eta >= 0.01) & (reduction.eta <= 1)).all()
    assert not torch.equal(reduction.theta, torch.ones(2))


def test_another_runs_folder_is_refused(config: TrainConfig) -> None:
    Run(config)
    with pytest.raises(UsageError, match=r"other settings \(gamma, phi\)"):
        Run(replace(config, gamma=0.5, phi=0.5))


def test_documents_without_pieces_stop_the_run_at_once(config: TrainConfig, data_root: Path) -> None:
    (data_root / "movies" / "docs" / "d.txt").write_text("\u200d \x07 \u200d")
    with pytest.raises(DataError, match=r"train\.jsonl:4: 'd\.txt'"):
        train(config)
    assert not Path(config.output_dir).exists()


def test_an_adapler_checkpoint_or_another_encoder_is_no_start(config: TrainConfig, checkpoint: Path) -> None:
    with pytest.raises(UsageError, match="a BERT encoder is needed"):
        train(replace(config, model=str(checkpoint)))
    assert not Path(config.output_dir).exists()


@pytest.mark.parametrize("start", ["pretrained", "fine-tuned"])
def test_where_the_last_stage_starts(config: TrainConfig, start: str) -> None:
    folder = train(replace(config, start=start, lr=0.0, predictor_lr=0.0))
    origin = Path(config.model) if start == "pretrained" else folder.parent / "fine-tuned"
    kept, expected = load_file(folder / "model.safetensors"), load_file(origin / "model.safetensors")
    assert all(torch.equal(kept[name], weight) for name, weight in expected.items())


def test_an_unknown_start_is_refused(config: TrainConfig) -> None:
    with pytest.raises(UsageError, match="--start scratch"):
        train(replace(config, start="scratch"))


def test_no_epoch_within_the_tolerance_is_said(config: TrainConfig, capsys: pytest.CaptureFixture[str]) -> None:
    train(replace(config, tolerance=-2.0))
    assert "warning: no epoch" in capsys.readouterr().err


def test_one_class_cannot_be_trained(config: TrainConfig, tmp_path: Path) -> None:
    rows = [annotation("a", "POS", (0, 1))]
    root = write_dataset(tmp_path / "one", {"a": "good film"}, {"train": rows, "val": rows})
    with pytest.raises(UsageError, match="no example of NEG"):
        train(replace(config, data_root=str(root)))
    assert not Path(config.output_dir).exists()


def test_a_missing_encoder_leaves_nothing_behind(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(MissingError, match="no/such/model"):
        train(replace(config, model="no/such/model"))
    assert not Path(config.output_dir).exists()


def test_the_kept_epoch_is_the_fastest_that_meets_the_rule() -> None:
    def epoch(accuracy: float, speedup: float, meets: bool) -> dict:
        return {"accuracy": accuracy, "flops_speedup": speedup, "meets_rule": meets}

    slow, fast, lossy, worse = epoch(0.9, 2, True), epoch(0.89, 3, True), epoch(0.8, 9, False), epoch(0.7, 9.5, False)
    assert stages.better(fast, slow) and not stages.better(slow, fast)
    assert stages.better(slow, lossy) and not stages.better(lossy, slow)
    assert stages.better(lossy, worse) and not stages.better(worse, lossy)


def test_epochs_are_ranked_by_score_then_by_age() -> None:
    assert stages.ranked([0.8, 0.9, 0.9, 0.7]) == [2, 1, 0, 3]


def test_class_weights_balance_the_classes(config: TrainConfig, tmp_path: Path) -> None:
    rows = [annotation(name, label) for name, label in (("a", "POS"), ("b", "POS"), ("c", "POS"), ("d", "NEG"))]
    root = write_dataset(tmp_path / "skewed", dict.fromkeys("abcd", "good film"), {"train": rows, "val": rows})
    run = Run(replace(config, data_root=str(root)))
    np.testing.assert_allclose(run.class_weights, [4 / (2 * 1), 4 / (2 * 3)], rtol=1e-6)
