"""Exported models compute what the run's model computes, and their card says what the run's files say."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from adapler_explain import cli
from adapler_explain.classifier import Classifier
from adapler_explain.evaluate import EvalConfig, evaluate
from adapler_explain.export import card, command, export
from adapler_explain.training import FORMERLY, TrainConfig, train
from eraser_eval.errors import MissingError, UsageError


@pytest.fixture
def run(tmp_path: Path, stock_checkpoint: Path, data_root: Path) -> Path:
    config = TrainConfig(
        "movies",
        str(stock_checkpoint),
        str(tmp_path / "run"),
        str(data_root),
        window_pieces=20,
        windows_per_document=1,
        fine_tune_epochs=1,
        epochs=1,
        gamma=0.25,
        class_weights=False,
    )
    return train(config).parent


def test_model_and_card(run: Path, tmp_path: Path, data_root: Path) -> None:
    target = export(run, tmp_path / "out", base_model="tiny (made up)")
    saved, kept = Classifier.load(target), Classifier.load(run / "adapler")
    words = ["the", "film", "was", "good"]
    a, b = (c.forward(c.windows(words)).logits for c in (saved, kept))
    torch.testing.assert_close(a, b, atol=2e-2, rtol=0)
    assert (target / "model.safetensors").stat().st_size < 0.6 * (run / "adapler" / "model.safetensors").stat().st_size
    asked = EvalConfig(
        "movies",
        data_root=str(data_root),
        model=str(target),
        reference_model=str(run / "fine-tuned"),
        methods=("random",),
        output_dir=str(tmp_path / "eval"),
    )
    folder, figures = evaluate(asked)
    export(run, target, folder, "tiny (made up)")
    text = (target / "README.md").read_text()
    val = json.loads((run / "adapler" / "val.json").read_text())
    assert f"| {val['accuracy']:.3f} | {val['flops_speedup']:.2f}× |" in text
    assert f"| {figures['classification']['reference']['accuracy']:.3f} |" in text
    assert (
        "--gamma 0.25" in text and "trained from tiny (made up)" in text and "γ = 0.25" in text and "thread(s)" in text
    )
    folder, _ = evaluate(replace(asked, model=str(run / "adapler"), output_dir=str(tmp_path / "wrong")))
    with pytest.raises(UsageError, match="other model_checksum"):
        export(run, target, folder)
    assert (target / "README.md").read_text() == text
    assert {path.name for path in tmp_path.iterdir()} == {"out", "run", "eval", "wrong", "data"}


def test_folders_that_are_no_export_are_left_alone(run: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.tex").write_text("precious")
    for target in (home, run, run / "adapler", tmp_path):
        with pytest.raises(UsageError, match="--output-dir"):
            export(run, target)
    assert (home / "thesis.tex").exists() and (run / "adapler" / "model.safetensors").exists()


def test_the_commands_of_a_card_are_those_of_the_program(run: Path) -> None:
    """What the card prints is parsed by the command line into the settings it was made from."""
    settings = json.loads((run / "manifest.json").read_text())
    assert command(settings | {"stages_of": "elsewhere"}) == command(settings)
    old = {name: value for name, value in settings.items() if name not in FORMERLY}
    assert "--recovery-epochs 0" in command(old) and "--recovery-epochs" not in command(settings)
    words = command(settings).split()[1:]
    seen = {}

    def spy(config: TrainConfig) -> Path:
        seen["config"] = config
        return Path()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("adapler_explain.training.train", spy)
        assert CliRunner().invoke(cli.app, words).exit_code == 0
    assert all(getattr(seen["config"], key) == settings[key] for key in settings.keys() & asdict(seen["config"]))


def test_what_people_taught_is_said_to_be_supervised(run: Path, tmp_path: Path, data_root: Path) -> None:
    told = "words that people marked"
    assert told not in card(run, None, None)
    config = TrainConfig("movies", str(run / "fine-tuned"), str(tmp_path / "human"), str(data_root), teacher="human")
    kept = train(replace(config, window_pieces=20, fine_tune_epochs=1, epochs=1, tolerance=1.0))
    assert json.loads((kept / "val.json").read_text())["supervised"] is True
    assert f"teacher human (supervised: it reads {told})" in card(kept.parent, None, None)
    for model, supervised in ((kept, True), (run / "adapler", False)):
        asked = EvalConfig("movies", data_root=str(data_root), model=str(model), methods=("random",))
        folder, figures = evaluate(replace(asked, output_dir=str(tmp_path / model.parent.name / "eval")))
        assert (f"taught with {told}" in (folder / "table.md").read_text()) is supervised
        assert figures.get("supervised", False) is supervised


@pytest.mark.parametrize("factor", [1.0, 0.85])
def test_a_card_says_where_thresholds_were_lowered(run: Path, factor: float) -> None:
    path = run / "adapler" / "val.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"factor": factor}))
    assert ("its thresholds times 0.85" in card(run, None, None)) == (factor == 0.85)


def test_an_unfinished_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="no complete training run"):
        export(tmp_path, tmp_path / "out")
