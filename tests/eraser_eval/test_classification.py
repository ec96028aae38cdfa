"""The classification tasks: each layout is read, val is drawn from train, the hub's tables become files."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import annotation

from eraser_eval.datasets import DATASETS, find, from_rows, load
from eraser_eval.datasets.catalogue import verify
from eraser_eval.datasets.rows import Columns
from eraser_eval.datasets.tables import val_mask
from eraser_eval.errors import DataError, MissingError
from eraser_eval.records import Example


def tabs(*rows: str) -> str:
    """Lines of cells, which ``rows`` separate by ``|``."""
    return "".join(row.replace("|", "\t") + "\n" for row in rows)


SST2 = tabs("sentence|label", '" a fine film |1', "dull |0")
MRPC = "\ufeff" + tabs(
    "Quality|#1 ID|#2 ID|#1 String|#2 String", '1|10|11|It "rains .|Rain falls .', "0|12|13|A cat .|A dog ."
)
MNLI = tabs(
    "index|genre|sentence1_parse|sentence1|sentence2|label1|gold_label",
    "0|fiction|(x)|It rains .|It is wet .|neutral|entailment",
)
QNLI = tabs("index|question|sentence|label", "0|Who sang ?|A bird sang .|entailment", "1|Who ?|It is .|not_entailment")
BOOK, POND = 'label,title,content\n13,X,"a book, new"\n', '{"text": "a pond", "label": "NaturalPlace"}\n'
COLUMNS = "needs the columns text, label or sentence, label; its columns are words, label"


def put(root: Path, name: str, text: str) -> Path:
    """Write ``text`` to ``root/name``, packed where the name ends in .gz."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    content = text.encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def texts(count: int, classes: int = 2) -> list[dict[str, Any]]:
    return [{"text": f"text number {i}", "label": i % classes} for i in range(count)]


def content(example: Example) -> tuple[list[str], str]:
    return [" ".join(document.words) for document in example.documents], example.label


@pytest.mark.parametrize(
    ("name", "file", "text", "split", "expected"),
    [
        ("sst2", "glue/SST-2/dev.tsv", SST2, "val", (['" a fine film'], "positive")),
        ("sst2", "SST-2/train.tsv.gz", SST2, "train", (['" a fine film'], "positive")),
        ("mrpc", "glue/MRPC/train.tsv", MRPC, "train", (['It "rains .', "Rain falls ."], "equivalent")),
        ("mrpc", "MRPC/msr_paraphrase_test.txt", MRPC, "test", (['It "rains .', "Rain falls ."], "equivalent")),
        ("mnli", "MNLI/dev_matched.tsv", MNLI, "val", (["It rains .", "It is wet ."], "entailment")),
        ("qnli", "glue/QNLI/dev.tsv", QNLI, "val", (["Who sang ?", "A bird sang ."], "entailment")),
        ("imdb", "imdb/test.jsonl.gz", lines(texts(3)), "test", (["text number 0"], "negative")),
        ("ag_news", "ag_news/test.csv", "label,text\n3,a new chip\n", "test", (["a new chip"], "Sci-Tech")),
        ("dbpedia", "dbpedia_14/test.csv", BOOK, "test", (["a book, new"], "WrittenWork")),
        ("dbpedia", "dbpedia/test.jsonl", POND, "test", (["a pond"], "NaturalPlace")),
    ],
)
def test_every_layout_is_read(
    tmp_path: Path, name: str, file: str, text: str, split: str, expected: tuple[list[str], str]
) -> None:
    path = put(tmp_path, file, text)
    found = load(name, split, tmp_path)
    first = found.examples[0]
    assert content(first) == expected
    assert (found.file, found.folder, found.source, found.total) == (path, path.parent, "release", len(found.examples))
    assert found.info is DATASETS[name] and first.query == "" and first.evidence == ()
    if found.info.pairs:
        assert first.pair and first.pair_at == len(first.documents[0])
        assert [document.docid for document in first.documents] == [first.id, f"{first.id}/pair"]
        assert first.words == (*first.documents[0].words, *first.documents[1].words)
    else:
        assert not first.pair and first.pair_at is None


def test_test_labels_that_are_not_public(tmp_path: Path) -> None:
    put(tmp_path, "SST-2/test.tsv", "index\tsentence\n0\ta film\n")
    for folder in ("MNLI", "QNLI"):
        (tmp_path / folder).mkdir()
    for name in ("sst2", "mnli", "qnli"):
        with pytest.raises(MissingError, match=r"--split test: the test labels .* are not public; use --split val"):
            load(name, "test", tmp_path)


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"SST-2 .* is not there; expected a folder glue/SST-2 or SST-2 or sst2"):
        load("sst2", "val", tmp_path)
    with pytest.raises(MissingError, match="'adapler-explain data fetch imdb'"):
        find("imdb")
    (tmp_path / "sst2").mkdir()
    with pytest.raises(MissingError, match=r"dev\.tsv: no such file"):
        load("sst2", "val", tmp_path)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("dev.tsv", tabs("sentence|label", "a|2"), r":2: label '2' is not one of negative, positive \(or 0 to 1\)"),
        ("dev.tsv", tabs("sentence|label", "a|good"), ":2: label 'good' is not one of"),
        ("dev.tsv", tabs("sentence|label", " |1"), ":2: document 'row-2' has no words"),
        ("dev.tsv", tabs("words|label", "a|1"), f":2: {COLUMNS}"),
        ("dev.tsv", tabs("sentence|label", "a"), ":2: has another number of cells"),
        ("dev.tsv", tabs("sentence|label"), "has no rows"),
        ("val.jsonl", lines([*texts(1), {"sentence": "b", "label": 1}]), ":2: needs a text in column 'text'"),
        ("val.jsonl", lines([{"text": "a", "label": 1, "id": "x"}] * 2), ":2: id 'x' stands already in line 1"),
        ("val.jsonl", lines([{"text": "a", "label": True}]), ":1: label 'True' is not one of"),
    ],
)
def test_bad_rows_are_refused_with_file_and_line(tmp_path: Path, file: str, text: str, message: str) -> None:
    path = put(tmp_path, f"sst2/{file}", text)
    with pytest.raises(DataError, match=message) as caught:
        load("sst2", "val", tmp_path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("dev.tsv", tabs("question|sentence|label", "Who ?| |entailment"), ":2: document 'row-2/pair' has no words"),
        ("val.jsonl", lines([{"text": "a", "text_pair": "b", "label": 0}, *texts(1)]), ":2: needs a second text in"),
        ("val.jsonl", lines([{"text": "a", "text_pair": 7, "label": 0}]), ":1: needs a text in column 'text_pair'"),
        ("dev.tsv", SST2, ":2: needs the columns text, text_pair, label or question, sentence, label"),
    ],
)
def test_bad_pairs_are_refused_with_file_and_line(tmp_path: Path, file: str, text: str, message: str) -> None:
    path = put(tmp_path, f"qnli/{file}", text)
    with pytest.raises(DataError, match=message) as caught:
        load("qnli", "val", tmp_path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("damage", [lambda raw: raw[:-9], lambda raw: b"no gzip", lambda raw: raw[:12] + b"\xff" * 9])
def test_damaged_gzip(tmp_path: Path, damage: Any) -> None:
    path = put(tmp_path, "imdb/test.jsonl.gz", lines(texts(50)))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"test\.jsonl\.gz: not a gzip file that can be read"):
        load("imdb", "test", tmp_path)


@pytest.fixture
def small_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    """IMDB with a val of four texts instead of 4,096."""
    info = DATASETS["imdb"]
    assert info.tables is not None and info.tables.val_texts == 4096
    monkeypatch.setitem(DATASETS, "imdb", replace(info, tables=replace(info.tables, val_texts=4)))


@pytest.mark.usefixtures("small_rule")
def test_val_is_drawn_from_train_and_leaves_it(tmp_path: Path) -> None:
    path = put(tmp_path, "imdb/train.jsonl", lines(texts(20)))
    train, val = (load("imdb", split, tmp_path) for split in ("train", "val"))
    assert (len(train.examples), train.total, len(val.examples), val.total) == (16, 16, 4, 4)
    found = [[example.line for example in split.examples] for split in (train, val)]
    assert sorted(found[0] + found[1]) == list(range(1, 21)) and all(part == sorted(part) for part in found)
    # Worked out once: the four lowest of numpy's default_rng(0).random(20). The same on every machine.
    assert found[1] == [3, 4, 12, 14]
    assert train.file == val.file == path
    again = load("imdb", "val", tmp_path)
    assert again.examples == val.examples and again.checksum == val.checksum != train.checksum
    put(tmp_path, "imdb/train.jsonl", lines(texts(21)))
    assert load("imdb", "train", tmp_path).checksum != train.checksum


@pytest.mark.usefixtures("small_rule")
def test_a_val_file_is_taken_instead(tmp_path: Path) -> None:
    put(tmp_path, "imdb/train.jsonl", lines(texts(20)))
    drawn = load("imdb", "train", tmp_path)
    put(tmp_path, "imdb/val.csv", "text,label\nfine,1\n")
    assert len(load("imdb", "train", tmp_path).examples) == 20
    assert content(load("imdb", "val", tmp_path).examples[0]) == (["fine"], "positive")
    assert load("imdb", "train", tmp_path).checksum != drawn.checksum


@pytest.mark.usefixtures("small_rule")
def test_a_train_that_is_too_short_for_the_rule(tmp_path: Path) -> None:
    put(tmp_path, "imdb/train.jsonl", lines(texts(8)))
    for split in ("train", "val"):
        with pytest.raises(DataError, match=r"train\.jsonl: has 8 texts, of which 4 become val; .* get the whole file"):
            load("imdb", split, tmp_path)
    put(tmp_path, "imdb/train.jsonl", lines(texts(9)))
    assert len(load("imdb", "train", tmp_path).examples) == 5


def test_the_rule_draws_evenly_and_no_text_twice() -> None:
    mask = val_mask(25_000, 4096)
    assert mask.sum() == 4096
    assert all(700 < part.sum() < 930 for part in np.split(mask, 5))


def test_own_pairs(tmp_path: Path) -> None:
    row = {"text": "a dog\nruns", "text_pair": "an animal moves", "label": "yes", "rationale": "0 1 0 0 1 1"}
    path = put(tmp_path, "mine.jsonl.gz", lines([row, {"text": "one text", "label": "no"}]))
    split = load(str(path), "test")
    pair, single = split.examples
    assert (split.info.name, split.info.labels) == ("mine", ("no", "yes"))
    assert pair.pair and pair.pair_at == 3 and not single.pair
    assert [(span.docid, span.start, span.end) for span in pair.evidence_spans] == [
        ("row-1", 1, 2),
        ("row-1/pair", 1, 3),
    ]
    assert pair.gold_mask.tolist() == [False, True, False, False, True, True]
    made = from_rows(
        [{"premise": "a dog", "hypothesis": "a cat", "label": 0}], "x", columns=Columns("premise", pair="hypothesis")
    )
    assert content(made.examples[0]) == (["a dog", "a cat"], "0") and made.examples[0].pair
    with pytest.raises(ValueError, match="row 2: id 'x' stands already in row 1"):
        from_rows([{"text": "a", "label": "b", "id": "x"}] * 2, "x")


def test_a_pair_has_two_documents() -> None:
    example = from_rows([{"text": "a dog", "label": "b"}], "x").examples[0]
    with pytest.raises(ValueError, match="must have two documents, not 1"):
        replace(example, pair=True)


def test_premise_and_hypothesis_of_esnli_are_a_pair(tmp_path: Path) -> None:
    docs = tmp_path / "esnli" / "docs"
    docs.mkdir(parents=True)
    for name in ("a_premise", "a_hypothesis", "b"):
        (docs / name).write_text("a dog runs")
    row = annotation("a_hypothesis", "neutral", (0, 1)) | {"annotation_id": "a"}
    put(tmp_path, "esnli/val.jsonl", lines([row]))
    (example,) = load("esnli", "val", tmp_path).examples
    assert example.pair and [d.docid for d in example.documents] == ["a_premise", "a_hypothesis"]
    put(tmp_path, "esnli/val.jsonl", lines([annotation("b", "neutral", (0, 1))]))
    with pytest.raises(DataError, match=r"val\.jsonl:1: 'b': a pair must have two documents"):
        load("esnli", "val", tmp_path)


@pytest.mark.usefixtures("small_rule")
def test_verify_names_every_defect_of_tables(tmp_path: Path) -> None:
    put(tmp_path, "imdb/train.jsonl", lines(texts(20, classes=3)))
    defects = verify("imdb", tmp_path)
    assert sum("label '2' is not one of negative, positive" in defect for defect in defects) == 6
    assert any("train.jsonl: has 20 texts, not 25000" in defect for defect in defects)
    assert any("test.jsonl: no such file" in defect for defect in defects) and len(defects) == 8
    put(tmp_path, "sst2/train.tsv", "words\tlabel\na film\t1\n")
    assert any("needs the columns" in defect for defect in verify("sst2", tmp_path))


COUNTS = {
    "sst2": {"train": 67349, "val": 872},
    "mrpc": {"train": 3668, "val": 408, "test": 1725},
    "imdb": {"train": 20904, "val": 4096, "test": 25000},
    # A sample of train.
    "ag_news": {"train": 8548, "val": 6000, "test": 7600},
}


@pytest.mark.parametrize("name", COUNTS)
def test_releases(release: Path, name: str) -> None:
    for split, count in COUNTS[name].items():
        found = load(name, split, release)
        assert len(found.examples) == found.total == count
        assert {example.label for example in found.examples} == set(found.info.labels)
        assert all(example.pair == found.info.pairs for example in found.examples)
        assert name == "ag_news" or found.info.counts[split] == count
