"""Figures, tables and comparisons of runs: numbers by hand, the same bytes every time, exact size, harmless text."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import annotation, write_dataset
from typer.testing import CliRunner

from adapler_explain import cli
from adapler_explain.evaluate import EvalConfig, evaluate
from adapler_explain.explainers import title_of
from eraser_eval import figures, report, tables
from eraser_eval.comparing import compare
from eraser_eval.errors import DataError, MissingError, UsageError
from eraser_eval.figures import data, draw, style
from eraser_eval.rationale import top_words
from eraser_eval.runs import Run, read_run

METHODS = ("contribution", "attention", "input-x-gradient", "random", "gold")
TEXTS = {f"{n}.txt": f"{'the film was good , ' * n}not bad\nthe end & 50% <b> _x_ $y$\n" for n in range(1, 7)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> Path:
    place = tmp_path_factory.mktemp("figures")
    rows = [annotation(docid, "POS" if n % 2 else "NEG", (0, 2), (3, 4)) for n, docid in enumerate(TEXTS)]
    root = write_dataset(place / "data", TEXTS, {"test": rows})
    for seed in (0, 1):
        config = EvalConfig(
            "movies",
            data_root=str(root),
            model=str(checkpoint),
            methods=METHODS,
            output_dir=str(place / f"run-{seed}"),
            faithfulness="remove",
            seed=seed,
        )
        evaluate(config)
    return place


@pytest.fixture
def run(folder: Path) -> Run:
    return read_run(folder / "run-0")


# ---------------------------------------------------------------- data


def test_by_layer_every_method_has_as_many_words_as_adapler(run: Run) -> None:
    table = data.layers(run)
    assert len(table) == 3 * 6
    for _, part in table.groupby("layer"):
        assert part["kept"].nunique() == 1
    own = table[table["method"] == "adapler"]
    assert own["kept"].is_monotonic_decreasing
    example, made = run.split.examples[2], run.predictions["adapler"][2]
    alive = np.concatenate([made.scores[d.docid] for d in example.documents]) >= 2
    one = replace(run, split=replace(run.split, examples=(example,)), predictions={"adapler": [made]})
    row = data.layers(one).iloc[1]
    gold = example.gold_mask
    assert row["kept"] == pytest.approx(alive.mean())
    assert row["fpr"] == pytest.approx((alive & ~gold).sum() / (~gold).sum())
    assert row["recall"] == pytest.approx((alive & gold).sum() / gold.sum())


def test_people_are_perfect_where_they_are_asked_about_themselves(run: Run) -> None:
    curves = data.roc_curves(run)
    assert (curves[curves["method"] == "gold"]["true_positive_rate"].iloc[1:] == 1).all()
    places = data.position(run)
    np.testing.assert_allclose(
        places[places["method"] == "gold"]["share"], places[places["method"] == "people"]["share"]
    )
    assert places.groupby("method")["share"].sum().round(6).eq(1).all()


def test_agreement_is_symmetric(run: Run) -> None:
    values = data.agreement(run).pivot(index="method", columns="other", values="kendall_tau")
    np.testing.assert_allclose(values, values.T)
    np.testing.assert_allclose(np.diag(values), 1)


def test_tenths_and_lengths_cover_everything(run: Run) -> None:
    assert data.calibration(run)["saliency"].is_monotonic_increasing and len(data.calibration(run)) == 10
    squared = data.calibration(replace(run, manifest={**run.manifest, "teacher_power": 2.0}))
    assert squared["saliency"].iloc[-1] > 1.2 * data.calibration(run)["saliency"].iloc[-1]
    assert squared["saliency"].mean() == pytest.approx(1, abs=0.05) and (squared["power"] == 2).all()
    lengths = data.length(run)
    assert (lengths.groupby("method")["documents"].sum() == 6).all()
    costs = data.costs([run])
    assert set(costs["method"]) == {"adapler", "contribution", "attention", "input-x-gradient"}
    chosen = costs.set_index("method")["gflops"]
    assert chosen["attention"] < chosen["input-x-gradient"] < 4 * chosen["attention"]


# ---------------------------------------------------------------- drawing


def test_every_kind_is_written_and_the_same_bytes_again(folder: Path, tmp_path: Path) -> None:
    first, second = (
        figures.plot([folder / "run-0"], list(figures.KINDS), "acl-column", tmp_path / name, title_of) for name in "ab"
    )
    assert {path.name for path in first} == {
        f"{kind}.{e}" for kind in figures.KINDS for e in ("pdf", "svg", "png", "csv")
    }
    for one, two in zip(first, second, strict=True):
        assert one.read_bytes() == two.read_bytes(), one.name
    assert b"/FontType 3" not in (tmp_path / "a" / "bars.pdf").read_bytes()


@pytest.mark.parametrize("look", style.STYLES)
def test_a_figure_is_as_wide_as_its_column(folder: Path, tmp_path: Path, look: str) -> None:
    figures.plot([folder / "run-0"], ["layers", "bars"], look, tmp_path, title_of)
    width = style.STYLES[look].width
    for kind in ("layers", "bars"):
        box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+) ?\]", (tmp_path / f"{kind}.pdf").read_bytes())
        assert box and float(box.group(1)) == pytest.approx(72 * width, abs=0.01)


def test_several_runs_share_bars_and_have_their_own_curves(folder: Path, tmp_path: Path) -> None:
    made = figures.plot([folder / "run-0", folder / "run-1"], ["bars", "roc"], "web", tmp_path, title_of)
    names = {path.name for path in made}
    assert {"bars.pdf", "roc-run-0.pdf", "roc-run-1.csv"} <= names
    assert set(pd.read_csv(tmp_path / "bars.csv")["run"]) == {"run-0", "run-1"}


def test_methods_can_be_chosen(folder: Path, tmp_path: Path) -> None:
    figures.plot([folder / "run-0"], ["bars"], "slide", tmp_path, title_of, methods=("adapler", "random"))
    assert set(pd.read_csv(tmp_path / "bars.csv")["method"]) == {"adapler", "random"}
    with pytest.raises(UsageError, match=r"--methods lime: .* has adapler, contribution"):
        figures.plot([folder / "run-0"], ["bars"], "slide", tmp_path, title_of, methods=("lime",))


def test_the_frontier_of_a_tuned_model(tmp_path: Path) -> None:
    point = {"factor": 1.0, "score": 0.8, "flops_speedup": 2.0, "measured_speedup": None, "kept": 0.4}
    content = {"metric": "accuracy", "title": "T", "split": "val", "reference_score": 0.81, "chosen": 1.0}
    (tmp_path / "tune").mkdir()
    (tmp_path / "tune" / "frontier.json").write_text(json.dumps(content | {"points": [point, point | {"factor": 2.0}]}))
    made = figures.plot([tmp_path / "tune"], ["frontier"], "acl-column", tmp_path / "out")
    assert {path.suffix for path in made} == {".pdf", ".svg", ".png", ".csv"}
    assert pd.read_csv(tmp_path / "out" / "frontier.csv")["chosen"].tolist() == [True, False]
    with pytest.raises(DataError, match=r"no frontier\.json"):
        figures.plot([tmp_path], ["frontier"], "web", tmp_path / "out")


def test_what_cannot_be_drawn_is_said(folder: Path, tmp_path: Path, run: Run) -> None:
    for kinds, look, reason in (
        (["pie"], "web", "--kind pie: choose from bars"),
        (["roc"], "poster", "--style poster"),
    ):
        with pytest.raises(UsageError, match=reason):
            figures.plot([folder / "run-0"], kinds, look, tmp_path)
    with pytest.raises(MissingError, match="not the folder of an 'eval' run"):
        figures.plot([tmp_path], ["bars"], "web", tmp_path)
    without = replace(run, predictions={"random": run.predictions["random"]})
    for table in (data.layers, data.calibration):
        with pytest.raises(DataError, match="has no predictions of"):
            table(without)


@pytest.mark.parametrize(
    ("costs", "labels"),
    [([0.22, 0.5, 17], {"0.2", "0.5", "1", "2", "5", "10"}), ([0.22, 17, 215], {"1", "10", "100"})],
)
def test_costs_are_labelled_at_round_numbers_only(costs: list[float], labels: set[str]) -> None:
    rows = {"method": ["adapler", "attention", "lime"], "gflops": costs, "average_precision": [0.5, 0.6, 0.7]}
    drawn = draw.pareto(pd.DataFrame(rows), style.STYLES["acl-column"], title_of)
    drawn.canvas.draw()
    axis = drawn.axes[0].xaxis
    low, high = axis.get_view_interval()
    ticks = zip(axis.get_majorticklocs(), axis.get_majorticklabels(), strict=True)
    assert {label.get_text() for place, label in ticks if low <= place <= high} >= labels
    assert not any(label.get_text() for label in axis.get_minorticklabels())


def test_looks_tell_methods_apart_without_colour() -> None:
    marks = draw.looks(["adapler", *map(str, range(7))])
    assert len({(look.marker, str(look.dash)) for look in marks.values()}) == 8
    assert top_words([1.0, 2.0], 1).tolist() == [False, True]


# ---------------------------------------------------------------- tables


def test_the_best_is_bold_and_what_ties_with_it_underlined(run: Run) -> None:
    cells = tables.cells_of([run], ["average_precision"])["average_precision"]
    values = {m: run.figures["methods"][m]["average_precision"]["value"] for m in cells}
    assert {m: cell.value for m, cell in cells.items()} == values
    best = [m for m, cell in cells.items() if cell.best]
    assert best == [max((m for m in values if m != "gold"), key=values.get)]
    assert not cells["gold"].best and not cells["gold"].tied


def test_several_seeds_are_a_mean_and_its_spread(folder: Path) -> None:
    runs = [read_run(folder / f"run-{seed}") for seed in (0, 1)]
    cells = tables.cells_of(runs, ["fpr"])["fpr"]
    both = [run.figures["methods"]["random"]["fpr"]["value"] for run in runs]
    assert cells["random"].value == pytest.approx(np.mean(both))
    assert cells["random"].spread == pytest.approx(np.std(both, ddof=1)) and cells["random"].low is None
    assert " ± " in tables.table(runs, ["fpr"], "markdown", title_of)


def test_tables_in_every_form(run: Run) -> None:
    text = tables.table([run], [], "latex", lambda method: f"{method}_&_%")
    body = text[text.index("\\midrule") :]
    assert r"random\_\&\_\%" in body and "\\bottomrule" in body and body.count("\\textbf{") >= 8
    assert text.count(" \\\\\n") == 8 and "% fpr|unit:word" in text
    made = pd.read_csv(pd.io.common.StringIO(tables.table([run], ["fpr", "log_odds"], "csv", title_of)))
    assert set(made["metric"]) == {"fpr", "log_odds"} and len(made) == 11
    # A rationale that is no ranking has no figures by share of the words.
    assert set(made["method"]) - set(made[made["metric"] == "log_odds"]["method"]) == {"gold"}
    for form, metrics, reason in (("word", [], "--format word"), ("csv", ["taste"], "--metrics taste")):
        with pytest.raises(UsageError, match=reason):
            tables.table([run], metrics, form, title_of)


def test_what_erasing_does_is_compared_among_explanations_of_one_model() -> None:
    def row(explains: str, budget: str = "adapler") -> dict[str, str]:
        return {"explains": explains, "budget": budget}

    methods = {
        "adapler": row("pruned"),
        "saliency": row("reference"),
        "lrp": row("reference"),
        "gold": row("reference"),
    }
    methods |= {"people": row("nothing: predictions from elsewhere", "own")}
    assert tables.rivals_of(methods, "comprehensiveness_aopc") == ["saliency", "lrp"]
    assert tables.rivals_of(methods, "average_precision") == ["adapler", "saliency", "lrp"]
    more = {"contribution": row("pruned"), "random-pruned": row("pruned"), "random": row("reference")}
    assert tables.rivals_of(methods | more, "comprehensiveness_aopc") == ["saliency", "lrp", "random"]
    figures = {"methods": methods | {"adapler": row("pruned") | {"comprehensiveness_aopc": {"value": 0.1}}}}
    assert report._measured_on(figures) == [
        "Erasing words is measured on the model that a method explains: of adapler the pruned one."
    ]
    for method in ("saliency", "lrp", "gold"):
        methods[method]["explains"] = "pruned"
    assert report._measured_on(figures) == []


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="LaTeX is not installed here")
def test_the_table_compiles(run: Run, tmp_path: Path) -> None:
    head = "\\documentclass{article}\\usepackage[T1]{fontenc}\\usepackage{booktabs,graphicx}\\begin{document}\n"
    body = tables.table([run], [], "latex", lambda method: f'{method}_&_%<|>"{{}}')
    (tmp_path / "t.tex").write_text(head + body + "\\end{document}\n", encoding="utf-8")
    ended = subprocess.run(
        ["pdflatex", "-halt-on-error", "t.tex"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout[-2000:]


# ---------------------------------------------------------------- two runs


def test_two_runs_differ_where_they_do(folder: Path) -> None:
    one, two = (read_run(folder / f"run-{seed}") for seed in (0, 1))
    found = compare(one, two)
    assert found["documents"] == 6 and found["settings"] == {}
    for row in found["methods"]["attention"].values():
        assert row["value"] == 0 and row["first"] == row["second"]
    row = found["methods"]["random"]["average_precision"]
    assert row["value"] == pytest.approx(row["first"] - row["second"]) and row["low"] <= row["value"] <= row["high"]
    assert 0 < row["p"] <= 1


def test_the_commands(folder: Path, tmp_path: Path) -> None:
    def shown(*words: object) -> str:
        return CliRunner().invoke(cli.app, [*map(str, words)], catch_exceptions=False).output

    first, second = folder / "run-0", folder / "run-1"
    listed = shown("plot", first, "--kind", "bars,position", "--output-dir", tmp_path / "f").split()
    assert len(listed) == 8 and all(Path(path).is_file() for path in listed)
    assert shown("table", first, "--metrics", "fpr").startswith("| method | FPR ↓ |")
    shown("table", first, second, "--format", "latex", "--output", tmp_path / "t.tex")
    assert "$\\pm$" in (tmp_path / "t.tex").read_text()
    assert "difference [95 %]" in shown("compare", first, second)
    assert json.loads(shown("compare", first, second, "--format", "json"))["documents"] == 6
