"""The README and the pages in docs say what the committed results say, and their commands exist."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adapler_explain import cli
from adapler_explain.bench import report as bench_report
from adapler_explain.explainers import title_of
from adapler_explain.loading import model_checksum
from adapler_explain.paper import ablations, dropping, tasks
from eraser_eval import report, tables
from eraser_eval.datasets import bundled

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs" / "results" / "movies-test"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.fixture(scope="module")
def readme() -> str:
    """All pages, one after the other."""
    return "\n".join(page.read_text(encoding="utf-8") for page in PAGES)


@pytest.fixture(scope="module")
def figures() -> dict:
    return json.loads((RESULTS / "metrics.json").read_text(encoding="utf-8"))


def test_table_is_that_of_the_committed_run(readme: str, figures: dict) -> None:
    assert report.markdown(figures) == (RESULTS / "table.md").read_text(encoding="utf-8")
    shown = re.search(r"<!-- table: docs/results/movies-test/table.md -->\n(.*?)<!-- end -->", readme, re.S)
    # Paired differences and signatures are in the file alone.
    table, _, notes = report.markdown(figures).strip().split("\n\n")
    assert shown and shown.group(1).strip() == f"{table}\n\n{re.sub(r'(?m)^- `.*', '', notes).strip()}"


@pytest.mark.parametrize("name", ["bench", "bench-movies", "gpu/bench-before-kernels"])
def test_speeds_are_those_of_the_committed_timing(readme: str, name: str) -> None:
    timing = json.loads((RESULTS.parent / f"{name}.json").read_text(encoding="utf-8"))
    assert bench_report.markdown(timing) == (RESULTS.parent / f"{name}.md").read_text(encoding="utf-8")
    shown = re.search(rf"<!-- bench: docs/results/{name}.json -->\n(.*?)<!-- end -->", readme, re.S)
    assert shown and shown.group(1).strip() == bench_report.overview(timing).strip()


@pytest.mark.parametrize("name", ["tasks", "gpu/tasks"])
def test_task_table_is_that_of_the_committed_runs(readme: str, name: str) -> None:
    rows = json.loads((RESULTS.parent / f"{name}.json").read_text(encoding="utf-8"))["rows"]
    made = tasks.grid(rows).markdown()
    assert made == (RESULTS.parent / f"{name}.md").read_text(encoding="utf-8")
    shown = re.search(rf"<!-- tasks: docs/results/{name}.md -->\n(.*?)<!-- end -->", readme, re.S)
    assert shown and shown.group(1).strip() == made.strip()


def test_ablations_are_those_of_the_committed_runs(readme: str) -> None:
    found = json.loads((RESULTS.parent / "ablations.json").read_text(encoding="utf-8"))
    dropped = json.loads((RESULTS.parent / "dropping.json").read_text(encoding="utf-8"))
    tables = {"ablations": ablations.grid(found["rows"], found["title"]), "dropping": dropping.grid(dropped)}
    for path in sorted(RESULTS.parent.glob("teachers-*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        tables[path.stem] = ablations.grid(found["rows"], found["title"])
    assert len(tables) == 4
    for name, made in ((name, grid.markdown()) for name, grid in tables.items()):
        assert made == (RESULTS.parent / f"{name}.md").read_text(encoding="utf-8")
        shown = re.search(rf"<!-- {name}: docs/results/{name}.md -->\n(.*?)<!-- end -->", readme, re.S)
        assert shown and shown.group(1).strip() == made.strip()


@pytest.mark.parametrize("folder", sorted(RESULTS.parent.glob("explain-*")), ids=lambda folder: folder.name)
def test_tables_of_explainers_are_those_of_the_committed_runs(readme: str, folder: Path) -> None:
    content = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert report.markdown(content) == (folder / "table.md").read_text(encoding="utf-8")
    made = tables.overview(content, title_of)
    assert made == (folder / "overview.md").read_text(encoding="utf-8")
    shown = re.search(rf"<!-- overview: docs/results/{folder.name}/overview.md -->\n(.*?)<!-- end -->", readme, re.S)
    assert shown and shown.group(1).strip() == made.strip()
    assert json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["source"] == "release"


def test_published_figures_stand_beside_those_of_the_committed_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    compared = importlib.import_module("compared")
    figures = json.loads((RESULTS.parent / "explain-movies" / "metrics.json").read_text(encoding="utf-8"))
    made = compared.page(figures, "explain-movies")
    assert made == (RESULTS.parent / "COMPARED.md").read_text(encoding="utf-8")
    assert f"| random | 0.316 | {figures['methods']['random']['auprc']['value']:.3f} |" in made


@pytest.mark.parametrize("name", ["explain", "gpu/explain"])
def test_speeds_of_explanations_are_those_of_the_committed_timing(readme: str, name: str) -> None:
    table = (RESULTS.parent / f"{name}.md").read_text(encoding="utf-8")
    timing = json.loads((RESULTS.parent / f"{name}.json").read_text(encoding="utf-8"))
    shown = re.search(rf"<!-- bench-explain: docs/results/{name}.md -->\n(.*?)<!-- end -->", readme, re.S)
    assert shown and shown.group(1).strip() == table.strip()
    for part in ("gradients", "gradients_short", "erasures"):
        assert f"| {timing[part]['speedup']:.2f}× |" in table


def test_what_recovery_wins_is_that_of_the_committed_runs(readme: str) -> None:
    table = (RESULTS.parent / "recovery.md").read_text(encoding="utf-8")
    rows = json.loads((RESULTS.parent / "recovery.json").read_text(encoding="utf-8"))["rows"]
    shown = re.search(r"<!-- recovery: docs/results/recovery.md -->\n(.*?)<!-- end -->", readme, re.S)
    assert shown and shown.group(1).strip() == table.strip()
    assert all(
        f"| {100 * row['difference']['value']:+.1f} [" in line
        for row, line in zip(rows, table.splitlines()[2:], strict=True)
    )


def test_the_run_was_of_the_bundled_model_and_the_whole_real_split(figures: dict) -> None:
    assert figures["model_checksum"] == model_checksum(bundled("models/adapler-movies"), None)
    assert (figures["source"], figures["split"], figures["documents"]) == ("release", "test", 199)


def test_model_card_has_the_figures_of_the_run(figures: dict) -> None:
    card = (bundled("models/adapler-movies") / "README.md").read_text(encoding="utf-8")
    efficiency, classification = figures["efficiency"], figures["classification"]
    assert (
        f"| test | {classification['reference']['accuracy']:.3f} | {classification['pruned']['accuracy']:.3f} "
        f"| {efficiency['flops_speedup']:.2f}× |" in card
    )


def test_every_number_in_the_prose_is_the_runs(readme: str, figures: dict) -> None:
    """Numbers in the README's text carry the name of the figure they are: ``<!-- path.to.figure -->0.123``."""
    marked = re.findall(r"<!-- ([\w.\-]+) (\S+) -->(\S+?)<!-- -->", readme)
    assert marked
    for path, form, shown in marked:
        value = figures
        for key in path.split("."):
            value = value[key]
        assert format(value, form) == shown, path


def test_every_option_in_the_readme_exists(readme: str) -> None:
    commands = re.findall(r"^adapler-explain ((?:data )?\w+)((?:.*\\\n)*.*)$", readme, re.M)
    assert {name for name, _ in commands} >= {"eval", "train", "score", "data fetch"}
    for name, rest in commands:
        help_text = (
            CliRunner().invoke(cli.app, [*name.split(), "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}).output
        )
        for option in re.findall(r"--[\w-]+", rest):
            assert option in help_text, (name, option)


def test_every_make_target_in_the_readme_exists(readme: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"\bmake ([a-z-]+)", readme))
    assert targets and all(re.search(rf"^{target}:", makefile, re.M) for target in targets)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_linked_file_and_heading_exists(page: Path) -> None:
    for link, heading in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", page.read_text(encoding="utf-8")):
        if link.startswith("https://"):
            continue
        target = page.parent / link if link else page
        assert target.exists(), link
        if heading:
            titles = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.M)
            assert heading in {re.sub(r"[^\w-]", "", title.lower().replace(" ", "-")) for title in titles}, heading
