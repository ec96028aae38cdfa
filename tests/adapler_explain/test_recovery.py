"""Recovery: the encoder learns with hard removal, predictors and thresholds stand; the better model is kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from adapler_explain import recovery, removal
from adapler_explain.run import Run
from adapler_explain.training import TrainConfig, train


@pytest.fixture
def config(tmp_path: Path, stock_checkpoint: Path, data_root: Path) -> TrainConfig:
    return TrainConfig(
        dataset="movies",
        data_root=str(data_root),
        model=str(stock_checkpoint),
        output_dir=str(tmp_path / "run"),
        window_pieces=20,
        fine_tune_epochs=1,
        epochs=1,
        lr=1e-3,
        batch_size=2,
        tolerance=1.0,
        recovery_epochs=2,
        recovery_jitter=0.5,
    )


def weights(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_file(folder / "model.safetensors")
    return found


def val(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "val.json").read_text(encoding="utf-8"))
    return found


def scoring(patch: pytest.MonkeyPatch, score: Any) -> None:
    """Val says of a model at a factor what ``score`` says, and that it is as many times faster as the factor."""
    real = Run.validate

    def validate(run: Run, model: Any, prune: bool, factor: float = 1.0) -> dict[str, Any]:
        row = real(run, model, prune, factor)
        return row | ({"score": score(factor), "flops_speedup": 2 * factor} if prune else {"score": 0.9})

    patch.setattr(Run, "validate", validate)


def test_the_encoder_learns_while_predictors_and_thresholds_stand(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = iter(range(100))
    scoring(monkeypatch, lambda factor: 0.9 + next(calls) / 1000)
    folder = train(config)
    assert val(folder)["epoch"] == 1
    soft, kept = weights(folder.parent / "soft"), weights(folder)
    assert soft.keys() == kept.keys()
    for name in soft:
        if name != "adapler.eta":
            assert torch.equal(soft[name], kept[name]) is name.startswith("adapler."), name
    # All of val is as good as before: thresholds are as high as recovery trained them.
    assert val(folder)["factor"] == 1.5
    assert torch.equal(kept["adapler.eta"], removal.at_factor(soft["adapler.eta"], 1.5))
    torch.testing.assert_close(kept["adapler.eta"], torch.tensor(val(folder)["eta"]))
    assert val(folder).keys() == val(folder.parent / "soft").keys() | {"mean_score", "ladder"}


def test_thresholds_are_raised_as_far_as_val_allows(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(config, tolerance=0.01, recovery_jitter=0.25)
    scoring(monkeypatch, lambda factor: 0.9 if factor < 1.2 else 0.5)
    found = val(train(config))
    # 1.25 ** (2 / 3) scores 0.9 as well, but its neighbour above does not.
    assert found["factor"] == pytest.approx(1.25 ** (1 / 3)) and found["meets_rule"]
    assert [factor for factor, _, _ in found["ladder"]] == pytest.approx([1.25 ** (k / 3) for k in range(3, -4, -1)])
    assert [score for _, score, _ in found["ladder"]] == [0.5] + [0.9] * 6
    assert found["mean_score"] == pytest.approx((0.5 + 6 * 0.9) / 7)
    asis = val(train(replace(config, rescale=False, output_dir=f"{config.output_dir}-2")))
    assert asis["factor"] == 1.0 and len(asis["ladder"]) == 1


@pytest.mark.parametrize(("good_below", "kept"), [(0.75, 0.7), (0.1, 1.0)])
def test_thresholds_are_lowered_where_val_asks_for_it(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch, good_below: float, kept: float
) -> None:
    scoring(monkeypatch, lambda factor: 0.9 if factor < good_below else 0.5)
    found = val(train(replace(config, tolerance=0.01, recovery_jitter=0.25)))
    assert found["factor"] == kept and found["meets_rule"] is (kept == 0.7) and found["mean_score"] == 0.5


@pytest.mark.parametrize(("scores", "kept"), [((0.8, 0.85, 0.7), 0), ((0.8, 0.7, 0.85), 1), ((0.85, 0.8, 0.7), -1)])
def test_the_epoch_is_kept_that_scores_best_over_the_thresholds(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch, scores: tuple[float, ...], kept: int
) -> None:
    # Soft removal's epoch asks once, then every model at seven factors.
    calls = iter([0.9, *(score for score in scores for _ in range(7))])
    scoring(monkeypatch, lambda factor: next(calls))
    found = val(train(replace(config, tolerance=0.3)))
    assert found["epoch"] == kept and found["mean_score"] == pytest.approx(max(scores))
    assert found["factor"] == 1.5 and found["meets_rule"]


@pytest.mark.parametrize("points", [None, {"max-drop-0.01": {"factor": 0.5}}])
def test_where_no_epoch_is_better_soft_removals_model_is_kept(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch, points: dict[str, Any] | None
) -> None:
    scores = iter([0.9] * 8 + [0.1] * 100)
    scoring(monkeypatch, lambda factor: next(scores))
    real = recovery.recover

    def recover(run: Run, target: Path) -> None:
        file = run.folder / "soft" / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"operating_points": points}))
        real(run, target)

    monkeypatch.setattr(recovery, "recover", recover)
    folder = train(replace(config, tolerance=0.01))
    soft, kept = weights(folder.parent / "soft"), weights(folder)
    assert all(torch.equal(soft[name], kept[name]) for name in soft if name != "adapler.eta")
    assert torch.equal(kept["adapler.eta"], removal.at_factor(soft["adapler.eta"], 1.5))
    assert val(folder)["epoch"] == -1
    # A point is of a frontier that is yet to be measured.
    assert not json.loads((folder / "config.json").read_text()).get("operating_points")


def test_it_trains_with_hard_removal_at_shaken_thresholds(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    from adapler_explain.modeling import AdaplerBertForSequenceClassification as Model

    seen: list[tuple[bool, float]] = []
    real = Model.forward

    def forward(model: Any, *inputs: Any, **options: Any) -> Any:
        if model.training and torch.is_grad_enabled() and options.get("prune"):
            seen.append((options["prune"], options["operating_point"]))
        return real(model, *inputs, **options)

    monkeypatch.setattr(Model, "forward", forward)
    folder = train(config)
    steps = sum(len(Run(replace(config, output_dir=f"{folder}-other")).steps(epoch)) for epoch in range(2))
    assert len(seen) == steps and len({factor for _, factor in seen}) == steps
    assert all(1 / 1.5 <= factor <= 1.5 for _, factor in seen)
    rows = [json.loads(line) for line in (folder.parent / "metrics.jsonl").read_text().splitlines()]
    step = next(row for row in rows if row["stage"] == "recovery" and "step" in row)
    assert step.keys() == {"time", "stage", "epoch", "step", "task", "kept"} and len(step["kept"]) == 3


def test_windows_of_epochs_that_only_recovery_has_are_taught(config: TrainConfig) -> None:
    folder = train(replace(config, windows_per_document=1, recovery_epochs=4))
    assert (folder / "model.safetensors").is_file()
