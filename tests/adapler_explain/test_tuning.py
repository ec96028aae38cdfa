"""The budget: the frontier, the point that is picked and stored, and the name that is then taken everywhere."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import random_batch, tiny_model
from transformers import BertTokenizer
from typer.testing import CliRunner

from adapler_explain import cli, tuning
from adapler_explain import task_row as task_row_module
from adapler_explain.bulk import BulkConfig, bulk
from adapler_explain.classifier import Classifier
from adapler_explain.config import operating_factor
from adapler_explain.evaluate import EvalConfig, evaluate
from adapler_explain.frontier import BISECTIONS, Frontier, Point
from adapler_explain.measure import Measured, measure, opened
from adapler_explain.task_row import TaskConfig, task_row
from adapler_explain.trace import trace
from adapler_explain.tuning import TuneConfig, store_point, tune
from eraser_eval.datasets import Split
from eraser_eval.errors import MissingError, UsageError, UserError

WORDS = ("the film was good but the end was bad , very bad . " * 3).split()


def measured(speed: float, score: float, kept: int = 50) -> Point:
    """One of 100 documents of one window of 100 pieces each, ``score`` of them right."""
    right = np.arange(100) < round(100 * score)
    probabilities = np.stack([right, ~right], axis=1).astype(float)
    zeros = np.zeros(100, dtype=np.int64)
    pieces = np.array([kept * 100, kept * 100])
    return Point.of(
        Measured(np.arange(100), zeros, probabilities, ("a", "b"), "accuracy", 10000, pieces, 10**6, int(1e6 / speed))
    )


def model_frontier() -> Frontier:
    """A smooth one: at factor f the speed is 1 + f, up to 100, and the score 0.9 − f / 100."""
    return Frontier(lambda f: measured(min(1 + f, 100), max(0.9 - f / 100, 0.5), kept=1 if f > 99 else 50))


@pytest.fixture(autouse=True)
def quick_timing(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (tuning, task_row_module):
        monkeypatch.setattr(module, "TIMED_SECONDS", 0.0)


@pytest.fixture
def tuned(tmp_path: Path, checkpoint: Path) -> Path:
    """A copy of the checkpoint, which a point can be stored in."""
    return Path(shutil.copytree(checkpoint, tmp_path / "model"))


@pytest.fixture
def config(tuned: Path, data_root: Path, tmp_path: Path) -> TuneConfig:
    out = str(tmp_path / "out")
    return TuneConfig(str(tuned), "movies", "val", str(data_root), speedup=1.3, output_dir=out, timing=False)


# ---------------------------------------------------------------- the search


def test_the_sweep_goes_from_nothing_removed_to_cls_alone_without_wide_gaps() -> None:
    frontier = model_frontier()
    frontier.sweep(windows=100)
    factors = frontier.factors
    assert len(factors) == 24 and factors[0] == 0 and 1.0 in factors
    assert frontier.at(factors[-1]).kept_pieces[0] == 100
    speeds = [frontier.at(factor).flops_speedup for factor in factors]
    assert speeds == sorted(speeds) and max(b / a for a, b in pairwise(speeds)) < 1.7


def test_the_wanted_points_are_sought_closely() -> None:
    frontier = model_frontier()
    frontier.sweep(windows=100)
    # From 3 to 3.5 the score is the same.
    assert 3.0 <= frontier.best(4.0) <= 3.5
    assert 3.0 <= min(factor for factor in frontier.factors if factor >= 3) < 3.05
    assert frontier.fastest(0.85) == pytest.approx(5.5, rel=0.1)
    assert frontier.best(101.0) is None and frontier.fastest(0.91) is None


def test_a_point_with_a_margin_does_not_stand_on_the_edge() -> None:
    def cliff(f: float) -> Point:
        return measured(min(1 + f, 100), 0.9 if f <= 3 else 0.5, kept=1 if f > 99 else 50)

    edge, safe = (Frontier(cliff) for _ in range(2))
    for frontier in (edge, safe):
        frontier.sweep(windows=100)
    assert 2.9 < (edge.fastest(0.9) or 0) <= 3
    chosen = safe.fastest(0.9, margin=0.1)
    assert chosen and 2.6 < chosen <= 3 / 1.1 and safe.at(chosen * 1.1).score == 0.9
    assert Frontier(lambda f: measured(1 + f, 0.5)).fastest(0.9, margin=0.1) is None


def test_a_point_that_luck_alone_lifts_is_not_chosen_with_a_margin() -> None:
    def lucky(f: float) -> Point:
        falling = 0.9 - 0.02 * f
        return measured(1 + f, falling + (0.05 if 2.95 < f < 3.05 else 0), kept=1 if f > 99 else 50)

    points = {factor: lucky(factor) for factor in (0.0, 0.5, 1.0, 2.0, 2.5, 2.8, 3.0, 3.2, 4.0, 8.0)}
    assert Frontier(lucky, points).fastest(0.85) == pytest.approx(3.0, rel=0.04)
    chosen = Frontier(lucky, dict(points)).fastest(0.85, margin=0.2)
    assert chosen is not None and 2.2 < chosen <= 2.55


def test_the_best_of_the_fast_ones_wins_and_of_equal_ones_the_fastest() -> None:
    frontier = Frontier(measure_at=lambda _: measured(1.001, 0.1))
    frontier.points = {0.0: measured(1, 0.99), 1.0: measured(4.0, 0.7), 2.0: measured(5, 0.8), 3.0: measured(6, 0.8)}
    assert frontier.best(4.0) == 3.0 and frontier.fastest(0.75) == 3.0


# ---------------------------------------------------------------- the command


def test_the_frontier_is_written_and_fewer_pieces_are_kept_as_the_factor_grows(config: TuneConfig) -> None:
    folder, figures = tune(config)
    written = {path.name for path in folder.iterdir()}
    assert written == {".points.jsonl", *(f"frontier.{end}" for end in ("json", "csv", "png", "pdf"))}
    assert json.loads((folder / "frontier.json").read_text()) == json.loads(json.dumps(figures))
    points = figures["points"]
    assert points[0]["factor"] == 0 and points[0]["kept_per_layer"] == [1.0, 1.0, 1.0]
    first = [row["kept_per_layer"][0] for row in points]
    assert first == sorted(first, reverse=True)
    assert points[-1]["kept"] < points[0]["kept"] and points[-1]["kept_per_layer"] == [min(first)] * 3
    with (folder / "frontier.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["factor"]) for row in rows] == pytest.approx([row["factor"] for row in points])
    assert [float(row["kept_3"]) for row in rows] == pytest.approx([row["kept_per_layer"][2] for row in points])


def test_a_tuning_that_was_cut_off_measures_only_what_is_missing(
    config: TuneConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tune(replace(config, output_dir=str(tmp_path / "whole")))
    whole = (tmp_path / "whole" / "frontier.json").read_text()
    asked: list[float] = []

    def counted(classifier: Classifier, split: Split, windows: Any, prune: bool, factor: float) -> Measured:
        if len(asked) == 4:
            raise KeyboardInterrupt
        asked.append(factor)
        return measure(classifier, split, windows, prune, factor)

    monkeypatch.setattr(tuning, "measure", counted)
    with pytest.raises(KeyboardInterrupt):
        tune(config)
    points = tmp_path / "out" / ".points.jsonl"
    with points.open("a") as file:
        file.write('{"factor": 3.0, "sco')
    before, asked[4:] = asked[:], ["room for all the others"]  # type: ignore[list-item]
    tune(config)
    assert not set(before) & set(asked[5:]) and len(asked) > 5
    made = (tmp_path / "out" / "frontier.json").read_text()
    assert json.loads(made)["points"] == json.loads(whole)["points"]
    # Another target needs few more, of the same model; other documents need all.
    asked[:] = [0.0] * 5
    tune(replace(config, speedup=1.2))
    assert len(asked) <= 5 + BISECTIONS
    asked[:] = [0.0] * 5
    tune(replace(config, limit=3))
    assert len(asked) > 20


def test_the_point_is_stored_and_nothing_else_changes(config: TuneConfig, tuned: Path) -> None:
    before = (tuned / "config.json").read_bytes()
    files = {path.name for path in tuned.iterdir()}
    _, figures = tune(config)
    content = json.loads((tuned / "config.json").read_text())
    point = content.pop("operating_points")["speedup-1.3"]
    old = json.loads(before)
    assert old.pop("operating_points", None) is None
    assert json.dumps(content) == json.dumps(old)
    assert {path.name for path in tuned.iterdir()} == files
    row = next(row for row in figures["points"] if row["factor"] == point["factor"])
    assert point["flops_speedup"] == row["flops_speedup"] >= 1.3 and point["score"] == row["score"]
    assert (point["metric"], point["split"], point["documents"]) == ("accuracy", "val", 4)
    assert point["data_checksum"].startswith("sha256:") and point["measured_speedup"] is None
    tune(replace(config, name="mine", speedup=None, max_drop=0.5))
    stored = Classifier.load(tuned).model.config.operating_points
    assert list(stored) == ["speedup-1.3", "mine"] and stored["speedup-1.3"] == point


def test_storing_is_whole_or_not_at_all(tuned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (tuned / "config.json").read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        store_point(tuned, "x", {"factor": 2.0})
    assert (tuned / "config.json").read_bytes() == before
    assert not list(tuned.glob(".*"))


def test_wall_clocks_are_measured_beside_the_stock_model(config: TuneConfig, tuned: Path) -> None:
    _, figures = tune(replace(config, timing=True))
    assert all(row["measured_speedup"] > 0 for row in figures["points"])
    assert figures["timing"]["windows"] == 9 and figures["timing"]["rounds"] >= 3
    assert json.loads((tuned / "config.json").read_text())["operating_points"]["speedup-1.3"]["measured_speedup"] > 0


def test_max_drop_counts_from_what_training_stored(config: TuneConfig, tuned: Path) -> None:
    asked = replace(config, speedup=None)
    _, figures = tune(asked)
    assert figures["name"] == "max-drop-0.01" and "nothing removed" in figures["reference"]
    assert figures["reference_score"] == figures["points"][0]["score"]
    path = tuned / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"reference_score": 0.3, "reference_metric": "accuracy"}))
    _, figures = tune(asked)
    assert figures["reference_score"] == 0.3 and "fine-tuned" in figures["reference"]
    _, figures = tune(replace(asked, reference_score=0.1))
    assert figures["reference_score"] == 0.1
    path.write_text(json.dumps(json.loads(path.read_text()) | {"reference_metric": "f1"}))
    assert "nothing removed" in tune(asked)[1]["reference"]


def test_what_was_stored_of_other_texts_is_not_counted_from(
    config: TuneConfig, tuned: Path, stock_checkpoint: Path, tmp_path: Path
) -> None:
    known = {"reference_score": 0.3, "reference_metric": "accuracy"}
    path = tuned / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | known))
    part = replace(config, speedup=None, max_drop=1.0, limit=3)
    assert "nothing removed" in tune(part)[1]["reference"]
    # The fine-tuned model of the run that made the checkpoint reads the very texts.
    shutil.copytree(stock_checkpoint, tuned.parent / "fine-tuned")
    _, figures = tune(part)
    assert figures["reference"] == "the fine-tuned model's on the same texts"
    classifier, split, windows = opened(str(tuned), "movies", "val", config.data_root, 3, "cpu")
    fine_tuned = Classifier.load(stock_checkpoint, "cpu", classifier.window_pieces)
    assert figures["reference_score"] == measure(fine_tuned, split, windows, False).score
    path.write_text(json.dumps(json.loads(path.read_text()) | {"reference_documents": 3}))
    assert tune(part)[1]["reference_score"] == 0.3
    assert tune(replace(part, limit=0))[1]["reference"] == "the fine-tuned model's on the same texts"


@pytest.mark.parametrize("change", [{"speedup": 1e5}, {"speedup": None, "max_drop": 0.0, "reference_score": 1.0}])
def test_where_no_point_is_as_wanted_the_nearest_is_named_and_nothing_stored(
    config: TuneConfig, tuned: Path, change: dict
) -> None:
    before = (tuned / "config.json").read_bytes()
    with pytest.raises(UsageError, match=r"^--(speedup|max-drop) .* nearest is factor .* nothing is stored"):
        tune(replace(config, **change))
    assert (tuned / "config.json").read_bytes() == before
    assert json.loads((Path(config.output_dir) / "frontier.json").read_text())["chosen"] is None
    # What was stored under the name before is of another question.
    store_point(tuned, "mine", {"factor": 2.0})
    store_point(tuned, "other", {"factor": 3.0})
    with pytest.raises(UsageError):
        tune(replace(config, name="mine", **change))
    assert list(json.loads((tuned / "config.json").read_text())["operating_points"]) == ["other"]


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"max_drop": 0.1}, UsageError, "--max-drop, --speedup: give one"),
        ({"speedup": 0.5}, UsageError, "--speedup 0.5"),
        ({"speedup": float("nan")}, UsageError, "--speedup nan"),
        ({"speedup": None, "max_drop": 2.0}, UsageError, "--max-drop 2"),
        ({"reference_score": 90.0}, UsageError, "--reference-score 90"),
        ({"name": "a b"}, UsageError, "--name a b"),
        ({"name": "1e3"}, UsageError, "--name 1e3"),
        ({"name": ""}, UsageError, "--name"),
        ({"checkpoint": "nowhere"}, MissingError, "nowhere"),
        ({"dataset": "nothing"}, UsageError, "--dataset nothing"),
        ({"device": "nope"}, UsageError, "--device nope"),
    ],
)
def test_what_cannot_be_used_is_refused(config: TuneConfig, change: dict, kind: type[UserError], message: str) -> None:
    with pytest.raises(kind) as caught:
        tune(replace(config, **change))
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert not Path(config.output_dir or "").exists()


def test_a_stock_checkpoint_is_refused(config: TuneConfig, stock_checkpoint: Path) -> None:
    with pytest.raises(UsageError, match="not an AdapLeR checkpoint"):
        tune(replace(config, checkpoint=str(stock_checkpoint)))


def test_the_frontier_of_a_training_run_stands_in_it(config: TuneConfig, tuned: Path, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"command": "train"}')
    folder, _ = tune(replace(config, output_dir=None))
    assert folder == tmp_path / "tune"
    options = ["--dataset", "movies", "--data-root", config.data_root or "", "--max-drop", "0.6", "--no-timing"]
    result = CliRunner().invoke(cli.app, ["tune", str(tuned), *options])
    assert "← stored" in result.output and "--operating-point max-drop-0.6" in result.output


# ---------------------------------------------------------------- the name


def with_point(folder: Path, factor: float = 2.0) -> Classifier:
    store_point(folder, "fast", {"factor": factor})
    return Classifier.load(folder)


def test_a_name_is_its_factor_everywhere_in_python(tuned: Path) -> None:
    classifier = with_point(tuned)
    batch = random_batch([12, 20])
    for point in ("fast", 2.0, "2.0"):
        torch.testing.assert_close(
            classifier.model(**batch, operating_point=point).alive, classifier.model(**batch, operating_point=2.0).alive
        )
    assert (
        trace(classifier, WORDS, operating_point="fast").kept_per_layer
        == trace(classifier, WORDS, "", 2.0).kept_per_layer
    )
    windows = classifier.windows(WORDS)
    assert torch.equal(
        classifier.logits(windows, True, operating_point="fast"), classifier.logits(windows, True, operating_point=2.0)
    )
    assert operating_factor(classifier.model.config, "") == 1.0
    with pytest.raises(ValueError, match="'slow': give a number or a name of fast"):
        classifier.model(**batch, operating_point="slow")


@pytest.mark.parametrize("point", [-1.0, float("nan"), float("inf"), "-1", "nan"])
def test_numbers_that_are_no_factor_are_refused(point: float | str) -> None:
    with pytest.raises(ValueError, match="finite number"):
        tiny_model()(**random_batch([8]), operating_point=point)


def test_the_checksum_of_a_model_is_not_of_its_points(tuned: Path, checkpoint: Path) -> None:
    before = Classifier.load(checkpoint).checksum
    assert with_point(tuned).checksum == before
    store_point(tuned, "other", {"factor": 3.0})
    assert Classifier.load(tuned).checksum == before
    path = tuned / "config.json"
    path.write_text(path.read_text().replace('"window_pieces": 20', '"window_pieces": 21'))
    assert Classifier.load(tuned).checksum != before


def test_predict_takes_a_name(tuned: Path, tmp_path: Path) -> None:
    with_point(tuned)
    (tmp_path / "in.txt").write_text(" ".join(WORDS) + "\n")
    made = {}
    for point in ("fast", "2", ""):
        output = tmp_path / "out.jsonl"
        options = ["--input", str(tmp_path / "in.txt"), "--output", str(output), "--model", str(tuned), "--explain"]
        result = CliRunner().invoke(cli.app, ["predict", *options, "--operating-point", point])
        assert result.exit_code == 0, result.output
        made[point] = output.read_text()
    assert made["fast"] == made["2"] != made[""]
    for point in ("slow", "0", "-1"):
        with pytest.raises(UsageError, match=r"^--operating-point"):
            bulk(BulkConfig(str(tmp_path / "in.txt"), str(tmp_path / "o.jsonl"), str(tuned), operating_point=point))


def test_eval_takes_a_name_and_says_so(tuned: Path, data_root: Path, tmp_path: Path) -> None:
    with_point(tuned)
    asked = EvalConfig(
        "movies",
        "test",
        str(data_root),
        str(tuned),
        methods=("contribution", "random"),
        output_dir=str(tmp_path / "one"),
    )
    _, plain = evaluate(asked)
    folder, fast = evaluate(replace(asked, operating_point="fast", output_dir=str(tmp_path / "two")))
    _, same = evaluate(replace(asked, operating_point="2", output_dir=str(tmp_path / "three")))
    assert fast["efficiency"] == same["efficiency"] and fast["methods"].keys() == same["methods"].keys()
    assert fast["efficiency"]["flops_speedup"] > plain["efficiency"]["flops_speedup"]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["operating_point"], manifest["operating_factor"], fast["operating_point"]) == ("fast", 2.0, 2.0)
    assert "thresholds × 2" in (folder / "table.md").read_text()
    assert "thresholds ×" not in (tmp_path / "one" / "table.md").read_text()
    assert "×2" in fast["signatures"]["fpr"] and "×" not in plain["signatures"]["fpr"]
    # The predicted class is that of the point, too.
    classifier = Classifier.load(tuned)
    line = json.loads((folder / "predictions" / "adapler.jsonl").read_text().splitlines()[0])
    windows = classifier.windows(["the", "film", "was", "good", ".", "good", "good", "film", "."])
    expected = classifier.logits(windows, True, operating_point=2.0).double().softmax(-1).mean(0)
    assert list(line["classification_scores"].values()) == pytest.approx(expected.tolist(), abs=1e-6)
    with pytest.raises(UsageError, match="--operating-point: operating point 'slow'"):
        evaluate(replace(asked, operating_point="slow", output_dir=str(tmp_path / "four")))


# ---------------------------------------------------------------- a task's row


def test_a_row_compares_the_pruned_and_the_fine_tuned_model(
    tuned: Path, stock_checkpoint: Path, data_root: Path, tmp_path: Path
) -> None:
    with_point(tuned)
    out = tmp_path / "row.json"
    options = ["measure", str(tuned), "--dataset", "movies", "--data-root", str(data_root), "--operating-point", "fast"]
    options += ["--reference-model", str(stock_checkpoint), "--batch-sizes", "1,4", "--json", str(out)]
    result = CliRunner().invoke(cli.app, options)
    assert result.exit_code == 0, result.output
    assert "fine-tuned" in result.output and "wall clock, batch 4" in result.output
    row = json.loads(out.read_text())
    assert row["operating_factor"] == 2.0 and row["flops_speedup"] > 1 and len(row["kept_per_layer"]) == 3
    assert {"score", "accuracy", "macro_f1"} == row["fine_tuned"].keys() == row["pruned"].keys()
    assert [(clock["batch"], clock["windows"]) for clock in row["wall_clock"]] == [(1, 9), (4, 8)]
    assert all(clock["speedup"] > 0 and clock["ms"] > 0 for clock in row["wall_clock"])
    assert row["documents"] == row["documents_in_split"] == 4 and row["seed"] is None
    assert "thread" in row["timed_on"]
    assert row["reference_model_checksum"] == Classifier.load(stock_checkpoint).checksum


def test_the_training_runs_own_fine_tuned_model_is_the_default(
    tuned: Path, stock_checkpoint: Path, data_root: Path, tmp_path: Path
) -> None:
    asked = TaskConfig(str(tuned), "movies", "test", str(data_root), batch_sizes=())
    assert task_row(asked)["reference_model"] == "the same weights with removal switched off"
    shutil.copytree(stock_checkpoint, tmp_path / "fine-tuned")
    (tmp_path / "manifest.json").write_text('{"command": "train", "seed": 7}')
    row = task_row(asked)
    assert row["reference_model"] == str(tmp_path / "fine-tuned") and row["seed"] == 7 and row["wall_clock"] == []
    assert row["timed_on"] is None


def test_a_row_refuses(tuned: Path, stock_checkpoint: Path, data_root: Path, tmp_path: Path) -> None:
    asked = TaskConfig(str(tuned), "movies", "test", str(data_root))
    with pytest.raises(UsageError, match="--batch-sizes 32: the documents make 9 windows"):
        task_row(asked)
    with pytest.raises(UsageError, match="--time-on abacus"):
        task_row(replace(asked, time_on="abacus"))
    with pytest.raises(UsageError, match="--batch-sizes 0,1"):
        task_row(replace(asked, batch_sizes=(0, 1)))
    with pytest.raises(UsageError, match="--operating-point"):
        task_row(replace(asked, operating_point="slow", batch_sizes=()))
    with pytest.raises(MissingError, match="nowhere"):
        task_row(replace(asked, checkpoint="nowhere"))
    other = BertTokenizer(
        vocab={piece: n for n, piece in enumerate(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a"))}
    )
    other.save_pretrained(shutil.copytree(stock_checkpoint, tmp_path / "other"))
    with pytest.raises(UsageError, match="reads the texts otherwise"):
        task_row(replace(asked, reference_model=str(tmp_path / "other"), batch_sizes=()))
    result = CliRunner().invoke(cli.app, ["measure", str(tuned), "--dataset", "movies", "--batch-sizes", "one"])
    assert isinstance(result.exception, UsageError) and "--batch-sizes one" in str(result.exception)
