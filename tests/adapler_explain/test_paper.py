"""The paper's experiment as a folder: what it holds, that it goes on, and who decides what falls."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import random_batch, tiny_model
from typer.testing import CliRunner

from adapler_explain import cli, forced, packed_encoder
from adapler_explain import paper as paper_package
from adapler_explain.classifier import Classifier, all_windows
from adapler_explain.paper import PaperConfig, ablations, dropping, making, paper, plan, reuse, tasks
from adapler_explain.paper.plan import Scale, Task
from adapler_explain.training import TrainConfig
from eraser_eval.datasets import load
from eraser_eval.errors import MissingError, UsageError
from eraser_eval.grid import Grid, Shown

TINY = {"window_pieces": 20, "fine_tune_epochs": 1, "epochs": 1, "batch_size": 2, "threshold_lr": 0.1, "phi": 0.1}
SMALL = Scale(
    "tiny",
    (Task("movies", TINY, seeds=(0, 1)), Task("multirc")),
    Task("movies", TINY, split="val"),
    ("movies", "multirc"),
    teachers=(Task("movies", TINY, split="val", seeds=(0, 1)), Task("multirc")),
)
CHOSEN = ("base", "teacher-rollout", "teacher-human", "phi-double", "no-theta")


@pytest.fixture
def config(tmp_path: Path, stock_checkpoint: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch) -> PaperConfig:
    monkeypatch.setattr(
        paper_package, "SCALES", {"small": SMALL} | {name: plan.SCALES[name] for name in ("quick", "gpu")}
    )
    for name in ("VARIANTS", "BY_TEACHER", "COMPARED", "BY_PHI"):
        chosen = tuple(variant for variant in getattr(plan, name) if variant.name in CHOSEN)
        monkeypatch.setattr(making, name, chosen)
    out = str(tmp_path / "paper")
    return PaperConfig(out, model=str(stock_checkpoint), data_root=str(data_root), timing=False)


def content(folder: Path) -> dict[str, bytes]:
    """Everything that was written but what training wrote, and when."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and "runs" not in path.parts]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if path.name != ".lock"}


def compiled(folder: Path) -> None:
    """Where LaTeX is installed, the document compiles."""
    if shutil.which("pdflatex"):
        words = ["pdflatex", "-halt-on-error", "-output-directory", tempfile.mkdtemp(), "paper.tex"]
        made = subprocess.run(words, cwd=folder, capture_output=True, check=False)
        assert made.returncode == 0, made.stdout[-2000:]


def test_the_folder_holds_everything_and_is_not_made_twice(
    config: PaperConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    folder = paper(config, said.append)
    assert [line for line in said if "left out" in line] and "movies, ablation no-theta, seed 0" in said
    for name in ("tasks", "rationales-movies", "ablations", "dropping", "teachers-movies"):
        assert (folder / f"{name}.tex").read_text().count("\\bottomrule") == 1
        assert (folder / f"{name}.md").read_text() in (folder / "README.md").read_text()
        assert f"\\input{{{name}}}" in (folder / "paper.tex").read_text()
    compiled(folder)
    assert "Left out: --data-root" in (folder / "README.md").read_text()
    drawn = ("tasks/movies-frontier", "movies/layers", "movies/bars")
    for name in (*drawn, "ablations/teacher", "ablations/phi"):
        assert (folder / "figures" / f"{name}.pdf").is_file() and (folder / "figures" / f"{name}.csv").is_file()
        assert f"figures/{name}.pdf" in (folder / "paper.tex").read_text()
    rows = json.loads((folder / "tasks.json").read_text())["rows"]
    assert [row["seed"] for row in rows] == [0, 1] and "data_root" not in rows[0]
    found = {row["variant"]: row for row in json.loads((folder / "ablations.json").read_text())["rows"]}
    assert set(found) == set(CHOSEN) and found["phi-double"]["train"]["phi"] == 2 * found["base"]["train"]["phi"]
    assert all(0 < row["agreement"] <= 1 for row in found.values())
    teachers = json.loads((folder / "teachers-movies.json").read_text())["rows"]
    assert [(row["variant"], row["seed"]) for row in teachers] == [
        (name, seed) for name in ("base", "teacher-human") for seed in (0, 1)
    ]
    assert teachers[::2] == [found[name] for name in ("base", "teacher-human")]
    assert "2 seeds: mean (lowest–highest)" in (folder / "teachers-movies.md").read_text()
    assert (folder / "teachers-movies.csv").read_text().count("\n") == 1 + len(teachers)
    explained = json.loads((folder / "runs/ablation-movies/base/explained/manifest.json").read_text())
    assert (explained["split"], explained["methods"]) == ("val", ["adapler", "contribution"])
    manifest = json.loads((folder / "runs/ablation-movies/no-theta/manifest.json").read_text())
    assert manifest["theta"] is False

    before = content(folder)
    for module, name in ((tasks, "train"), (tasks, "tune"), (reuse, "evaluate"), (tasks, "task_row")):
        monkeypatch.setattr(module, name, lambda *_: pytest.fail("made again"))
    paper(config)
    assert content(folder) == before


def test_it_goes_on_where_it_was_cut_off(config: PaperConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = paper(replace(config, output_dir=str(tmp_path / "whole"), parts=("ablations",)))
    measured = tasks.tuned
    calls: list[Path] = []

    def cut(checkpoint: Path, *others: object, **more: object) -> object:
        calls.append(checkpoint)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return measured(checkpoint, *others, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(ablations, "tuned", cut)
    with pytest.raises(KeyboardInterrupt):
        paper(replace(config, parts=("ablations",)))
    folder = paper(replace(config, parts=("ablations",)))
    assert len(calls) == 3 + len(CHOSEN) + 2 * len({"base", "teacher-human"})
    for name in ("ablations.md", "dropping.md"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()


def test_trained_models_are_taken_as_they_are(
    config: PaperConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paper(replace(config, parts=("tasks",), tasks=("movies",)))
    monkeypatch.setattr(tasks, "train", lambda *_: pytest.fail("trained again"))
    runs = str(tmp_path / "paper" / "runs")
    folder = paper(replace(config, parts=("rationales",), runs=runs, output_dir=str(tmp_path / "other")))
    manifest = json.loads((folder / "explained" / "movies" / "manifest.json").read_text())
    points = json.loads((tmp_path / "paper/runs/movies-0/adapler/config.json").read_text())["operating_points"]
    assert manifest["operating_point"] == (tasks.point_of() if points else "")
    assert manifest["reference_model"].endswith("fine-tuned")


def test_what_another_model_or_question_left_is_made_again(
    config: PaperConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = replace(config, parts=("tasks", "rationales"), tasks=("movies",), rationales=("movies",))
    folder = paper(asked)
    run = folder / "runs" / "movies-0"
    measured, explained = run / "measured-test.json", folder / "explained" / "movies" / "metrics.json"
    before = {path: json.loads(path.read_text()) for path in (measured, explained)}
    # As if the model had been trained again; its tuning and its figures are then of the other.
    config_file = run / "adapler" / "config.json"
    config_file.write_text(json.dumps(json.loads(config_file.read_text()) | {"seed": 99}))
    (folder / "explained" / "movies" / "predictions" / "mine.txt").write_text("of the older model")
    paper(asked)
    for path, old in before.items():
        new = json.loads(path.read_text())
        assert new["model_checksum"] != old["model_checksum"]
        assert new["model_checksum"] == json.loads((run / "tune" / "frontier.json").read_text())["model_checksum"]
    assert not (folder / "explained" / "movies" / "predictions" / "mine.txt").exists()

    # Figures without clocks do not stand in for figures with them.
    timed = tasks.task_figures(SMALL.tasks[0], run, making_of(config)._train(SMALL.tasks[0], 0, run), (1,))
    assert [clock["batch"] for clock in timed["wall_clock"]] == [1]


def making_of(config: PaperConfig) -> making.Making:
    return making.Making(config, SMALL, Path(config.output_dir), lambda _: None)


def test_a_row_without_a_point_says_so(config: PaperConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    unmet = replace(SMALL.tasks[0], max_drop=-1.0, seeds=(0,))
    monkeypatch.setitem(paper_package.SCALES, "small", replace(SMALL, tasks=(unmet,)))
    monkeypatch.setattr("adapler_explain.tuning.check", lambda _: tasks.point_of(-1.0))
    folder = paper(replace(config, parts=("tasks",), tasks=("movies",)))
    rows = json.loads((folder / "tasks.json").read_text())["rows"]
    assert rows[0]["operating_point"] == "" and rows[0]["operating_factor"] == 1
    table = (folder / "tasks.md").read_text()
    assert "†" in table.splitlines()[2] and "†: no thresholds lose so little" in table
    found = tasks.tuned(folder / "runs/movies-0/adapler", unmet, config.data_root, "cpu")
    assert found["chosen"] is None
    compiled(folder)


def test_a_task_with_two_aims_is_trained_once(config: PaperConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    one = replace(SMALL.tasks[0], seeds=(0,))
    monkeypatch.setitem(
        paper_package.SCALES, "small", replace(SMALL, tasks=(one, replace(one, max_drop=0.5), *SMALL.tasks[1:] * 2))
    )
    folder = paper(replace(config, parts=("tasks",)))
    rows = json.loads((folder / "tasks.json").read_text())["rows"]
    assert [row["max_drop"] for row in rows] == [0.01, 0.5]
    assert [row["operating_point"] for row in rows] == ["max-drop-0.01", "max-drop-0.5"]
    assert rows[0]["model_checksum"] == rows[1]["model_checksum"]
    assert rows[0]["flops_speedup"] < rows[1]["flops_speedup"]
    lines = (folder / "tasks.md").read_text().splitlines()[2:4]
    assert ", 50 points |" not in lines[0] and ", 50 points |" in lines[1]
    made = [path.name for path in (folder / "runs/movies-0").iterdir()]
    assert {"tune", "tune-0.5", "measured-test.json", "measured-test-0.5.json"} <= set(made)
    points = [(folder / f"runs/movies-0/{name}/.points.jsonl").read_text() for name in ("tune", "tune-0.5")]
    assert points[1].startswith(points[0])
    assert (folder / "README.md").read_text().count("- Left out:") == 1


def test_an_encoder_of_the_hub_is_named_in_the_document(config: PaperConfig) -> None:
    made = making_of(replace(config, model="someone/bert"))
    made.folder.mkdir()
    made.close()
    assert "- Encoder: someone/bert\n" in (made.folder / "README.md").read_text()


def test_a_line_of_csv_has_scores_and_clocks() -> None:
    row = {"task": "x", "pruned": {"score": 0.5}, "wall_clock": [{"batch": 1, "speedup": 2.0}], "train": {"phi": 1}}
    assert making.flat(row) == {"task": "x", "pruned_score": 0.5, "speedup_batch_1": 2.0}


@pytest.mark.parametrize("name", plan.SCALES)
def test_rationales_are_of_models_in_the_task_table(name: str) -> None:
    scale = plan.SCALES[name]
    assert set(scale.rationales) <= {task.dataset for task in scale.tasks}


def test_a_clock_of_another_machine_is_measured_again(config: PaperConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    task, run = SMALL.tasks[0], Path(config.output_dir)
    given = TrainConfig.of(
        "movies", model=config.model, output_dir=str(run), data_root=config.data_root, seed=0, **task.train
    )
    first = tasks.task_figures(task, run, given, (1,))["wall_clock"]
    assert tasks.task_figures(task, run, given, (1,))["wall_clock"] == first
    monkeypatch.setattr(tasks, "machine", lambda _: "another")
    assert tasks.task_figures(task, run, given, (1,))["wall_clock"] != first
    tasks.task_figures(task, run, given, ())
    measured = (run / "measured-test.json").read_text()
    tasks.task_figures(task, run, given, ())
    assert (run / "measured-test.json").read_text() == measured


def test_what_cannot_be_used_is_refused(config: PaperConfig, tmp_path: Path) -> None:
    for change, message in (
        ({"scale": "huge"}, "--scale huge"),
        ({"scale": "gpu"}, "--scale gpu: is for an NVIDIA GPU"),
        ({"time_on": "abacus"}, "--time-on abacus"),
        ({"parts": ("figures",)}, "--parts figures"),
        ({"tasks": ("sst9",)}, "--tasks sst9"),
        ({"model": None}, "--model: give the pretrained"),
    ):
        with pytest.raises(UsageError, match=message):
            paper(replace(config, **change))
    with pytest.raises(MissingError, match="MultiRC"):
        paper(replace(config, parts=("tasks",), tasks=("multirc",)))
    with pytest.raises(UsageError, match=r"other settings \(timing\)"):
        paper(replace(config, timing=True))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("mine")
    with pytest.raises(UsageError, match="not of 'paper'"):
        paper(replace(config, output_dir=str(tmp_path / "mine")))


@pytest.mark.slow
def test_quick_runs_on_the_sample_and_compiles(tmp_path: Path) -> None:
    out = tmp_path / "quick"
    ended = CliRunner().invoke(cli.app, ["paper", "--quick", "--output-dir", str(out)], catch_exceptions=False)
    assert ended.exit_code == 0 and ended.output.strip().endswith("README.md")
    assert len(json.loads((out / "ablations.json").read_text())["rows"]) == len(plan.VARIANTS)
    compiled(out)


# ---------------------------------------------------------------- who decides


def test_the_highest_scoring_pieces_stay_and_cls_with_them() -> None:
    model = tiny_model()
    batch = random_batch([6, 4])
    scores = torch.tensor([[[0, 1, 5, 5, 2, 9], [9, 3, 3, 3, -99, -99]]], dtype=torch.float64)
    packed = packed_encoder.enter(model, **batch)
    kept = dropping.highest(scores, torch.tensor([[3, 2]]))(0, packed)
    assert kept.tolist() == [True, False, True, False, False, True, True, True, False, False]


def test_adaplers_own_decisions_give_its_own_scores(checkpoint: Path, data_root: Path) -> None:
    adapler = Classifier.load(checkpoint)
    split = load("movies", "test", data_root)
    windows = all_windows(adapler, split)
    found = dropping.dropping_figures(split, windows, adapler, adapler, 1.2)
    rows = {row["decider"]: row for row in found["deciders"]}
    assert set(rows) == set(dropping.DECIDERS)
    assert rows["contribution"]["adapler"] == found["pruned"] == rows["contribution"]["fine_tuned"]
    flat = [window for document in windows for window in document]
    alive = [
        np.stack([layer[row, : len(window)].numpy() for layer in output.alive])
        for group, output in adapler.pruned(flat, operating_point=1.2)
        for row, window in enumerate(group)
    ]
    ranking = dropping.rankings("contribution", adapler, split, windows, alive, 0)
    (group, made, counts), *_ = dropping.deciding(adapler, ranking, alive)(flat)
    own = adapler.logits(flat, prune=True, operating_point=1.2).double().softmax(-1)
    np.testing.assert_allclose(made, own.numpy(), atol=1e-7)
    assert counts.tolist() == [one.sum(1).tolist() for one in alive] and len(group) == len(flat)


def test_every_decider_keeps_as_many_pieces(checkpoint: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapler = Classifier.load(checkpoint)
    split = load("movies", "test", data_root)
    windows = all_windows(adapler, split)
    seen: list[list[int]] = []
    through = forced.logits_with

    def watched(model: object, packed: object, stay: dropping.Stay) -> torch.Tensor:
        counts: list[int] = []

        def noted(layer: int, before: object) -> torch.Tensor:
            kept = stay(layer, before)  # type: ignore[arg-type]
            counts.append(int(kept.sum()))
            return kept

        logits = through(model, packed, noted)  # type: ignore[arg-type]
        seen.append(counts)
        return logits

    monkeypatch.setattr(forced, "logits_with", watched)
    dropping.dropping_figures(split, windows, adapler, adapler, 1.2)
    assert len(seen) == 2 * len(dropping.DECIDERS) and all(counts == seen[0] for counts in seen)


# ---------------------------------------------------------------- tables


def test_the_best_at_a_speed_is_of_points_that_are_as_fast() -> None:
    points = [
        {"factor": factor, "score": score, "flops_speedup": speed}
        for factor, score, speed in ((0.0, 0.99, 9.0), (0.5, 0.9, 1.5), (1.0, 0.8, 2.5), (2.0, 0.85, 3.5))
    ]
    assert [ablations.best_at(points, speed) for speed in (1.0, 2.0, 3.6)] == [0.9, 0.85, None]


def test_a_grid_is_the_same_in_markdown_and_latex() -> None:
    grid = Grid(
        ["a & b", "x ↓"],
        [["[φ] × ¼ | <b>", Shown("-0.5", "bold", "[-1.0, 2.0]")]],
        "50 % of −1",
        [[Shown("chance", "italic"), "–"]],
        ["a|b"],
    )
    assert grid.markdown().splitlines()[2] == r"| [φ] × ¼ \| \<b\> | **-0.5** [-1.0, 2.0] |"
    latex = Grid(["a"], [[tasks.spread([0.8, 0.9], ".1f")], ["0.5--0.6"]], "").latex()
    assert "0.8 " not in latex and "(0.8--0.9)" in latex and "0.5--0.6" in latex
    latex = grid.latex()
    assert "\n{}[$\\phi$] $\\times$" in latex
    assert r"a \& b & x $\downarrow$ \\" in latex and r"\textbf{$-$0.5} {\scriptsize[$-$1.0, 2.0]}" in latex
    assert r"\textit{chance} & -- \\" in latex and r"\caption{50 \% of $-$1}" in latex
