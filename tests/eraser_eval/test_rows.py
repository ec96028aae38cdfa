"""CSV, TSV, JSONL and rows in memory become examples; what is broken is named."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eraser_eval.datasets import from_rows, load
from eraser_eval.datasets.rows import Columns, example_of, read_table, table_dialect
from eraser_eval.errors import DataError, MissingError, UsageError
from eraser_eval.records import Span

ROWS = [
    {"text": "a fine film\nreally", "label": "POS", "rationale": "0 1 0 0"},
    {"text": "dull", "label": "NEG", "rationale": ""},
]


def table(path: Path, rows: list[dict] = ROWS) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, rows[0], dialect=table_dialect("\t" if path.suffix == ".tsv" else ","))
            writer.writeheader()
            writer.writerows(rows)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
def test_a_file_is_a_split(tmp_path: Path, suffix: str) -> None:
    # Tab-separated files do not quote: a cell holds no line feed, and its first sign may be one of quotation.
    rows = ROWS if suffix != ".tsv" else [ROWS[0] | {"text": '"a fine film really'}, ROWS[1]]
    split = load(str(table(tmp_path / f"mine{suffix}", rows)), "test")
    first, second = split.examples
    assert first.words == tuple(rows[0]["text"].split())
    assert [len(sentence) for sentence in first.documents[0].sentences] == ([3, 1] if suffix != ".tsv" else [4])
    assert first.evidence_spans == (Span(first.id, 1, 2),) and second.evidence == ()
    assert (split.info.labels, split.source, split.total) == (("NEG", "POS"), "own files", 2)


def test_a_folder_of_tables(tmp_path: Path) -> None:
    table(tmp_path / "train.csv")
    table(tmp_path / "test.jsonl", [{"text": "odd", "label": "MIXED"}])
    assert load(str(tmp_path), "train").info.labels == ("NEG", "POS")
    with pytest.raises(DataError, match=r"test\.jsonl:1: 'row-1': label 'MIXED' is none of NEG, POS"):
        load(str(tmp_path), "test")
    with pytest.raises(MissingError, match=r"val\.jsonl"):
        load(str(tmp_path), "val")


def test_queries_are_read_when_they_differ(tmp_path: Path) -> None:
    same = [row | {"query": "good ?"} for row in ROWS]
    assert load(str(table(tmp_path / "same.jsonl", same)), "test").examples[0].query == ""
    differ = [row | {"query": f"is {number} good ?"} for number, row in enumerate(ROWS)]
    split = load(str(table(tmp_path / "differ.jsonl", differ)), "test")
    assert [example.query for example in split.examples] == ["is 0 good ?", "is 1 good ?"]


@given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_masks_become_spans_and_back(mask: list[bool]) -> None:
    for form in (mask, [int(sign) for sign in mask], " ".join(str(int(s)) for s in mask), json.dumps(mask)):
        row = {"text": "word " * len(mask), "label": "A", "rationale": form}
        assert example_of(row, 1, Columns()).gold_mask.tolist() == mask


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"label": "A"}, "needs a text in column 'text'; its columns are label"),
        ({"text": "a b"}, "needs a class in column 'label'"),
        ({"text": "  ", "label": "A"}, "has no words"),
        ({"text": "a b", "label": "A", "rationale": "1"}, "1 signs for the 2 words"),
        ({"text": "a b", "label": "A", "rationale": [0, 2]}, "must be 0 or 1"),
        ({"text": "a b", "label": "A", "rationale": 7}, "must be 0 or 1"),
    ],
)
def test_broken_rows_are_named_with_their_line(tmp_path: Path, row: dict, message: str) -> None:
    path = table(tmp_path / "mine.jsonl", [ROWS[0], row])
    with pytest.raises(DataError, match=message) as caught:
        read_table(path)
    assert str(caught.value).startswith(f"{path}:2: ")
    with pytest.raises(ValueError, match=f"row 2: .*{message}"):
        from_rows([ROWS[0], row], "mine")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"text,label\na,b,c\n", ":2: has another number of cells"),
        (b"text,label\na\n", ":2: has another number of cells"),
        (b"text,label\n\xff,b\n", "not UTF-8"),
        (b'text,label\n"a,b\n', "not valid CSV"),
        (b"text,label\n", "has no rows"),
        (b"id,text,label\nx,a,b\nx,c,d\n", ":3: id 'x' stands already in line 2"),
    ],
)
def test_broken_csv(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_table(path)


def test_huggingface_data_set_with_class_names() -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {
            "review": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["NEG", "POS"]),
            "mask": datasets.List(datasets.Value("int64")),
        }
    )
    rows = {"review": ["a fine film", "dull"], "label": [1, 0], "mask": [[0, 1, 0], [1]]}
    data = datasets.Dataset.from_dict(rows, features=features)
    split = from_rows(data, "mine", "val", Columns(text="review", rationale="mask"))
    assert [(e.label, e.gold_mask.tolist()) for e in split.examples] == [("POS", [False, True, False]), ("NEG", [True])]
    assert (split.name, split.info.labels, split.source) == ("val", ("NEG", "POS"), "own rows")
    again = from_rows(data, "mine", "val", Columns(text="review", rationale="mask"))
    assert split.checksum == again.checksum != from_rows(ROWS, "mine").checksum


def test_paths_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no such data set or path; choose from movies"):
        load("no-such-thing", "test")
    with pytest.raises(UsageError, match="leave it out when --dataset is a path"):
        load(str(table(tmp_path / "mine.csv")), "test", tmp_path)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(UsageError, match=r"must end in \.csv"):
        load(str(tmp_path / "notes.txt"), "test")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingError, match="has no train, val or test file"):
        load(str(tmp_path / "empty"), "test")
    with pytest.raises(ValueError, match="has no rows"):
        from_rows([], "mine")
