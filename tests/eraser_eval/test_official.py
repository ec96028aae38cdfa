"""The official scorer's figures: on a published prediction file, and against slow oracles on made-up corpora."""

from __future__ import annotations

import json
import math
import warnings
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_auc_score

from eraser_eval.jsonl import DocumentStore, read_lines
from eraser_eval.metrics.official import official_scores
from eraser_eval.records import Document


def same(got: Any, expected: Any, where: str = "") -> None:
    """``got`` has the keys of ``expected`` and its numbers to 1e-9."""
    if isinstance(expected, dict):
        assert got.keys() == expected.keys(), where
        for key in expected:
            same(got[key], expected[key], f"{where}/{key}")
    elif isinstance(expected, list):
        for number, pair in enumerate(zip(got, expected, strict=True)):
            same(*pair, f"{where}[{number}]")
    elif expected is None:
        assert got is None, where
    else:
        assert got == pytest.approx(expected, abs=1e-9, nan_ok=True), where


def test_equals_the_official_program_on_a_published_file(release: Path) -> None:
    folder = release.parent / "reference" / "eraser_predictions" / "hatexplain_lime"
    rows, annotations = (
        [row for _, row in read_lines(path)] for path in (folder / "predictions.jsonl", folder / "gold" / "test.jsonl")
    )
    got = official_scores(rows, annotations, DocumentStore(folder / "gold").get, (0.5,), (0.5,))
    same(got, json.loads((folder / "official_metrics.json").read_text()))


# ---------------------------------------------------------------- made-up corpora

DOCUMENTS = {name: Document(name, (tuple("abcd"), tuple("ef"), tuple("ghi"))) for name in ("x", "y")}
SPAN = st.tuples(st.integers(0, 8), st.integers(0, 4)).map(lambda s: (s[0], min(s[0] + s[1], 9)))
SPANS = st.lists(st.tuples(st.sampled_from(["x", "y"]), SPAN), min_size=1, max_size=4)
SCORES = st.lists(st.integers(0, 3).map(float), min_size=9, max_size=9)
SHARE = st.floats(0.05, 0.95)


@st.composite
def corpora(draw: st.DrawFn) -> tuple[list[dict], list[dict]]:
    """Annotations and instances with everything in them; the first instance has a hard rationale."""
    annotations, instances = [], []
    for number in range(draw(st.integers(1, 4))):
        evidence = [
            {"docid": d, "start_token": a, "end_token": b, "start_sentence": a // 4, "end_sentence": -(-b // 4)}
            for d, (a, b) in draw(SPANS)
        ]
        annotations.append(
            {
                "annotation_id": f"{number}",
                "classification": draw(st.sampled_from("AB")),
                "evidences": [[e] for e in evidence],
            }
        )
        rationales = []
        for docid in draw(st.lists(st.sampled_from(["x", "y"]), min_size=1, max_size=2, unique=True)):
            spans = {draw(SPAN) for _ in range(draw(st.integers(0 if number or rationales else 1, 3)))}
            rationales.append(
                {
                    "docid": docid,
                    "hard_rationale_predictions": [{"start_token": a, "end_token": b} for a, b in spans],
                    "soft_rationale_predictions": draw(SCORES),
                    "soft_sentence_predictions": draw(SCORES)[:3],
                }
            )
        classes = {}
        for key in (
            "classification_scores",
            "comprehensiveness_classification_scores",
            "sufficiency_classification_scores",
        ):
            share = draw(SHARE)
            classes[key] = {"A": share, "B": 1 - share}
        thresholds = [{"threshold": t, **classes} for t in (0.5, 0.1)]
        instances.append(
            {"annotation_id": f"{number}", "rationales": rationales, "classification": draw(st.sampled_from("AB"))}
            | classes
            | {"thresholded_scores": thresholds}
        )
    return instances, annotations


def f1(p: float, r: float) -> float:
    return 2 * p * r / (p + r) if p and r else 0.0


def oracle_hard(instances: list[dict], annotations: list[dict], threshold: float) -> dict[str, Any]:
    """Spans and words as sets, one loop inside the other."""
    gold = {
        (a["annotation_id"], e["docid"], e["start_token"], e["end_token"])
        for a in annotations
        for (e,) in a["evidences"]
    }
    made = {
        (i["annotation_id"], r["docid"], s["start_token"], s["end_token"])
        for i in instances
        for r in i["rationales"]
        for s in r["hard_rationale_predictions"]
    }

    def iou(a: tuple, b: tuple) -> float:
        x, y = set(range(*a[2:])), set(range(*b[2:]))
        return len(x & y) / len(x | y) if a[:2] == b[:2] and x | y else 0.0

    hits = [span for span in made if max((iou(span, other) for other in gold), default=0) >= threshold]
    keys = {span[:2] for span in gold | made}

    def of(spans: Any, key: tuple) -> int:
        return sum(span[:2] == key for span in spans)

    ps = [of(hits, k) / of(made, k) for k in keys if of(made, k)]
    rs = [of(hits, k) / of(gold, k) for k in keys if of(gold, k)]
    p, r = float(np.mean(ps)), float(np.mean(rs))
    micro = {
        "p": len(hits) / len(made),
        "r": len(hits) / len(gold),
        "f1": f1(len(hits) / len(made), len(hits) / len(gold)),
    }
    words = [{(*span[:2], word) for span in side for word in range(*span[2:])} for side in (made, gold)]
    return {
        "iou": {"threshold": threshold, "micro": micro, "macro": {"p": p, "r": r, "f1": f1(p, r)}},
        "rationale_prf": oracle_prf(made, gold),
        "token_prf": oracle_prf(*words),
    }


def oracle_prf(made: set, gold: set) -> dict[str, Any]:
    p, r = len(made & gold) / len(made), len(made & gold) / len(gold)
    rows = []
    for key in {item[:2] for item in made | gold}:
        a, b = ({item for item in side if item[:2] == key} for side in (made, gold))
        pair = (len(a & b) / len(a) if a else 0, len(a & b) / len(b) if b else 0)
        rows.append((*pair, f1(*pair)))
    macro = dict(zip(("p", "r", "f1"), np.mean(rows, axis=0).tolist(), strict=True))
    return {"instance_micro": {"p": p, "r": r, "f1": f1(p, r)}, "instance_macro": macro}


def oracle_soft(instances: list[dict], annotations: list[dict], field: str, unit: str) -> dict[str, float]:
    areas, precisions, rocs = [], [], []
    for instance, annotation in zip(instances, annotations, strict=True):
        for rationale in instance["rationales"]:
            scores = rationale[field]
            marked = [0] * len(scores)
            for (item,) in annotation["evidences"]:
                if item["docid"] == rationale["docid"]:
                    for place in range(item[f"start_{unit}"], item[f"end_{unit}"]):
                        marked[place] = 1
            precision, recall, _ = precision_recall_curve(marked, scores)
            areas.append(auc(recall, precision))
            if 0 < sum(marked) < len(marked):
                precisions.append(average_precision_score(marked, scores))
                rocs.append(roc_auc_score(marked, scores))
    mean = [float(np.mean(values)) if values else math.nan for values in (areas, precisions, rocs)]
    return dict(zip(("auprc", "average_precision", "roc_auc_score"), mean, strict=True))


@settings(deadline=None, max_examples=150)
@given(corpora(), st.sampled_from([0.1, 0.5, 1.0]))
def test_against_oracles(corpus: tuple[list[dict], list[dict]], threshold: float) -> None:
    instances, annotations = corpus
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            expected = oracle_hard(instances, annotations, threshold)
        except ZeroDivisionError:
            with pytest.raises(ValueError, match="divides by zero"):
                official_scores(instances, annotations, DOCUMENTS.__getitem__, (threshold,), (0.1, 0.5))
            return
        got = official_scores(instances, annotations, DOCUMENTS.__getitem__, (threshold,), (0.1, 0.5))
        same(got["iou_scores"], [expected["iou"]])
        same(got["rationale_prf"], expected["rationale_prf"])
        same(got["token_prf"], expected["token_prf"])
        same(got["token_soft_metrics"], oracle_soft(instances, annotations, "soft_rationale_predictions", "token"))
        same(got["sentence_soft_metrics"], oracle_soft(instances, annotations, "soft_sentence_predictions", "sentence"))
    classes = got["classification_scores"]
    for name, key in (("comprehensiveness", "comprehensiveness"), ("sufficiency", "sufficiency")):
        whole, other = "classification_scores", f"{key}_classification_scores"
        drops = [row[whole][row["classification"]] - row[other][row["classification"]] for row in instances]
        assert classes[name] == pytest.approx(np.mean(drops))
        assert classes[f"{name}_aopc"] == pytest.approx(np.mean(drops))
        assert classes[f"{name}_aopc_points"] == pytest.approx([np.mean(drops)] * 2)
        divergences = [sum(row[other][c] * math.log(row[other][c] / row[whole][c]) for c in "AB") for row in instances]
        assert classes[f"{name}_kl"] == pytest.approx(np.mean(divergences), abs=1e-9)
    truth = [row["classification"] for row in annotations]
    assert classes["accuracy"] == np.mean([a == b["classification"] for a, b in zip(truth, instances, strict=True)])


def test_two_halves_of_a_gold_span_pass_one() -> None:
    evidence = {"docid": "x", "start_token": 0, "end_token": 4}
    annotations = [{"annotation_id": "1", "classification": "A", "evidences": [[evidence]]}]
    halves = [{"start_token": 0, "end_token": 2}, {"start_token": 2, "end_token": 4}]
    instances = [{"annotation_id": "1", "rationales": [{"docid": "x", "hard_rationale_predictions": halves}]}]
    (scores,) = official_scores(instances, annotations, DOCUMENTS.__getitem__)["iou_scores"]
    assert scores["macro"] == {"p": 1.0, "r": 2.0, "f1": pytest.approx(4 / 3)}


def test_without_hard_rationales_in_the_first_instance_there_are_no_hard_figures() -> None:
    rationales = [{"docid": "x", "hard_rationale_predictions": [], "soft_rationale_predictions": [0.5] * 9}]
    instances = [{"annotation_id": "1", "rationales": rationales}]
    annotations = [{"annotation_id": "1", "classification": "A", "evidences": []}]
    got = official_scores(instances, annotations, DOCUMENTS.__getitem__)
    assert got.keys() == {"token_soft_metrics"} and got["token_soft_metrics"]["auprc"] == 0.5


def test_missing_thresholds_are_named() -> None:
    half = {"A": 0.5, "B": 0.5}
    keys = ("classification_scores", "comprehensiveness_classification_scores", "sufficiency_classification_scores")
    instance = {"annotation_id": "7", "rationales": [], "classification": "A"} | dict.fromkeys(keys, half)
    instance["thresholded_scores"] = []
    annotations = [{"annotation_id": "7", "classification": c, "evidences": []} for c, _ in product("A", "x")]
    with pytest.raises(ValueError, match=r"'7' does not have the AOPC thresholds 0\.01"):
        official_scores([instance], annotations, DOCUMENTS.__getitem__)
