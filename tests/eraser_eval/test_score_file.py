"""Prediction files scored by the safe definitions: hand-worked figures, several files, parts, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import annotation, write_dataset
from test_validate import HALF, good, write

from eraser_eval.errors import DataError, UsageError
from eraser_eval.report import score_rows
from eraser_eval.score_file import ScoreConfig, score_files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [annotation("a", "POS", (0, 1)), annotation("b", "NEG", (1, 3))]
    return write_dataset(tmp_path, {"a": "x y z", "b": "u v w"}, {"test": rows}) / "movies"


def scored(folder: Path, *results: str | Path, **more: Any) -> dict[str, Any]:
    return score_files(ScoreConfig(folder, "test", tuple(map(str, results)), resamples=200, **more))


def spans(docid: str, *bounds: tuple[int, int], **changes: Any) -> dict[str, Any]:
    hard = [{"start_token": a, "end_token": b} for a, b in bounds]
    return good(docid, rationales=[good(docid)["rationales"][0] | {"hard_rationale_predictions": hard}], **changes)


def test_worked_by_hand(folder: Path, tmp_path: Path) -> None:
    """a: gold 0, chosen 0–2. b: gold 1–3, chosen nothing, class wrong; erased the same as before."""
    low = {"NEG": 0.9, "POS": 0.1}
    path = write(tmp_path / "p.jsonl", spans("a", (0, 2), comprehensiveness_classification_scores=low), spans("b"))
    figures = scored(folder, path, iou_thresholds=(0.6,), cutoffs=(1,))
    own = figures["methods"]["p"]
    values = {name: own[name]["value"] for name in figures["signatures"]}
    assert values["token_f1"] == pytest.approx((2 / 3 + 0) / 2)
    assert values["token_f1_micro"] == pytest.approx(2 * 1 / (2 + 3))
    assert values["fpr"] == pytest.approx((1 / 2 + 0) / 2)
    assert values["fpr_pooled"] == pytest.approx(1 / 3)
    assert values["iou_f1"] == pytest.approx(1 / 2)  # 0–1 in 0–2 is exactly one half
    assert values["iou_f1@0.6"] == 0
    assert values["comprehensiveness"] == pytest.approx((0.4 + 0) / 2)
    assert values["comprehensiveness_aopc"] == values["sufficiency"] == 0
    # Soft scores 0.5, 0.5, 0.1: the first of equals is word 0, marked in a and not in b.
    assert values["precision_at_1"] == pytest.approx(1 / 2)
    assert own["classification"]["accuracy"] == 0.5
    assert own["classification"]["report"]["NEG"]["recall"] == 0
    assert figures["chance"]["fpr"] == pytest.approx((2 / 3 + 0) / 2)
    assert figures["prevalence"] == pytest.approx((1 / 3 + 2 / 3) / 2)
    assert figures["signatures"]["fpr"].startswith("fpr|unit:word|budget:own|over:documents|data:movies/test@sha256:")
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures


def test_files_are_compared_with_the_first_and_runs_are_put_together(folder: Path, tmp_path: Path) -> None:
    perfect = write(tmp_path / "perfect.jsonl", spans("a", (0, 1)), spans("b", (1, 3)))
    empty = write(tmp_path / "empty.jsonl", spans("a"), spans("b"))
    figures = scored(folder, f"good={perfect}", f"bad={empty}", f"mixed={perfect}", f"mixed={empty}")
    assert figures["reference"] == "good"
    difference = figures["methods"]["bad"]["difference_to_good"]["token_f1"]
    assert (difference["value"], difference["low"], difference["high"]) == (-1, -1, -1)
    assert difference["p_holm"] >= difference["p"] > 0.05  # two documents prove nothing
    assert (figures["methods"]["mixed"]["runs"], figures["methods"]["mixed"]["token_f1"]["value"]) == (2, 0.5)
    header, rows = score_rows(figures)
    assert header == ["metric", "good", "bad", "mixed", "chance"]
    assert next(row for row in rows if row[0] == "token_f1 ↑")[:3] == [
        "token_f1 ↑",
        "1.000 [1.000, 1.000]",
        "0.000 [0.000, 0.000]",
    ]


def test_scores_are_cut_at_the_number_of_words_that_the_first_file_chose(folder: Path, tmp_path: Path) -> None:
    """The first file chooses one word of a and two of b; the other's highest scores there are word 2, words 2 and 0."""
    scores = {"soft_rationale_predictions": [0.2, 0.1, 0.9], "hard_rationale_predictions": None}
    rows = [good(docid, rationales=[good(docid)["rationales"][0] | scores]) for docid in "ab"]
    first = write(tmp_path / "first.jsonl", spans("a", (0, 1)), spans("b", (1, 3)))
    figures = scored(folder, first, write(tmp_path / "other.jsonl", *rows))
    other = figures["methods"]["other"]
    assert other["fpr_at_reference"]["value"] == pytest.approx((1 / 2 + 1 / 1) / 2)
    assert other["token_f1_at_reference"]["value"] == pytest.approx((0 + 1 / 2) / 2)
    assert figures["chance"]["fpr_at_reference"] == pytest.approx((1 / 3 + 2 / 3) / 2)
    assert "|budget:reference|" in figures["signatures"]["fpr_at_reference"]


def test_a_part_of_the_split(folder: Path, tmp_path: Path) -> None:
    other = {"annotation_id": "elsewhere", "rationales": []}
    path = write(tmp_path / "p.jsonl", {k: good()[k] for k in ("annotation_id", "rationales")}, other)
    with pytest.raises(DataError, match="'elsewhere' is no annotation"):
        scored(folder, path)
    figures = scored(folder, path, part=True)
    assert (figures["documents"], figures["methods"]["p"]["documents"]) == (2, 1)
    assert figures["methods"]["p"]["token_f1"]["value"] == pytest.approx(2 / 3)


def test_people_stand_beside_the_files(folder: Path, tmp_path: Path) -> None:
    marks = [[{"docid": "a", "start_token": 0, "end_token": 1}]] * 2
    write(folder / "annotators.jsonl", {"annotation_id": "a", "annotators": marks})
    figures = scored(folder, write(tmp_path / "p.jsonl", good(), good("b")))
    human = figures["methods"]["human"]
    assert (human["documents"], human["token_f1"]["value"]) == (1, 1)
    # Their gold is each other's: nothing is compared with it.
    assert not any(key.startswith("difference") for key in human)
    write(folder / "annotators.jsonl", {"annotation_id": "a", "annotators": 3})
    with pytest.raises(DataError, match=r"annotators\.jsonl:1: expected 'annotation_id' and 'annotators'"):
        scored(folder, tmp_path / "p.jsonl")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (good("b", classification_scores={"NEG": 0.5, "POS": 0.6}), "do not sum to 1|not probabilities that sum to 1"),
        (spans("b", (2, 1)), "span 2:1 of 'b' is reversed"),
        (spans("b", (1, 1)), "span 1:1 of 'b' is empty"),
        (good("b", rationales=good("a")["rationales"]), "document 'a' is none of the annotation's"),
        (good("b", empty_classification_scores=HALF), "stands in 1 of 2 lines"),
        (good("b", sufficiency_classification_scores={"NEG": 1.0}), "does not name the classes"),
        (good("b", thresholded_scores=[good()["thresholded_scores"][0] | {"threshold": 50}]), "no share of the words"),
        (good("b", thresholded_scores=good()["thresholded_scores"] * 2), "has a threshold twice"),
    ],
)
def test_what_the_official_program_lets_pass_is_refused(
    folder: Path, tmp_path: Path, row: dict[str, Any], message: str
) -> None:
    path = write(tmp_path / "p.jsonl", good(), row)
    with pytest.raises(DataError, match=message) as caught:
        scored(folder, path)
    assert str(caught.value).startswith((f"{path}:2: 'b'", f"{path}: "))


def test_scores_of_some_examples_only_are_refused(folder: Path, tmp_path: Path) -> None:
    """Else a system could be measured where it is good."""
    with pytest.raises(DataError, match="'soft_rationale_predictions' stands in 1 of 2 lines"):
        scored(folder, write(tmp_path / "p.jsonl", good(), good("b", rationales=[])))


def test_files_without_scores_and_files_that_do_not_meet(folder: Path, tmp_path: Path) -> None:
    hard, soft = ([spans("a", (0, 1)), spans("b", (1, 2))], [good("a"), good("b")])
    for row in hard:
        del row["rationales"][0]["soft_rationale_predictions"]
    for row in soft:
        del row["rationales"][0]["hard_rationale_predictions"]
    one, two = write(tmp_path / "soft.jsonl", *soft), write(tmp_path / "hard.jsonl", *hard)
    figures = scored(folder, one, two)
    assert figures["chance"]["average_precision"] is not None and figures["chance"]["fpr"] is None
    assert figures["methods"]["soft"]["iou_f1"]["value"] is None
    assert figures["methods"]["hard"]["difference_to_soft"]["iou_f1"]["p"] is None
    apart = scored(folder, write(tmp_path / "a.jsonl", hard[0]), write(tmp_path / "b.jsonl", hard[1]), part=True)
    assert apart["methods"]["b"]["difference_to_a"]["fpr"]["value"] is None
    with pytest.raises(UsageError, match="a second file called 'soft'"):
        scored(folder, one, one)


def test_an_infinite_divergence_has_no_value(folder: Path, tmp_path: Path) -> None:
    sure = {"NEG": 0.0, "POS": 1.0}
    path = write(tmp_path / "p.jsonl", good(classification_scores=sure), good("b"))
    figures = scored(folder, path)["methods"]["p"]["comprehensiveness_kl"]
    assert (figures["value"], figures["infinite"], figures["n"]) == (None, 1, 0)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"iou_thresholds": (1.5,)}, r"--iou-thresholds 1\.5"),
        ({"cutoffs": (0,)}, "--top-words 0"),
        ({"aopc_thresholds": (2.0,)}, r"--aopc-thresholds 2\.0"),
    ],
)
def test_numbers_out_of_range(folder: Path, tmp_path: Path, more: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        scored(folder, write(tmp_path / "p.jsonl", good(), good("b")), **more)


def test_thresholds_are_chosen_and_missed(folder: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", good(), good("b"))
    assert "comprehensiveness_aopc" in scored(folder, path, aopc_thresholds=(0.5,))["signatures"]
    with pytest.raises(DataError, match=r"lacks one of the thresholds 0\.1"):
        scored(folder, path, aopc_thresholds=(0.1,))
    with pytest.raises(UsageError, match="write FILE or NAME=FILE"):
        scored(folder, f"a|b={path}")
    bare = write(tmp_path / "q.jsonl", *({k: good(d)[k] for k in ("annotation_id", "rationales")} for d in "ab"))
    with pytest.raises(UsageError, match="--strict"):
        scored(folder, bare, strict=True)


def test_movies_annotators_are_scored(release: Path) -> None:
    people = release.parent / "reference" / "eraser_predictions" / "movies_human"
    results = [f"{name}={people / name}.jsonl" for name in ("majority", "union")]
    figures = score_files(ScoreConfig(release / "eraser" / "movies", "test", tuple(results), part=True, resamples=200))
    majority, union = (figures["methods"][name] for name in ("majority", "union"))
    assert majority["documents"] == union["documents"] == 104
    assert 0 < majority["token_recall"]["value"] < union["token_recall"]["value"] < 1
    assert majority["fpr"]["value"] < union["fpr"]["value"] < figures["prevalence"]
    assert "average_precision" not in majority
