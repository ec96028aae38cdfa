"""Validation finds every defect in one pass, and a file with one gives no figure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import annotation, write_dataset

from eraser_eval.errors import DataError, UsageError
from eraser_eval.score_file import find_defects, official_score_file

HALF = {"NEG": 0.5, "POS": 0.5}


def good(docid: str = "a", **changes: Any) -> dict[str, Any]:
    rationale = {
        "docid": docid,
        "hard_rationale_predictions": [{"start_token": 0, "end_token": 2}],
        "soft_rationale_predictions": [0.5, 0.5, 0.1],
        "soft_sentence_predictions": [0.2],
    }
    row = {"annotation_id": docid, "rationales": [rationale], "classification": "POS", "classification_scores": HALF}
    both = {"comprehensiveness_classification_scores": HALF, "sufficiency_classification_scores": HALF}
    return row | both | {"thresholded_scores": [{"threshold": 0.5, **both}]} | changes


def rationale(**changes: Any) -> dict[str, Any]:
    return good(rationales=[good()["rationales"][0] | changes])


def spans(*bounds: tuple[Any, Any]) -> dict[str, Any]:
    return rationale(hard_rationale_predictions=[{"start_token": a, "end_token": b} for a, b in bounds])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [annotation("a", "POS", (0, 1)), annotation("b", "NEG", (1, 3))]
    return write_dataset(tmp_path, {"a": "x y z", "b": "u v w"}, {"test": rows}) / "movies"


def write(path: Path, *rows: dict[str, Any] | str) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def test_a_good_file_has_no_defects_and_gives_figures(folder: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", good(), good("b"))
    assert find_defects(folder, "test", path) == []
    scores = official_score_file(folder, "test", path, aopc_thresholds=(0.5,))
    assert scores["token_prf"]["instance_micro"] == {"p": 0.5, "r": pytest.approx(2 / 3), "f1": pytest.approx(4 / 7)}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"annotation_id": "a", "ratio', "not valid JSON"),
        ({"annotation_id": 3}, "'annotation_id' must be a string"),
        (good("b"), "'b' stands already in line 1"),
        (good(rationales="x"), "'rationales' must be a list"),
        (good(rationales=[{"docid": "nowhere"}]), "'nowhere' is not in"),
        (good(rationales=good()["rationales"] * 2), "document 'a' stands 2 times"),
        (spans((2, 4)), "2:4 of 'a' ends beyond its 3 words"),
        (spans((0, 2), (1, 3)), "0:2 and 1:3 of 'a' overlap"),
        (spans((0.5, 2)), "lacks whole numbers"),
        (rationale(hard_rationale_predictions=7), "must be a list"),
        (rationale(soft_rationale_predictions=[0.1]), "1 scores for the 3 words"),
        (rationale(soft_rationale_predictions=[0.1, float("nan"), 0.2]), "finite numbers"),
        (rationale(soft_sentence_predictions=[0.1, 0.2]), "2 scores for the 1 sentences"),
        (good(classification="MAYBE"), "'MAYBE' is not one of NEG, POS"),
        (good(classification_scores=[1]), "must map classes to numbers"),
        (good(thresholded_scores=[{"threshold": 0.1}]), "lacks 'comprehensiveness_classification_scores'"),
        (good(thresholded_scores=[good()["thresholded_scores"][0] | {"threshold": 0.1}]), "differ from"),
        (good(classification=None), "'classification' stands in 1 of 2 lines"),
    ],
)
def test_defects_are_found_and_stop_the_scorer(folder: Path, tmp_path: Path, row: Any, message: str) -> None:
    path = write(tmp_path / "p.jsonl", good("b"), row)
    texts = [defect.text for defect in find_defects(folder, "test", path)]
    assert any(message in text and text.startswith(str(path)) and "\n" not in text for text in texts), texts
    with pytest.raises(DataError):
        official_score_file(folder, "test", path, aopc_thresholds=(0.5,))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (good("c", rationales=[]), "'c' is no annotation of this split"),
        (good("c", rationales=[]), "no prediction for 'a'"),
        (spans((-1, 2)), "starts before word 0"),
        (spans((2, 1)), "reversed"),
        (spans((1, 1)), "empty"),
        (good(classification_scores={"NEG": 0.9, "POS": 0.9}), "(sum 1.8)"),
        (good(classification_scores={"NEG": 0.5, "POS": 0.4, "X": 0.1}), "names 'X'"),
    ],
)
def test_defects_that_the_official_program_lets_pass(folder: Path, tmp_path: Path, row: Any, message: str) -> None:
    path = write(tmp_path / "p.jsonl", good("b"), row)
    assert any(message in defect.text for defect in find_defects(folder, "test", path))


def test_all_defects_in_one_pass(folder: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", spans((2, 9), (0, 0)), "{", good("c"), good("c"))
    kinds = [defect.kind for defect in find_defects(folder, "test", path)]
    assert sorted(kinds) == sorted(
        ["span", "odd span", "line", *["unknown annotation"] * 3, "duplicate", "missing prediction"]
    )


def test_defects_of_data(folder: Path) -> None:
    rows = [annotation("a", "POS", (2, 9)), annotation("zz", "POS"), annotation("b", "NEG", (1, 2))]
    write(folder / "test.jsonl", *rows, "{")
    texts = [defect.text for defect in find_defects(folder, "test")]
    assert len(texts) == 3 and all(f"test.jsonl:{line}: " in text for line, text in zip((1, 2, 4), texts, strict=True))


def test_strict_demands_classes_and_empty_files_give_nothing(folder: Path, tmp_path: Path) -> None:
    bare = [{key: row[key] for key in ("annotation_id", "rationales")} for row in (good(), good("b"))]
    path = write(tmp_path / "p.jsonl", *bare)
    assert "classification_scores" not in official_score_file(folder, "test", path)
    with pytest.raises(UsageError, match="--strict"):
        official_score_file(folder, "test", path, strict=True)
    with pytest.raises(DataError, match="no predictions"):
        official_score_file(folder, "test", write(tmp_path / "q.jsonl"))


def test_the_real_human_annotations_lack_most_of_the_split(release: Path) -> None:
    human = release.parent / "reference" / "eraser_predictions" / "movies_human" / "majority.jsonl"
    kinds = {defect.kind for defect in find_defects(release / "eraser" / "movies", "test", human)}
    assert {"missing prediction", "unknown annotation"} <= kinds
