"""The command line: exit codes, one line of error, JSON alone on stdout, and that help is fast."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


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
    assert "bundled sample" in result.stdout and (tmp_path / "runs" / "movies-test-sample").is_dir()


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["eval", "--dataset", "films"], 2, "--dataset films: unknown data set; choose from movies"),
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


def test_an_output_folder_that_cannot_be_made_is_named(tmp_path: Path, checkpoint: Path, data_root: Path) -> None:
    (tmp_path / "file").write_text("")
    options = ["--data-root", str(data_root), "--model", str(checkpoint), "--output-dir", "file/run"]
    result = run("eval", "--dataset", "movies", *options, cwd=tmp_path)
    assert result.returncode == 2 and result.stderr.startswith("error: file/run")


def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    stopped = "import adapler_explain.evaluate as e\ndef stop(config): raise KeyboardInterrupt\ne.evaluate = stop"
    result = run("eval", "--dataset", "movies", cwd=tmp_path, code=stopped)
    assert result.returncode == 130 and "--resume" in result.stderr and "Traceback" not in result.stderr
