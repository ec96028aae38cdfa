"""Stages of another run: taken where they would come out the same, refused where not."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from adapler_explain.training import TrainConfig, train
from eraser_eval.errors import MissingError, UsageError


@pytest.fixture
def base(tmp_path: Path, stock_checkpoint: Path, data_root: Path) -> TrainConfig:
    """A run that has ended."""
    config = TrainConfig(
        "movies",
        str(stock_checkpoint),
        str(tmp_path / "base"),
        str(data_root),
        window_pieces=20,
        fine_tune_epochs=1,
        epochs=2,
        batch_size=2,
    )
    train(config)
    return config


def skipped(config: TrainConfig) -> list[str]:
    rows = map(json.loads, (Path(config.output_dir) / "metrics.jsonl").read_text().splitlines())
    return [row["stage"] for row in rows if row.get("skipped")]


def manifest(config: TrainConfig) -> dict:
    found: dict = json.loads((Path(config.output_dir) / "manifest.json").read_text())
    return found


def other(base: TrainConfig, name: str, **changed: object) -> TrainConfig:
    folder = Path(base.output_dir).with_name(name)
    return replace(base, output_dir=str(folder), stages_of=base.output_dir, **changed)  # type: ignore[arg-type]


def weights(config: TrainConfig) -> dict[str, torch.Tensor]:
    return load_file(Path(config.output_dir) / "adapler" / "model.safetensors")


def test_the_last_stage_alone_is_run_and_comes_out_the_same(base: TrainConfig) -> None:
    taken = other(base, "taken", phi=0.01, teacher_power=2.0)
    train(taken)
    assert skipped(taken) == ["fine-tuned", "saliency"]
    assert manifest(taken)["fine_tuned_by"] == manifest(base)["adapler_explain"]
    alone = replace(taken, output_dir=f"{base.output_dir}-alone", stages_of=None)
    train(alone)
    assert skipped(alone) == [] and "fine_tuned_by" not in manifest(alone)
    one, two = weights(taken), weights(alone)
    assert all(torch.equal(one[name], two[name]) for name in two)
    # Once taken, the other run may go.
    shutil.rmtree(base.output_dir)
    shutil.rmtree(Path(taken.output_dir) / "adapler")
    train(taken)
    assert all(torch.equal(weights(taken)[name], two[name]) for name in two)


@pytest.mark.parametrize(
    ("changed", "stages"),
    [
        ({"teacher": "attention-rollout"}, ["fine-tuned"]),
        ({"teacher_power": 2.0}, ["fine-tuned", "saliency"]),
        ({"recovery_jitter": 0.1}, ["fine-tuned", "saliency", "soft"]),
        ({"recovery_epochs": 0}, ["fine-tuned", "saliency", "adapler"]),
        ({"recovery_epochs": 3}, ["fine-tuned"]),
        # Of each document a window is drawn in each epoch: of the third there is no saliency.
        ({"epochs": 3}, ["fine-tuned"]),
        ({"epochs": 1}, ["fine-tuned", "saliency"]),
    ],
)
def test_saliency_is_taken_where_it_is_of_the_same_teacher_and_windows(
    base: TrainConfig, changed: dict, stages: list[str]
) -> None:
    drawn = replace(base, output_dir=f"{base.output_dir}-drawn", windows_per_document=1)
    train(drawn)
    taken = other(drawn, "taken", **changed)
    train(taken)
    assert skipped(taken) == stages


@pytest.mark.parametrize("name", ["seed", "fine_tune_epochs", "batch_size", "limit", "dropout", "window_pieces"])
def test_a_run_that_was_fine_tuned_otherwise_is_refused(base: TrainConfig, name: str) -> None:
    value = {"dropout": 0.2, "limit": 3, "window_pieces": 24}.get(name, 3)
    with pytest.raises(UsageError, match=rf"--stages-of .*trained otherwise \({name}"):
        train(other(base, "taken", **{name: value}))
    assert not Path(other(base, "taken").output_dir).joinpath("manifest.json").exists()


def test_what_is_no_run_is_refused(base: TrainConfig, tmp_path: Path) -> None:
    for folder in (tmp_path / "nowhere", Path(base.output_dir) / "adapler"):
        with pytest.raises(MissingError, match="--stages-of"):
            train(replace(other(base, "taken"), stages_of=str(folder)))


def test_what_an_older_version_could_not_be_asked_was_as_by_default(base: TrainConfig) -> None:
    file = Path(base.output_dir) / "manifest.json"
    old = json.loads(file.read_text())
    for name in ("precision", "teacher_power", "recovery_epochs", "recovery_jitter", "stages_of"):
        del old[name]
    file.write_text(json.dumps(old | {"adapler_explain": "0.1.0"}))
    # Its teacher was not squared, and its model is soft removal's.
    for power, stages in ((2.0, ["fine-tuned", "saliency"]), (1.0, ["fine-tuned", "saliency", "soft"])):
        taken = other(base, f"taken-{power}", teacher_power=power)
        train(taken)
        assert skipped(taken) == stages and manifest(taken)["fine_tuned_by"] == "0.1.0"
