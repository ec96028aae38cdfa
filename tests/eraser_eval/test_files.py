"""Outputs appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from eraser_eval.errors import UsageError, printable
from eraser_eval.files import checksum, exclusive, replacing, write_json, write_text


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_nan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert not list(tmp_path.iterdir())


def test_one_run_at_a_time(tmp_path: Path) -> None:
    with exclusive(tmp_path / "run"), pytest.raises(UsageError, match="another run"), exclusive(tmp_path / "run"):
        pytest.fail("entered twice")
    with exclusive(tmp_path / "run"):
        pass
    assert not list((tmp_path / "run").iterdir())


def test_errors_are_printed_on_one_line_without_control_characters() -> None:
    assert printable("x\x1b[31m\nerror: fake é") == "x\\x1b[31m\\nerror: fake é"


def test_checksum_sees_content_and_order(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_text("1")
    b.write_text("2")
    assert checksum([a, b]) == checksum([a, b]) != checksum([b, a])
    assert checksum([a]).startswith("sha256:")
