"""ERASER's formats: round trips, and one clear line for every defect."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import annotation, write_dataset
from hypothesis import given
from hypothesis import strategies as st

from eraser_eval.datasets import load
from eraser_eval.errors import DataError, MissingError
from eraser_eval.jsonl import DocumentStore, read_examples
from eraser_eval.prediction_file import prediction_line, prediction_of, read_predictions
from eraser_eval.records import Prediction, Span

GOOD = annotation("a", "POS", (0, 1))


def broken(tmp_path: Path, *lines: str, text: str = "some words\n") -> DataError | MissingError:
    """The error that a data set with ``lines`` as its test split gives."""
    root = write_dataset(tmp_path, {"a": text, "b": "more words"}, {"train": [GOOD]})
    (root / "movies" / "test.jsonl").write_bytes("\n".join(lines).encode("utf-8", "surrogateescape"))
    with pytest.raises((DataError, MissingError)) as caught:
        load("movies", "test", root)
    return caught.value


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"annotation_id": "a", ', "not valid JSON"),
        ("[1]", "expected a JSON object"),
        ("\udcff", "not UTF-8"),
        (json.dumps(GOOD | {"classification": "MAYBE"}), "'MAYBE' is not one of NEG, POS"),
        (json.dumps(GOOD | {"classification": None}), "'classification' must be a string"),
        (json.dumps(GOOD | {"annotation_id": ""}), "'annotation_id' must be"),
        (json.dumps(annotation("nowhere", "POS", (0, 1))), "'nowhere' is not in"),
        (json.dumps(annotation("../a", "POS", (0, 1))), "is not in"),
        (json.dumps(annotation("a", "POS", (0, 3))), "beyond the 2 words"),
        (json.dumps(annotation("a", "POS", (2, 1))), "reversed"),
        (json.dumps(GOOD | {"evidences": [[{"docid": "a"}]]}), "'evidences' must be"),
        (json.dumps(GOOD), "stands already in line 1"),
        (json.dumps(annotation("a", "POS", (0.0, 1.0))), "whole numbers"),
        (json.dumps(annotation("a", "POS", (False, True))), "whole numbers"),
        (json.dumps(annotation(5, "POS", (0, 1)) | {"annotation_id": "x"}), "docid (string)"),
        (json.dumps(GOOD | {"evidences": {"a": 1}}), "'evidences' must be"),
        (json.dumps(GOOD | {"annotation_id": "x", "docids": "a"}), "'docids' must be a list"),
        (json.dumps(GOOD | {"annotation_id": "x", "docids": ["a", "a"]}), "names a document twice"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_defects_name_file_and_line(tmp_path: Path, line: str, message: str) -> None:
    error = broken(tmp_path, json.dumps(GOOD), line)
    assert isinstance(error, DataError) and error.exit_code == 4
    assert "test.jsonl:2: " in str(error) and message in str(error) and "\n" not in str(error)


def test_empty_document(tmp_path: Path) -> None:
    assert "docs/a: document 'a' has no words" in str(broken(tmp_path, json.dumps(GOOD), text=" \n\n"))


def test_empty_split(tmp_path: Path) -> None:
    assert "has no annotations" in str(broken(tmp_path, "", ""))


def test_missing_split(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"val\.jsonl: no such file"):
        load("movies", "val", write_dataset(tmp_path, {"a": "x"}, {"test": [GOOD]}))


def test_documents_in_one_file_give_the_same_words(tmp_path: Path) -> None:
    text = "one  two\n\n three \nfour\n"
    root = write_dataset(tmp_path / "x", {"a": text}, {"test": [GOOD]}) / "movies"
    other = tmp_path / "y"
    other.mkdir()
    (other / "docs.jsonl").write_text(json.dumps({"docid": "a", "document": text}) + "\n")
    assert DocumentStore(root).get("a") == DocumentStore(other).get("a")
    assert DocumentStore(root).get("a").sentences == (("one", "two"), ("three",), ("four",))


def test_two_forms_of_documents_at_once_are_refused(tmp_path: Path) -> None:
    root = write_dataset(tmp_path, {"a": "x"}, {"test": [GOOD]}) / "movies"
    (root / "docs.jsonl").write_text("")
    with pytest.raises(DataError, match="remove one"):
        DocumentStore(root)


def test_documents_are_named_by_docids_or_evidence_or_id(tmp_path: Path) -> None:
    rows = [annotation("b", "POS"), annotation("e1", "NEG", (0, 1)), annotation("e2", "NEG") | {"docids": ["b", "a"]}]
    rows[1]["evidences"][0][0]["docid"] = "a"
    root = write_dataset(tmp_path, {"a": "x", "b": "y z"}, {"test": rows}) / "movies"
    examples = read_examples(root / "test.jsonl", DocumentStore(root))
    assert [example.words for example in examples] == [("y", "z"), ("x",), ("y", "z", "x")]


@given(
    st.text(min_size=1),
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=5),
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=3),
)
def test_predictions_round_trip(identifier: str, scores: list[float], bounds: list[tuple[int, int]]) -> None:
    prediction = Prediction(
        id=identifier,
        label="POS",
        probabilities={"NEG": 0.25, "POS": 0.75},
        scores={"d": tuple(scores)},
        spans=tuple(Span("d", min(pair), max(pair)) for pair in bounds),
        extra={"seconds": 0.5},
    )
    line = prediction_line(prediction)
    assert line.count("\n") == 1
    assert prediction_of(json.loads(line)) == prediction


def test_a_published_prediction_file_is_read(release: Path) -> None:
    path = release.parent / "reference" / "eraser_predictions" / "hatexplain_lime" / "predictions.jsonl"
    predictions = read_predictions(path)
    assert len(predictions) == 1922
    assert all(prediction.label and prediction.scores for prediction in predictions)
    assert [erasure.fraction for erasure in predictions[0].erasures] == [0.5]
    assert predictions[0].erased.keys() == predictions[0].erasures[0].kept.keys() == {"toxic", "non-toxic"}
