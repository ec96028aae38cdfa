"""Repeating runs, and pages about them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import annotation, write_dataset
from typer.testing import CliRunner

from adapler_explain import cli
from adapler_explain.evaluate import EvalConfig, evaluate
from adapler_explain.explainers import title_of
from adapler_explain.reproduce import compared, config_of, reproduce
from eraser_eval import escape, html_report
from eraser_eval.errors import DataError, MissingError, UsageError
from eraser_eval.runs import manifest_of, read_run

TEXTS = {"a.txt": "the film was <script>alert(1)</script> good\n", "b.txt": "not bad | at all\n", "c.txt": "bad film\n"}
METHODS = ("attention@1", "input-x-gradient", "random")


@pytest.fixture
def config(tmp_path: Path, checkpoint: Path) -> EvalConfig:
    rows = [annotation(docid, "POS", (0, 1)) for docid in TEXTS]
    root = write_dataset(tmp_path / "data", TEXTS, {"test": rows})
    run = str(tmp_path / "run")
    return EvalConfig("movies", data_root=str(root), model=str(checkpoint), methods=METHODS, output_dir=run)


def test_a_run_comes_out_the_same(config: EvalConfig) -> None:
    asked = replace(config, faithfulness="pad", fractions=(0.5,), pool="sum", target="gold", seed=3)
    folder, _ = evaluate(asked)
    manifest = manifest_of(folder)
    assert manifest is not None
    assert replace(config_of(manifest, folder), output_dir=config.output_dir) == replace(
        asked, methods=("adapler", *METHODS)
    )
    found = reproduce(folder / "manifest.json")
    assert found["counts"]["equal"] == len(found["figures"]) > 100
    assert found["counts"]["different"] == 0 and found["reasons"] == {}
    again = Path(found["repetition"])
    assert again.name == "run-again" and json.loads((again / "reproduction.json").read_text()) == found


def test_what_moved_is_told_from_what_is_different(config: EvalConfig) -> None:
    folder, _ = evaluate(config)
    path = folder / "metrics.json"
    figures = json.loads(path.read_text())
    row = figures["methods"]["random"]["average_precision"]
    row["value"], row["high"] = row["value"] - 0.01, 1.0
    row["low"] = 0.0
    figures["methods"]["adapler"]["fpr"] = {"value": 0.9, "low": 0.9, "high": 0.9, "n": 3}
    path.write_text(json.dumps(figures))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["model_checksum"] = "sha256:0"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    shown = CliRunner().invoke(cli.app, ["reproduce", str(folder / "manifest.json")], catch_exceptions=False).output
    assert "1 within interval, 1 different" in shown
    assert "different: methods.adapler.fpr: 0.9 / " in shown and "differs: model_checksum: sha256:0 / " in shown
    assert compared({"a": None, "b": [1]}, {"b": [2]}) == {"b.0": {"verdict": "different", "first": 1.0, "second": 2.0}}


def test_what_cannot_be_repeated_is_said(config: EvalConfig, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"not the manifest\.json"):
        reproduce(tmp_path / "manifest.json")
    folder, _ = evaluate(config)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"add": {"mine": "sha256:1"}}))
    with pytest.raises(UsageError, match="had --add"):
        reproduce(folder)
    del manifest["dataset"]
    with pytest.raises(DataError, match="not that of an 'eval' run"):
        config_of(manifest, folder)
    (folder / "metrics.json").unlink()
    with pytest.raises(MissingError, match="finish the run"):
        reproduce(folder)


def test_the_page_holds_everything_and_no_script(config: EvalConfig, tmp_path: Path) -> None:
    folder, figures = evaluate(replace(config, faithfulness="remove"))
    run = read_run(folder)
    text = html_report.page(run, title_of)
    assert "<script" not in text and "&lt;script&gt;" in text and "default-src 'none'" in text
    assert not re.search(r"(src|href)=.?http|url\(|@import", text)
    card = html_report.data_card(run)
    assert len(card) == 8 and all(escape.html(value) in text for value in card.values())
    assert card["split"].startswith("test, release: 3 of 3 documents") and "has no README.md" in text
    folder.joinpath("README.md").write_text("# Card <b>\n")
    assert html_report.model_card({"model": str(folder), "dataset": "movies"}) == "# Card <b>\n"
    assert html_report.model_card({"model": "bundled model", "dataset": "movies"}).startswith("---\nlicense")
    folder.joinpath("README.md").unlink()
    assert text.count("<figure>") >= 6 and text.count("<article>") == 3
    assert f"{figures['methods']['adapler']['fpr']['value']:.3f}" in text
    assert escape.html(figures["signatures"]["fpr"]) in text
    assert text == html_report.page(run, title_of)
    invoke = CliRunner().invoke
    invoke(cli.app, ["report", str(folder)], catch_exceptions=False)
    assert (folder / "report.html").read_text() == text
    invoke(cli.app, ["report", str(folder), "--output", str(tmp_path / "r.md")], catch_exceptions=False)
    assert "## Limits" in (tmp_path / "r.md").read_text()
    with pytest.raises(UsageError, match=r"ends in \.html or \.md"):
        invoke(cli.app, ["report", str(folder), "--output", "r.pdf"], catch_exceptions=False)
