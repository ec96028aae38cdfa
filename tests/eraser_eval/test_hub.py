"""The hub's tables become files; it is asked by ``data fetch`` alone."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from eraser_eval.datasets import load
from eraser_eval.datasets.catalogue import fetch
from eraser_eval.errors import DataError, MissingError, UsageError


class Hub:
    """A stand-in for ``datasets``: splits of rows, and what was asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, splits: dict[str, list[dict[str, Any]]] | Exception) -> None:
        self.splits, self.asked = splits, []
        monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=self.load_dataset))

    def load_dataset(self, *asked: str | None) -> dict[str, Any]:
        self.asked.append(asked)
        if isinstance(self.splits, Exception):
            raise self.splits

        class Rows(list[dict[str, Any]]):
            @property
            def column_names(self) -> list[str]:
                return list(self[0])

        return {name: Rows(rows) for name, rows in self.splits.items()}


PAIRS = [{"premise": "It rains .", "hypothesis": "It is wet .", "label": 0, "idx": 0}]


def test_fetched_from_the_hub_recorded_and_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(monkeypatch, {"train": PAIRS, "validation_matched": PAIRS, "validation_mismatched": PAIRS, "test": PAIRS})
    folder = fetch("mnli", tmp_path)
    assert hub.asked == [("nyu-mll/glue", "mnli")] and folder == tmp_path / "mnli"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["fetched.json", "mnli", "train.jsonl", "val.jsonl"]
    expected = {"text": "It rains .", "text_pair": "It is wet .", "label": "entailment"}
    assert json.loads((folder / "val.jsonl").read_text()) == expected
    assert [" ".join(d.words) for d in load("mnli", "val", tmp_path).examples[0].documents] == [
        "It rains .",
        "It is wet .",
    ]
    record = json.loads((tmp_path / "fetched.json").read_text())["mnli"]
    assert record["url"] == "hub:nyu-mll/glue/mnli" and record["sha256"].keys() == {"train.jsonl", "val.jsonl"}
    with pytest.raises(UsageError, match="is there already"):
        fetch("mnli", tmp_path)
    folder.rename(tmp_path / "old")
    assert fetch("mnli", tmp_path).is_dir()
    (tmp_path / "mnli").rename(tmp_path / "older")
    hub.splits = {"train": PAIRS * 2, "validation_matched": PAIRS}
    with pytest.raises(DataError, match="hub:nyu-mll/glue/mnli: is not what it was when it was first fetched"):
        fetch("mnli", tmp_path)
    assert not (tmp_path / "mnli").exists()


@pytest.mark.parametrize(
    ("splits", "kind", "message"),
    [
        (ConnectionError("no network\nmore"), MissingError, r"hub:nyu-mll/glue/sst2: cannot be had \(no network\);"),
        (RuntimeError(), MissingError, r"cannot be had \(RuntimeError\)"),
        ({"train": [{"sentence": "a", "label": 1}]}, DataError, "has no split 'validation', only train"),
        ({"train": [{"words": "a", "label": 1}]}, DataError, r"has other columns than known \(words, label\)"),
        ({"train": [{"sentence": "a", "label": -1}]}, DataError, "train, row 1: label -1 is not one of"),
        ({"train": [{"sentence": None, "label": 1}]}, DataError, "train, row 1: a text is missing"),
    ],
)
def test_what_the_hub_does_not_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, splits: Any, kind: type[Exception], message: str
) -> None:
    Hub(monkeypatch, splits)
    with pytest.raises(kind, match=message):
        fetch("sst2", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_fetching_needs_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UsageError, match=r"install 'adapler-explain\[hub\]'"):
        fetch("sst2", tmp_path)


def test_the_library_itself_reads_what_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    (tmp_path / "hub").mkdir()
    for split in ("train", "test"):
        rows = [{"text": f"text number {i}", "label": i % 2} for i in range(9)]
        (tmp_path / "hub" / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    real = datasets.load_dataset

    def local(path: str, name: str | None) -> Any:
        assert (path, name) == ("stanfordnlp/imdb", None)
        return real(str(tmp_path / "hub"), cache_dir=str(tmp_path / "cache"))

    monkeypatch.setattr(datasets, "load_dataset", local)
    fetch("imdb", tmp_path / "data")
    assert sorted(path.name for path in (tmp_path / "data" / "imdb").iterdir()) == ["test.jsonl", "train.jsonl"]
    assert load("imdb", "test", tmp_path / "data").examples[1].words == ("text", "number", "1")
