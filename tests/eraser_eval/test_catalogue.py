"""The table of data sets, fetching one from a local server, and checking it."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from conftest import annotation
from test_hatexplain import files

from eraser_eval.datasets import DATASETS, hatexplain, load
from eraser_eval.datasets.catalogue import catalogue, fetch, verify
from eraser_eval.errors import DataError, MissingError, UsageError
from eraser_eval.jsonl import DocumentStore, read_examples


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder that a local server offers, and its address."""
    folder = tmp_path / "site"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def pack(path: Path, contents: dict[str, str]) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name, text in contents.items():
            entry = tarfile.TarInfo(f"movies/{name}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))


CONTENTS = {"docs/a": "a fine film\n"} | {
    f"{split}.jsonl": json.dumps(annotation("a", "POS", (1, 2))) + "\n" for split in ("train", "val", "test")
}


def test_every_row_of_the_table_is_whole() -> None:
    names = {"movies", "multirc", "boolq", "fever", "evidence_inference", "cose", "esnli", "scifact", "hatexplain"}
    names |= {"sst2", "imdb", "mrpc", "mnli", "qnli", "ag_news", "dbpedia"}
    assert names == DATASETS.keys()
    for name, info in DATASETS.items():
        assert info.name == name and len(set(info.labels)) == len(info.labels) > 1
        assert info.title and info.licence and info.citation and info.folders[-1] == name
        assert not info.url or info.url.startswith("http")
        assert info.metric in ("accuracy", "f1") and {"gamma", "phi"} <= info.recipe.keys() <= {
            "gamma",
            "phi",
            "teacher_power",
        }
        assert info.window_pieces in (64, 128, 512)
        if info.tables is not None:
            assert info.counts.keys() == info.tables.files.keys() >= info.tables.hub_splits.keys()
            assert ("val" in info.tables.hub_splits) == (not info.tables.val_texts)
    assert [row["name"] for row in catalogue(None)] == list(DATASETS)
    assert catalogue(None)[0]["here"] == "bundled sample"


def test_fetched_recorded_verified_and_loaded(site: tuple[Path, str], tmp_path: Path) -> None:
    pack(site[0] / "movies.tar.gz", CONTENTS)
    root, url = tmp_path / "data", f"{site[1]}/movies.tar.gz"
    calls: list[tuple[int, int | None]] = []
    folder = fetch("movies", root, url, lambda *call: calls.append(call))
    assert folder == root / "movies" and calls[-1][0] == (site[0] / "movies.tar.gz").stat().st_size
    assert load("movies", "test", root).examples[0].words == ("a", "fine", "film")
    record = json.loads((root / "fetched.json").read_text())["movies"]
    assert record["url"] == url and len(record["sha256"]) == 64
    with pytest.raises(UsageError, match="is there already"):
        fetch("movies", root, url)


def test_another_time_the_same_must_come(site: tuple[Path, str], tmp_path: Path) -> None:
    root, url = tmp_path / "data", f"{site[1]}/movies.tar.gz"
    pack(site[0] / "movies.tar.gz", CONTENTS)
    fetch("movies", root, url).rename(tmp_path / "old")
    pack(site[0] / "movies.tar.gz", CONTENTS | {"docs/b": "changed\n"})
    with pytest.raises(DataError, match=r"movies\.tar\.gz"):
        fetch("movies", root, url)
    assert not (root / "movies").exists()
    (root / "fetched.json").unlink()
    assert (fetch("movies", root, url) / "docs" / "b").is_file()


def test_hatexplain_is_converted(site: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files(site[0])
    monkeypatch.setattr(hatexplain, "DATASET_URL", f"{site[1]}/dataset.json")
    monkeypatch.setattr(hatexplain, "DIVISIONS_URL", f"{site[1]}/division.json")
    folder = fetch("hatexplain", tmp_path / "data")
    assert len(load("hatexplain", "train", tmp_path / "data").examples) == 2
    assert sorted(path.name for path in folder.parent.iterdir()) == ["fetched.json", "hatexplain"]
    with pytest.raises(UsageError, match="is there already"):
        fetch("hatexplain", tmp_path / "data")


def test_what_cannot_be_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="films: unknown data set"):
        fetch("films", tmp_path)
    with pytest.raises(UsageError, match="--data-root: say where"):
        fetch("movies", None)
    monkeypatch.setitem(DATASETS, "scifact", replace(DATASETS["scifact"], url=""))
    with pytest.raises(MissingError, match="no address is known"):
        fetch("scifact", tmp_path)
    (tmp_path / "fetched.json").write_text("[]")
    with pytest.raises(DataError, match=r"fetched\.json: is not what"):
        fetch("movies", tmp_path, "http://127.0.0.1:9/x")


def test_verify_names_every_defect(tmp_path: Path) -> None:
    folder = tmp_path / "boolq"
    (folder / "docs").mkdir(parents=True)
    (folder / "docs" / "a").write_text("a fine film")
    rows = [annotation("a", "True", (0, 9)), annotation("a", "Maybe", (0, 1))]
    for split in ("train", "val"):
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    defects = verify("boolq", tmp_path)
    assert sum("ends beyond the 3 words" in defect for defect in defects) == 2
    assert sum("'Maybe' is not one of False, True" in defect for defect in defects) == 2
    assert any("train.jsonl: has 2 annotations, not 6363" in defect for defect in defects)
    assert any("test.jsonl: is missing" in defect for defect in defects)
    with pytest.raises(MissingError):
        verify("fever", tmp_path)


def test_releases_are_sound(release: Path) -> None:
    assert verify("movies", release) == []
    assert verify("hatexplain", release) == []


@pytest.mark.parametrize("collected", [True, False])
def test_how_documents_are_named_where_docids_are_not_given(tmp_path: Path, collected: bool) -> None:
    """MultiRC's document is the id up to the first colon; e-SNLI's are the id's premise and hypothesis, both."""
    texts = {"science.txt": "water is wet", "7_premise": "a dog runs", "7_hypothesis": "an animal moves"}
    if collected:
        lines = [json.dumps({"docid": docid, "document": text}) for docid, text in texts.items()]
        (tmp_path / "docs.jsonl").write_text("\n".join(lines))
    else:
        (tmp_path / "docs").mkdir()
        for docid, text in texts.items():
            (tmp_path / "docs" / docid).write_text(text)
    rows = [
        {"annotation_id": "science.txt:0:1", "classification": "A", "evidences": [], "docids": None, "query": "q"},
        {
            "annotation_id": "7",
            "classification": "A",
            "evidences": [[{"docid": "7_hypothesis", "start_token": 1, "end_token": 2}]],
        },
    ]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    first, second = read_examples(tmp_path / "test.jsonl", DocumentStore(tmp_path))
    assert (first.words, first.query) == (("water", "is", "wet"), "q")
    assert second.words == ("a", "dog", "runs", "an", "animal", "moves")
    assert second.gold_mask.tolist() == [False] * 4 + [True, False]
