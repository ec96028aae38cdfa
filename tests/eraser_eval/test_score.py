"""Aggregates and intervals against slow, obvious ones; reports and figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eraser_eval import plots, report, score
from eraser_eval.bootstrap import Bootstrap
from eraser_eval.metrics import METRICS
from eraser_eval.records import Document, Example, Prediction, spans_of


def corpus(seed: int = 0, documents: int = 30) -> tuple[list[Example], dict[str, list[Prediction]]]:
    """Random documents with evidence; method ``adapler`` knows it well, ``other`` hardly."""
    generator = np.random.default_rng(seed)
    examples, predictions = [], {"adapler": [], "other": []}
    for number in range(documents):
        document = Document(f"d{number}", (tuple(f"w{i}" for i in range(generator.integers(10, 40))),))
        gold = generator.random(len(document.words)) < 0.3
        gold[0] = True
        spans = spans_of(gold, [document])
        examples.append(Example(f"e{number}", (document,), ("NEG", "POS")[number % 2], tuple((s,) for s in spans)))
        for method, skill in (("adapler", 2.0), ("other", 0.3)):
            scores = skill * gold + generator.random(len(gold))
            extra = {"seconds": 0.5, "pieces": 10, "kept_per_layer": [8, 4], "flops_unpruned": 100, "flops_pruned": 25}
            predictions[method].append(
                Prediction(
                    f"e{number}",
                    "POS",
                    {"NEG": 0.4, "POS": 0.6},
                    {document.docid: tuple(scores)},
                    spans_of(scores > np.quantile(scores, 0.7), [document]),
                    extra,
                )
            )
    return examples, predictions


def figures() -> dict[str, Any]:
    examples, predictions = corpus()
    budgets = {p.id: sum(span.end - span.start for span in p.spans) for p in predictions["adapler"]}
    return {
        "dataset": "movies",
        "title": "Films & <more>",
        "source": "bundled sample",
        "split": "test",
        "documents": len(examples),
        "documents_in_split": 100,
        "target": "predicted",
        "data_checksum": "sha256:0",
        "model": "m",
        "model_checksum": "sha256:1",
        "explained": "the same weights",
        "prevalence": 0.3,
        "classification": {name: {"accuracy": 0.5, "macro_f1": 0.3} for name in ("pruned", "unpruned")},
        "efficiency": score.efficiency(predictions["adapler"]),
        "chance": score.chance_levels(examples, budgets),
        "methods": score.summary(score.per_document(examples, predictions)),
    }


def test_values_are_means_over_documents_and_differences_their_differences() -> None:
    examples, predictions = corpus()
    table = score.per_document(examples, predictions)
    summary = score.summary(table)
    for method in predictions:
        group = table[table["method"] == method]
        assert summary[method]["fpr"]["value"] == pytest.approx(group["fpr"].mean())
        precision, recall = group["iou_precision"].mean(), group["iou_recall"].mean()
        expected = 2 * precision * recall / (precision + recall) if precision + recall else 0
        assert summary[method]["iou_f1"]["value"] == pytest.approx(expected)
        for name in METRICS:
            estimate = summary[method][name]
            assert estimate["low"] <= estimate["value"] <= estimate["high"]
    difference = summary["other"]["difference_to_adapler"]["average_precision"]
    expected = summary["other"]["average_precision"]["value"] - summary["adapler"]["average_precision"]["value"]
    assert difference["value"] == pytest.approx(expected)
    assert difference["low"] < difference["high"] < 0
    assert "difference_to_adapler" not in summary["adapler"]


def test_order_of_predictions_does_not_matter_and_repetition_gives_the_same() -> None:
    examples, predictions = corpus()
    shuffled = {method: made[::-1] for method, made in predictions.items()}
    assert score.summary(score.per_document(examples, predictions)) == score.summary(
        score.per_document(examples, shuffled)
    )


def test_interval_against_one_resample_at_a_time() -> None:
    values = np.random.default_rng(3).gamma(2.0, size=40)
    values[5] = np.nan
    estimate = Bootstrap(40, seed=1, resamples=4000).estimate(METRICS["fpr"], values[:, None])
    generator = np.random.default_rng(99)
    means = [np.nanmean(values[generator.integers(0, 40, 40)]) for _ in range(4000)]
    assert estimate.value == pytest.approx(np.nanmean(values))
    assert [estimate.low, estimate.high] == pytest.approx(np.quantile(means, [0.025, 0.975]), rel=0.03)


def test_equal_methods_differ_by_exactly_nothing() -> None:
    columns = np.random.default_rng(0).random((20, 1))
    estimate = Bootstrap(20).difference(METRICS["fpr"], columns, columns)
    assert (estimate.value, estimate.low, estimate.high) == (0, 0, 0)


def test_undefined_everywhere_is_none() -> None:
    estimate = Bootstrap(4).estimate(METRICS["fpr"], np.full((4, 1), np.nan))
    assert estimate.as_dict() == {"value": None, "low": None, "high": None}


def test_a_missing_prediction_is_named() -> None:
    examples, predictions = corpus()
    predictions["other"].pop()
    with pytest.raises(ValueError, match="'other' has no prediction for 'e29'"):
        score.per_document(examples, predictions)


def test_classification_and_efficiency_worked_by_hand() -> None:
    examples, predictions = corpus(documents=4)
    assert score.classification(examples, {p.id: p.label for p in predictions["adapler"]}) == {
        "accuracy": 0.5,
        "macro_f1": pytest.approx((0 + 2 / 3) / 2),
    }
    assert score.efficiency(predictions["adapler"]) == {"flops_speedup": 4.0, "kept_per_layer": [0.8, 0.4]}


def test_table_has_every_metric_interval_star_and_chance(capsys: pytest.CaptureFixture[str]) -> None:
    text = report.markdown(figures())
    lines = text.splitlines()
    assert lines[0].count("|") == lines[2].count("|") == len(METRICS) + 3
    assert lines[2].startswith("| adapler | 0.") and "*" not in lines[2]
    assert "*" in lines[3]
    assert lines[4].startswith("| *chance* |")
    assert "bundled sample" in text and "4.00× fewer FLOPs" in text and "only 30 of 100 documents" in text
    assert "Films & \\<more\\>" in text
    differences = text[text.index("| method − adapler |") :].splitlines()
    assert differences[2].startswith("| other | +") and len(differences[2].split("|")) == len(METRICS) + 3
    report.terminal(figures())
    printed = capsys.readouterr().out
    assert "adapler" in printed and "chance" in printed and "bundled sample" in printed


def test_figures_are_written_and_repeat_to_the_byte(tmp_path: Path) -> None:
    for name in ("one", "two"):
        plots.save(plots.comparison(figures(), {"adapler": "AdapLeR"}), tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert (tmp_path / "one.pdf").read_bytes() == (tmp_path / "two.pdf").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.pdf", "one.png", "two.pdf", "two.png"]
