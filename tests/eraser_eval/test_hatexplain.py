"""HateXplain's official files become a folder in ERASER's format; the posts here are invented."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from eraser_eval.datasets.hatexplain import convert
from eraser_eval.datasets.table import DATASETS
from eraser_eval.errors import DataError, MissingError, UsageError
from eraser_eval.jsonl import DocumentStore, read_examples
from eraser_eval.records import Example, Span


def post(words: list[str], labels: str, *rationales: list[int]) -> dict[str, Any]:
    names = {"h": "hatespeech", "n": "normal", "o": "offensive"}
    people = [{"label": names[letter], "annotator_id": i, "target": ["None"]} for i, letter in enumerate(labels)]
    return {"post_id": "", "annotators": people, "rationales": list(rationales), "post_tokens": words}


TEA = ["cold", "tea", "is", "awful", "stuff"]
POSTS = {
    "9_x": post(TEA, "hho", [0, 1, 0, 0, 0], [0, 1, 1, 0, 0], [0, 0, 0, 0, 1]),
    "10_x": post(TEA, "nno"),
    "11_x": post(["so", "", "rain y", "\u00a0", "day"], "ooo", [0, 1, 1, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 1, 0]),
    "12_x": post(TEA, "oho", [0, 0, 0, 0, 0], [-1, -1, -1, -1, -1], [1, 1]),
    "13_x": post(TEA, "hno", [1, 1, 1, 1, 1]),
    "14_x": post(TEA, "nhn", [1, 0, 0, 0, 0]),
}
DIVISION = {"train": ["9_x", "10_x"], "val": ["11_x"], "test": ["14_x", "12_x"]}


def files(folder: Path, posts: object = POSTS, division: object = DIVISION) -> tuple[Path, Path, Path]:
    (folder / "dataset.json").write_text(json.dumps(posts), encoding="utf-8")
    (folder / "division.json").write_text(json.dumps(division), encoding="utf-8")
    return folder / "dataset.json", folder / "division.json", folder / "made" / "hatexplain"


@pytest.fixture
def made(tmp_path: Path) -> Path:
    paths = files(tmp_path)
    convert(*paths)
    return paths[2]


def examples(folder: Path, split: str) -> list[Example]:
    return read_examples(folder / f"{split}.jsonl", DocumentStore(folder), DATASETS["hatexplain"].labels)


def rows(folder: Path, split: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()]


def test_evidence_is_the_union_and_annotators_stand_beside_it(made: Path) -> None:
    first, second = examples(made, "train")
    assert (first.id, first.label, first.words) == ("9_x", "hatespeech", tuple(TEA))
    assert first.evidence == ((Span("9_x", 1, 3), Span("9_x", 4, 5)),)
    assert first.annotators == ((Span("9_x", 1, 2),), (Span("9_x", 1, 3),), (Span("9_x", 4, 5),))
    assert (second.id, second.label, second.evidence, second.annotators) == ("10_x", "normal", (), ())


def test_keys_and_conventions(made: Path) -> None:
    first, second = rows(made, "train")
    assert first["evidences"][0][0] == {
        "docid": "9_x",
        "start_token": 1,
        "end_token": 3,
        "start_sentence": -1,
        "end_sentence": -1,
        "text": "tea is",
    }
    assert second == {
        "annotation_id": "10_x",
        "classification": "normal",
        "docids": ["10_x"],
        "evidences": [[]],
        "query": "What is the class?",
        "query_type": None,
    }
    assert [row["annotation_id"] for row in rows(made, "test")] == ["14_x", "12_x"]
    assert [row["docid"] for row in rows(made, "docs")] == ["10_x", "11_x", "12_x", "14_x", "9_x"]
    assert sorted(path.name for path in made.iterdir()) == [
        "annotators.jsonl",
        "docs.jsonl",
        "test.jsonl",
        "train.jsonl",
        "val.jsonl",
    ]
    assert [path.name for path in made.parent.iterdir()] == ["hatexplain"]


def test_white_space_in_words_shifts_no_offset(made: Path) -> None:
    (example,) = examples(made, "val")
    assert example.words == ("so", "rain", "y", "day")
    assert example.evidence == ((Span("11_x", 1, 4),),)
    assert example.annotators == ((Span("11_x", 1, 3),), (Span("11_x", 3, 4),))


def test_rationales_that_mark_nothing_or_do_not_fit_and_those_of_normal_posts_are_left_out(made: Path) -> None:
    assert [row["evidences"] for row in rows(made, "test")] == [[[]], [[]]]
    assert {row["annotation_id"] for row in rows(made, "annotators")} == {"9_x", "11_x"}
    assert [row["classification"] for row in rows(made, "test")] == ["normal", "offensive"]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("post_tokens", "words", "post '9_x': 'post_tokens' must be"),
        ("post_tokens", ["a", 1], "post '9_x': 'post_tokens' must be"),
        ("post_tokens", ["", " "], "post '9_x': document '9_x' has no words"),
        ("annotators", None, "post '9_x': 'annotators' must be"),
        ("annotators", [1], "post '9_x': 'annotators' must be"),
        ("annotators", [{"label": ["normal"]}], "whose 'label' is one of hatespeech, normal, offensive"),
        ("rationales", {}, "post '9_x': 'rationales' must be"),
        ("rationales", [[0, 2]], "post '9_x': 'rationales' must be"),
        ("annotators", [{"label": "normal"}, {"label": "offensive"}], "post '9_x': no class has more than half"),
    ],
)
def test_broken_post(tmp_path: Path, key: str, value: object, message: str) -> None:
    posts = copy.deepcopy(POSTS)
    posts["9_x"][key] = value
    paths = files(tmp_path, posts)
    with pytest.raises(DataError, match=message) as caught:
        convert(*paths)
    assert str(caught.value).startswith(str(paths[0])) and "\n" not in str(caught.value)
    assert not paths[2].exists()


@pytest.mark.parametrize(
    ("division", "message"),
    [
        ({"train": ["9_x"], "val": ["10_x"]}, "test: expected a list of post ids"),
        ({**DIVISION, "val": [9]}, "val: expected a list"),
        ({**DIVISION, "val": []}, "val: expected a list"),
        ({**DIVISION, "val": ["9_x"]}, "val: post '9_x' stands already in train"),
        ({**DIVISION, "val": ["gone"]}, "val: post 'gone' is not in"),
        ([], "expected a JSON object, found list"),
    ],
)
def test_broken_division(tmp_path: Path, division: object, message: str) -> None:
    paths = files(tmp_path, POSTS, division)
    with pytest.raises(DataError, match=message) as caught:
        convert(*paths)
    assert str(caught.value).startswith(str(paths[1]))
    assert not paths[2].exists()


def test_file_that_is_not_json_not_utf8_or_not_there(tmp_path: Path) -> None:
    dataset, division, folder = files(tmp_path, {**POSTS, "9_x": "text"})
    with pytest.raises(DataError, match="post '9_x': 'post_tokens'"):
        convert(dataset, division, folder)
    for content in (b"{", b'{"a": "\xff"}', b"[" * 100_000):
        dataset.write_bytes(content)
        with pytest.raises(DataError, match=r"dataset\.json: not JSON in UTF-8"):
            convert(dataset, division, folder)
    dataset.unlink()
    with pytest.raises(MissingError, match=r"dataset\.json: no such file"):
        convert(dataset, division, folder)


def test_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    dataset, division, folder = files(tmp_path)
    folder.mkdir(parents=True)
    convert(dataset, division, folder)
    before = (folder / "train.jsonl").read_bytes()
    with pytest.raises(UsageError, match="not an empty folder"):
        convert(dataset, division, folder)
    with pytest.raises(UsageError, match="not an empty folder"):
        convert(dataset, division, folder / "docs.jsonl")
    assert (folder / "train.jsonl").read_bytes() == before
