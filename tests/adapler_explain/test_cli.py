"""The command line: exit codes, one line of error, JSON alone on stdout, and that help is fast."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import annotation, write_dataset
from typer.testing import CliRunner

from adapler_explain import cli, cli_score
from eraser_eval.datasets import DATASETS
from eraser_eval.errors import UsageError


def run(*arguments: str, cwd: Path | None = None, code: str = "") -> subprocess.CompletedProcess[str]:
    program = f"import sys; sys.argv[0] = 'adapler-explain'; {code}\nfrom adapler_explain.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, cwd=cwd, check=False
    )


def test_help_and_version_import_nothing_heavy() -> None:
    checked = "import atexit; atexit.register(lambda: print({'torch', 'transformers', 'pandas'} & set(sys.modules)))"
    for arguments in (["--version"], ["--help"], ["eval", "--help"], ["train", "--help"], ["export", "--help"]):
        result = run(*arguments, code=checked)
        assert result.returncode == 0 and result.stdout.endswith("set()\n")


def test_json_is_all_there_is_on_stdout(tmp_path: Path, checkpoint: Path, data_root: Path) -> None:
    options = ["--data-root", str(data_root), "--model", str(checkpoint), "--methods", "random", "--format", "json"]
    result = run("eval", "--dataset", "movies", *options, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    figures = json.loads(result.stdout)
    assert figures == json.loads((tmp_path / "runs" / "movies-test" / "metrics.json").read_text())
    assert figures["source"] == "release" and figures["documents"] == 4


def test_table_names_the_source(tmp_path: Path, checkpoint: Path) -> None:
    options = ["--model", str(checkpoint), "--methods", "random", "--limit", "2"]
    result = run("eval", "--dataset", "movies", *options, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "bundled sample" in result.stdout and (tmp_path / "runs" / "movies-test-sample-2").is_dir()


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["eval", "--dataset", "films"], 2, "--dataset films: no such data set or path; choose from movies"),
        (["eval", "--dataset", "movies", "--methods", "magic"], 2, "--methods magic: unknown"),
        (["eval", "--dataset", "movies", "--format", "xml"], 2, "--format xml"),
        (["eval", "--dataset", "movies", "--model", "./absent"], 3, "./absent: no model"),
        (["eval", "--dataset", "movies", "--data-root", "./absent"], 3, "--data-root"),
        (["eval", "--dataset", "movies", "--device", "abacus"], 2, "--device abacus"),
        (["train", "--dataset", "movies", "--model", "./absent", "--output-dir", "out"], 3, "./absent: no model"),
    ],
)
def test_a_users_error_is_one_line_and_leaves_nothing(
    tmp_path: Path, arguments: list[str], exit_code: int, message: str
) -> None:
    result = run(*arguments, cwd=tmp_path)
    assert result.returncode == exit_code
    assert result.stdout == "" and message in result.stderr
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_bad_data_exits_with_four_and_names_the_line(tmp_path: Path, checkpoint: Path, data_root: Path) -> None:
    path = data_root / "movies" / "test.jsonl"
    path.write_text(path.read_text() + "{broken\n")
    result = run("eval", "--dataset", "movies", "--data-root", str(data_root), "--model", str(checkpoint), cwd=tmp_path)
    assert result.returncode == 4 and "test.jsonl:5: not valid JSON" in result.stderr
    assert not (tmp_path / "runs").exists()


def test_our_own_fault_exits_with_one_and_no_traceback(tmp_path: Path) -> None:
    broken = "import adapler_explain.evaluate as e; e.evaluate = lambda config: 1 / 0"
    result = run("eval", "--dataset", "movies", cwd=tmp_path, code=broken)
    assert result.returncode == 1 and "internal error: ZeroDivisionError" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.fixture
def scored(tmp_path: Path) -> tuple[list[str], Path]:
    """Options for a tiny data folder, and its prediction file."""
    folder = write_dataset(tmp_path, {"a": "x y z"}, {"test": [annotation("a", "POS", (0, 2))]}) / "movies"
    spans = [{"start_token": 0, "end_token": 1}]
    path = tmp_path / "predictions.jsonl"
    path.write_text(
        json.dumps({"annotation_id": "a", "rationales": [{"docid": "a", "hard_rationale_predictions": spans}]}) + "\n"
    )
    return ["--split", "test", "--results", str(path)], folder


def test_score_takes_the_official_options_and_writes_the_official_file(scored: tuple, tmp_path: Path) -> None:
    options, folder = scored
    ours = ["score", "--data-dir", str(folder), *options, "--iou-thresholds", "0.1", "--iou-thresholds", "0.5"]
    theirs = ["score", "--data_dir", str(folder), *options, "--iou_thresholds", "0.1", "0.5"]
    out = tmp_path / "scores.json"
    results = [
        CliRunner().invoke(cli.app, cli_score.spread([*arguments, "--official", "--score_file", str(out)]))
        for arguments in (ours, theirs)
    ]
    assert results[0].output == results[1].output == out.read_text()
    scores = json.loads(out.read_text())
    assert [row["threshold"] for row in scores["iou_scores"]] == [0.1, 0.5]
    assert scores["token_prf"]["instance_micro"] == {"p": 1.0, "r": 0.5, "f1": pytest.approx(2 / 3)}


def test_score_prints_a_table_with_signatures_or_json(scored: tuple, tmp_path: Path) -> None:
    options, folder = scored
    arguments = ["score", "--data-dir", str(folder), *options, "--resamples", "100"]
    table = CliRunner().invoke(cli.app, [*arguments, "--interval", "bca"]).output
    assert "token_f1 ↑" in table and "fpr|unit:word|budget:own|over:documents|data:movies/test@sha256:" in table
    asked = [*arguments, "--format", "json", "--top-words", "2", "3", "--score-file", str(tmp_path / "s.json")]
    text = CliRunner().invoke(cli.app, cli_score.spread(asked)).output
    assert text == (tmp_path / "s.json").read_text()
    assert json.loads(text)["methods"]["predictions"]["token_f1"]["value"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--format", "xml"], "--format xml: choose table or json"),
        (["--interval", "wide"], "--interval wide: choose percentile or bca"),
        (["--official", "--results", "x.jsonl"], "--official: scores one file at a time"),
    ],
)
def test_score_refuses(scored: tuple, more: list[str], message: str) -> None:
    options, folder = scored
    result = CliRunner().invoke(cli.app, ["score", "--data-dir", str(folder), *options, *more])
    assert isinstance(result.exception, UsageError) and message in str(result.exception)


def test_data_list_and_verify(data_root: Path) -> None:
    listed = CliRunner().invoke(cli.app, ["data", "list", "--data-root", str(data_root)], env={"COLUMNS": "250"}).output
    assert all(name in listed for name in DATASETS) and str(data_root / "movies") in listed
    assert CliRunner().invoke(cli.app, ["data", "verify", "movies"]).output == "no defects\n"
    result = CliRunner().invoke(cli.app, ["data", "verify", "movies", "--data-root", str(data_root)])
    assert result.exit_code == 4
    assert "test.jsonl: has 4 annotations, not 199" in result.output
    assert "train.jsonl: is not the file whose SHA-256 is known" in result.output


def test_validate_lists_defects_and_exits_with_four(scored: tuple) -> None:
    options, folder = scored
    arguments = ["validate", "--data-dir", str(folder), *options]
    assert CliRunner().invoke(cli.app, arguments).output == "no defects\n"
    path = Path(options[-1])
    path.write_text(path.read_text().replace('"end_token": 1', '"end_token": 9') + "{\n")
    result = CliRunner().invoke(cli.app, arguments)
    assert result.exit_code == 4 and len(result.output.splitlines()) == 2
    assert "predictions.jsonl:1: 'a': span 0:9" in result.output and "predictions.jsonl:2: not valid" in result.output


def test_an_output_folder_that_cannot_be_made_is_named(tmp_path: Path, checkpoint: Path, data_root: Path) -> None:
    (tmp_path / "file").write_text("")
    options = ["--data-root", str(data_root), "--model", str(checkpoint), "--output-dir", "file/run"]
    result = run("eval", "--dataset", "movies", *options, cwd=tmp_path)
    assert result.returncode == 2 and result.stderr.startswith("error: file/run")


def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    stopped = "import adapler_explain.evaluate as e\ndef stop(config): raise KeyboardInterrupt\ne.evaluate = stop"
    result = run("eval", "--dataset", "movies", cwd=tmp_path, code=stopped)
    assert result.returncode == 130 and "--resume" in result.stderr and "Traceback" not in result.stderr


def test_bench_prints_and_writes(tmp_path: Path) -> None:
    options = ["--shape", "tiny", "--sizes", "1x16,2x4-16", "--repeats", "1", "--seconds", "0", "--keep", "4x"]
    options += ["--variants", "adapler,adapler-one-at-a-time,unpruned"]
    options += ["--json", str(tmp_path / "bench.json"), "--figure", str(tmp_path / "bench.png")]
    result = CliRunner().invoke(cli.app, ["bench", *options])
    assert "AdapLeR, one text at a time, 4×" in result.output and "interleaved rounds" in result.output
    assert len(json.loads((tmp_path / "bench.json").read_text())["rows"]) == 8
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bench.json", "bench.md", "bench.pdf", "bench.png"]
    for option, value in (("--sizes", "many"), ("--keep", "few")):
        refused = CliRunner().invoke(cli.app, ["bench", option, value])
        assert isinstance(refused.exception, UsageError) and f"{option} {value}" in str(refused.exception)
