"""Training end to end on a tiny encoder: stages, what they write, and that they are not run twice."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import families
import numpy as np
import pytest
import torch
from conftest import annotation, write_dataset
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification

from adapler_explain import keeping, lessons, stages
from adapler_explain.classifier import Classifier
from adapler_explain.export import export
from adapler_explain.loop import Part
from adapler_explain.run import Run
from adapler_explain.saliency import input_x_gradient
from adapler_explain.training import RECIPES, TrainConfig, tensor_cores, train
from eraser_eval.datasets import from_rows
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
        threshold_lr=5e-3,
        recovery_epochs=0,
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
        "saliency",
    ]
    assert len(list((run / "fine-tuned").glob("epoch-*"))) == 2
    kept = Classifier.load(folder)
    assert hasattr(kept.model, "adapler") and kept.window_pieces == 20 and kept.labels == ("NEG", "POS")
    reference = Classifier.load(run / "fine-tuned")
    assert not hasattr(reference.model, "adapler") and reference.window_pieces == 20
    rows = metrics(config)
    assert [row["stage"] for row in rows if "seconds" in row] == ["fine-tuned", "saliency", "adapler"]
    step = next(row for row in rows if row["stage"] == "AdapLeR training" and "step" in row)
    assert step.keys() == {"time", "stage", "epoch", "step", "task", "contribution", "length", "kept", "eta"}
    assert len(step["kept"]) == len(step["eta"]) == 3
    before = (folder / "model.safetensors").read_bytes()
    assert train(config) == folder
    assert (folder / "model.safetensors").read_bytes() == before
    assert [row["stage"] for row in metrics(config) if row.get("skipped")] == [
        "fine-tuned",
        "saliency",
        "adapler",
    ]


def test_the_same_seed_gives_the_same_weights_also_after_an_interruption(config: TrainConfig, tmp_path: Path) -> None:
    first = train(config)
    again = replace(config, output_dir=str(tmp_path / "again"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keeping, "better", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(again)
    with (tmp_path / "again" / "metrics.jsonl").open("a") as file:
        file.write('{"torn')
    second = train(again)
    a, b = (load_file(folder / "model.safetensors") for folder in (first, second))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert train(replace(config, output_dir=str(tmp_path / "other"), seed=1))
    c = load_file(tmp_path / "other" / "adapler" / "model.safetensors")
    assert any(not torch.equal(a[name], c[name]) for name in a)


def test_lessons_cover_the_windows_that_will_be_drawn(config: TrainConfig) -> None:
    train(config)
    run = Run(config)
    known = lessons.read_lessons(run.folder / "saliency")
    drawn = {item.id: item for epoch in range(2) for item in run.drawn(epoch)}
    assert known.keys() == drawn.keys()
    models = [Classifier.load(folder, window_pieces=20) for folder in (run.folder / "fine-tuned").glob("epoch-*")]
    for name, item in drawn.items():
        gold, window = torch.tensor([item.label]), [item.window]
        rows = [input_x_gradient(one.model, one.batch(window), gold)[0] for one in models]
        torch.testing.assert_close(known[name].saliency, torch.stack(rows).mean(0))
        logits = torch.stack([one.logits(window, prune=False)[0] for one in models]).mean(0)
        torch.testing.assert_close(known[name].logits, logits)


def test_lessons_that_are_there_are_not_made_again(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lessons, "PART_WINDOWS", 1)
    train(config)
    folder = Path(config.output_dir) / "saliency"
    parts = sorted(folder.glob("part-*.safetensors"))
    assert len(parts) == len({item.id for epoch in range(2) for item in Run(config).drawn(epoch)})
    whole = {name: lesson.saliency for name, lesson in lessons.read_lessons(folder).items()}
    parts[1].unlink()
    before = {path: path.stat().st_mtime_ns for path in parts if path.exists()}
    run = Run(config)
    stages.extract_saliency(run, folder)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    again = lessons.read_lessons(folder)
    assert all(torch.equal(again[name].saliency, row) for name, row in whole.items())


def test_a_window_a_document_is_drawn_anew_each_epoch(config: TrainConfig) -> None:
    run = Run(replace(config, windows_per_document=1))
    epochs = [run.drawn(epoch) for epoch in range(12)]
    names = ["a.txt", "b.txt", "c.txt", "d.txt"]
    assert all(sorted(item.example.id for item in items) == names for items in epochs)
    assert run.drawn(3) == epochs[3]
    long = {item.number for items in epochs for item in items if item.example.id == "c.txt"}
    assert len(long) > 1
    whole = Run(replace(config, output_dir=config.output_dir + "-all")).drawn(0)
    assert len(whole) == sum(len(document) for document in run.items)


def test_a_step_holds_windows_of_like_length_and_an_epoch_each_once(config: TrainConfig) -> None:
    run = Run(replace(config, batch_size=3))
    steps = run.steps(1)
    assert sorted(item.id for step in steps for item in step) == sorted(item.id for item in run.drawn(1))
    lengths = sorted(len(item.window) for step in steps for item in step)
    pools = sorted(sorted(len(item.window) for item in step) for step in steps)
    assert [length for pool in pools for length in pool] == lengths
    assert steps == run.steps(1) != run.steps(2)


def test_thresholds_stay_in_bounds_and_theta_learns(config: TrainConfig) -> None:
    folder = train(replace(config, threshold_lr=5.0, phi=10.0))
    reduction = Classifier.load(folder).model.adapler
    assert ((reduction.eta >= 0.01) & (reduction.eta <= 1)).all()
    assert not torch.equal(reduction.theta, torch.ones(2))


def test_theta_can_be_left_alone(config: TrainConfig) -> None:
    kept = Classifier.load(train(replace(config, theta=False, threshold_lr=0.1))).model.adapler
    assert torch.equal(kept.theta, torch.ones_like(kept.theta)) and not torch.equal(kept.eta, kept.eta[:1].expand(3))


def test_jitter_is_one_factor_a_step_and_within_its_bounds(config: TrainConfig) -> None:
    def part(step: int, share: float = 1.0) -> Part:
        return Part(0, step, [], {}, torch.zeros(0), share, torch.ones(()))

    drawn = np.array([stages.drawn_factor(0.5, 0, part(step)) for step in range(200)])
    assert 1 / 1.5 <= drawn.min() < 0.7 and 1.45 < drawn.max() <= 1.5 and abs(np.log(drawn).mean()) < 0.05
    assert stages.drawn_factor(0.5, 0, part(7, 0.5)) == drawn[7] != stages.drawn_factor(0.5, 1, part(7))
    assert stages.drawn_factor(0.0, 0, part(7)) == 1.0
    plain = Classifier.load(train(config)).model.adapler.eta
    shaken = Classifier.load(train(replace(config, jitter=0.5, output_dir=f"{config.output_dir}-2"))).model.adapler.eta
    assert not torch.equal(plain, shaken)


def test_a_teachers_power_makes_shares_sharper_and_nothing_vanish() -> None:
    saliency = torch.tensor([3e-25, 1e-25, 0.0])
    assert lessons.raised(saliency, 1.0) is saliency
    squared = lessons.raised(saliency, 2.0)
    torch.testing.assert_close(squared / squared.sum(), torch.tensor([0.9, 0.1, 0.0]))
    assert lessons.raised(torch.zeros(3), 2.0).tolist() == [0.0, 0.0, 0.0]


def test_predictors_are_taught_the_power(config: TrainConfig) -> None:
    def first_divergence(power: float) -> float:
        asked = replace(config, output_dir=f"{config.output_dir}-{power:g}", teacher_power=power, epochs=1)
        train(asked)
        return float(next(row["contribution"] for row in metrics(asked) if "contribution" in row))

    # Untaught predictors are nearly even: from there a sharper teacher is further away.
    assert first_divergence(3.0) > 1.2 * first_divergence(1.0)
    with pytest.raises(UsageError, match="--teacher-power 0"):
        train(replace(config, teacher_power=0.0))


def test_another_runs_folder_is_refused(config: TrainConfig) -> None:
    train(config)
    with pytest.raises(UsageError, match=r"other settings \(gamma, phi\)"):
        train(replace(config, gamma=0.5, phi=0.5))


def test_documents_without_pieces_stop_the_run_at_once(config: TrainConfig, data_root: Path) -> None:
    (data_root / "movies" / "docs" / "d.txt").write_text("\u200d \x07 \u200d")
    with pytest.raises(DataError, match=r"train\.jsonl:4: 'd\.txt'"):
        train(config)
    assert not Path(config.output_dir).exists()


def test_an_adapler_checkpoint_or_another_encoder_is_no_start(config: TrainConfig, checkpoint: Path) -> None:
    with pytest.raises(UsageError, match="an AdapLeR checkpoint"):
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


def test_an_epochs_thresholds_are_lowered_until_it_meets_the_rule(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Run.validate

    def strict(run: Run, model: Any, prune: bool, factor: float = 1.0) -> dict[str, Any]:
        return real(run, model, prune, factor) | ({"score": 0.9 if factor < 0.9 else 0.1} if prune else {"score": 0.9})

    monkeypatch.setattr(Run, "validate", strict)
    kept = train(replace(config, tolerance=0.01))
    val = json.loads((kept / "val.json").read_text())
    assert val["factor"] == 0.85 and val["meets_rule"] and val["score"] == 0.9
    saved = Classifier.load(kept).model.adapler.eta
    torch.testing.assert_close(saved, torch.tensor(val["eta"]))
    plain = train(replace(config, tolerance=0.01, rescale=False, output_dir=f"{config.output_dir}-2"))
    val = json.loads((plain / "val.json").read_text())
    assert val["factor"] == 1.0 and not val["meets_rule"]


def test_no_epoch_within_the_tolerance_is_said(config: TrainConfig, capsys: pytest.CaptureFixture[str]) -> None:
    train(replace(config, tolerance=-2.0))
    assert "warning: no epoch" in capsys.readouterr().err


def test_one_class_cannot_be_trained(config: TrainConfig, tmp_path: Path) -> None:
    one = [annotation("a", "POS", (0, 1))]
    both = [*one, annotation("b", "NEG", (0, 1))]
    for number, (rows, file) in enumerate((((one, both), "train"), ((both, one), "val"))):
        splits = dict(zip(("train", "val"), rows, strict=True))
        root = write_dataset(tmp_path / str(number), {"a": "good film", "b": "bad film"}, splits)
        with pytest.raises(DataError, match=rf"{file}\.jsonl: has one class only \(POS\)"):
            train(replace(config, data_root=str(root)))
    assert not Path(config.output_dir).exists()


def test_classes_of_your_own_files_come_from_train_and_val(config: TrainConfig, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "train.csv").write_text("text,label\ngood film,a\nbad film,b\n")
    (own / "val.csv").write_text("text,label\ngood film,a\nbad film,b\n")
    (own / "test.csv").write_text("text,label\ngood film,-1\n,\n")
    asked = replace(config, dataset=str(own), data_root=None)
    assert Run(asked).labels == ("a", "b")
    (own / "val.csv").write_text("text,label\ngood film,a\nbad film,b\nso so,c\n")
    with pytest.raises(DataError, match=r"val\.csv:4: 'row-4' is of class 'c', of which the train split has no"):
        Run(asked)
    with pytest.raises(UsageError, match=r"train\.csv: is one split"):
        Run(replace(asked, dataset=str(own / "train.csv")))
    (own / "val.csv").write_text("text,label\ngood film,a\nbad film,b\n")
    with pytest.raises(UsageError, match=r"--teacher human: reads words that people marked, and .*train\.csv has none"):
        Run(replace(asked, teacher="human"))


def test_rows_in_memory_are_trained_on(config: TrainConfig) -> None:
    rows = [{"text": f"{word} film", "label": label} for word, label in (("good", "a"), ("bad", "b"), ("the", "c"))]
    data = (from_rows(rows * 3, "mine", "train"), from_rows(rows[:2], "mine", "val"))
    folder = train(replace(config, dataset="mine", data_root=None), data)
    assert Classifier.load(folder).labels == ("a", "b", "c")
    assert json.loads((folder.parent / "manifest.json").read_text())["source"] == "own rows"
    text = (export(folder.parent, Path(f"{folder.parent}-out")) / "README.md").read_text()
    assert "on rows in memory" in text and "adapler-explain train" not in text


@pytest.mark.parametrize(
    "change",
    [
        {"lr": -1.0},
        {"fine_tune_lr": float("nan")},
        {"phi": float("inf")},
        {"clip": 0.0},
        {"sharpness_growth": 0.0},
        {"window_pieces": 0},
        {"epochs": 0},
        {"seed": 2**40},
    ],
)
def test_numbers_out_of_range_are_refused(config: TrainConfig, change: dict[str, Any]) -> None:
    option = next(iter(change)).replace("_", "-")
    with pytest.raises(UsageError, match=f"^--{option} .*: give a number from "):
        train(replace(config, **change))
    assert not Path(config.output_dir).exists()


@pytest.mark.parametrize("content", ["{", "[]", '{"command": "eval"}'])
def test_what_is_of_no_run_is_left_alone(config: TrainConfig, content: str) -> None:
    folder = Path(config.output_dir)
    folder.mkdir()
    (folder / "manifest.json").write_text(content)
    with pytest.raises(UsageError, match="holds what is no run of train"):
        train(config)
    assert (folder / "manifest.json").read_text() == content


def test_a_stage_that_is_none_is_refused(config: TrainConfig) -> None:
    (Path(config.output_dir) / "fine-tuned").mkdir(parents=True)
    with pytest.raises(UsageError, match="fine-tuned/ there is not of a run"):
        train(config)


def test_a_missing_encoder_leaves_nothing_behind(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(MissingError, match="no/such/model"):
        train(replace(config, model="no/such/model"))
    assert not Path(config.output_dir).exists()


def test_the_kept_epoch_is_the_fastest_that_meets_the_rule() -> None:
    def epoch(score: float, speedup: float, meets: bool) -> dict:
        return {"score": score, "flops_speedup": speedup, "meets_rule": meets}

    slow, fast, lossy, worse = epoch(0.9, 2, True), epoch(0.89, 3, True), epoch(0.8, 9, False), epoch(0.7, 9.5, False)
    assert keeping.better(fast, slow) and not keeping.better(slow, fast)
    assert keeping.better(slow, lossy) and not keeping.better(lossy, slow)
    assert keeping.better(lossy, worse) and not keeping.better(worse, lossy)


def test_epochs_are_ranked_by_score_then_by_age() -> None:
    assert keeping.ranked([0.8, 0.9, 0.9, 0.7]) == [2, 1, 0, 3]


def test_class_weights_balance_the_classes(config: TrainConfig, tmp_path: Path) -> None:
    rows = [annotation(name, label) for name, label in (("a", "POS"), ("b", "POS"), ("c", "POS"), ("d", "NEG"))]
    root = write_dataset(tmp_path / "skewed", dict.fromkeys("abcd", "good film"), {"train": rows, "val": rows})
    run = Run(replace(config, data_root=str(root)))
    np.testing.assert_allclose(run.class_weights, [4 / (2 * 1), 4 / (2 * 3)], rtol=1e-6)


def test_settings_come_from_the_caller_the_recipe_and_the_data_set_in_this_order(data_root: Path) -> None:
    of = partial(TrainConfig.of, model="m", output_dir="o")
    paper = of("sst2", recipe="paper", epochs=7, lr=None)
    assert (paper.epochs, paper.lr, paper.gamma, paper.phi, paper.window_pieces) == (7, 3e-5, 0.005, 0.0005, 64)
    assert of("movies", data_root=str(data_root)) == TrainConfig("movies", "m", "o", data_root=str(data_root))
    with pytest.raises(UsageError, match="--recipe fast"):
        of("movies", recipe="fast")
    assert RECIPES.keys() == {"recommended", "paper"}


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"teacher": "crystal-ball"}, "--teacher crystal-ball"),
        ({"precision": "float8"}, "--precision float8"),
        ({"precision": "tfloat32"}, "--precision tfloat32: NVIDIA GPUs from Ampere on have it, and not --device cpu"),
        ({"distill": 1.5}, "--distill 1.5"),
    ],
)
def test_settings_that_cannot_be_are_refused(config: TrainConfig, changes: dict, fault: str) -> None:
    with pytest.raises(UsageError, match=fault):
        train(replace(config, **changes))
    assert not Path(config.output_dir).exists()


@pytest.mark.parametrize("teacher", ["integrated-gradients", "attention-rollout", "lrp", "human"])
def test_every_teacher_teaches(config: TrainConfig, teacher: str) -> None:
    folder = train(replace(config, teacher=teacher, epochs=1))
    known = lessons.read_lessons(folder.parent / "saliency")
    assert all(torch.isfinite(lesson.saliency).all() and lesson.saliency.sum() > 0 for lesson in known.values())


def test_bfloat16_trains_float32_weights(config: TrainConfig) -> None:
    kept = Classifier.load(train(replace(config, precision="bfloat16", recovery_epochs=1))).model
    assert all(weight.dtype == torch.float32 and torch.isfinite(weight).all() for weight in kept.parameters())


def test_distillation_follows_the_fine_tuned_model(config: TrainConfig) -> None:
    """With nothing else to learn and no removal, the last stage's probabilities come to be the fine-tuned model's."""
    folder = train(
        replace(
            config,
            start="pretrained",
            distill=1.0,
            gamma=0.0,
            phi=0.0,
            eta=0.01,
            threshold_lr=0.0,
            lr=3e-3,
            epochs=40,
            dropout=0.0,
            attention_dropout=0.0,
            tolerance=-1.0,
        )
    )
    run = Run(config)
    windows = [item.window for item in run.drawn(0)]
    taught = lessons.read_lessons(folder.parent / "saliency")
    expected = torch.stack([taught[item.id].logits for item in run.drawn(0)]).softmax(-1)
    kept = Classifier.load(folder)
    got = kept.logits(windows, prune=True).softmax(-1)
    scattered = (expected - expected.mean(0)).abs().mean()
    assert (got - expected).abs().mean() < 0.5 * scattered


@pytest.mark.parametrize("family", families.CONFIGS)
def test_every_encoder_trains(config: TrainConfig, tmp_path: Path, family: str) -> None:
    start = tmp_path / family
    stock = AutoModelForSequenceClassification.from_config(families.CONFIGS[family]())
    stock.save_pretrained(start)
    families.trained(family).save_pretrained(start)
    folder = train(replace(config, model=str(start), epochs=1, fine_tune_epochs=1, recovery_epochs=1, dropout=0.2))
    kept = Classifier.load(folder)
    assert kept.model.config.model_type == f"adapler_{family}" and kept.window_pieces == 20
    assert any(module.p == 0.2 for module in kept.model.modules() if isinstance(module, torch.nn.Dropout))
    assert torch.isfinite(kept.logits(kept.windows(["the", "film"]), prune=True)).all()


def test_tensor_cores_are_asked_for_and_put_back() -> None:
    place = torch.backends.cuda.matmul
    before = place.fp32_precision
    try:
        # PyTorch's older way to ask refuses to look after this.
        place.fp32_precision = "ieee"
        with tensor_cores(False):
            assert place.fp32_precision == "ieee"
        with pytest.raises(ZeroDivisionError), tensor_cores(True):
            assert place.fp32_precision == "tf32"
            _ = 1 / 0
        assert place.fp32_precision == "ieee"
    finally:
        place.fp32_precision = before
