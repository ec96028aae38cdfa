"""Aggregates and intervals against slow, obvious ones; reports and figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import bootstrap as scipy_bootstrap

from eraser_eval import plots, report, score
from eraser_eval.bootstrap import Bootstrap, Estimate, jackknife
from eraser_eval.metrics import METRICS
from eraser_eval.metrics.metric import Metric
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
        "signatures": {name: f"{name}|n:30" for name in METRICS},
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
        shared = [name for name in METRICS if name in summary[method]]
        assert len(shared) == 19
        for name in shared:
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


def estimate_of(draws: Bootstrap, values: np.ndarray, metric: Metric = METRICS["fpr"]) -> Estimate:
    return draws.estimate(metric.aggregate(tuple(draws.means(values).T)), jackknife(values, metric))


@pytest.mark.parametrize("interval", ["percentile", "bca"])
def test_interval_against_scipy(interval: str) -> None:
    values = np.random.default_rng(3).gamma(2.0, size=40)
    estimate = estimate_of(Bootstrap(40, seed=1, resamples=20_000, interval=interval), values[:, None])
    method = {"percentile": "percentile", "bca": "BCa"}[interval]
    expected = scipy_bootstrap(
        (values,), np.mean, n_resamples=20_000, method=method, rng=np.random.default_rng(9)
    ).confidence_interval
    assert estimate.value == pytest.approx(values.mean())
    assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high), rel=0.02)


def test_examples_where_a_metric_is_undefined_are_left_out() -> None:
    values = np.random.default_rng(3).gamma(2.0, size=40)
    values[5] = np.nan
    estimate = estimate_of(Bootstrap(40, seed=1, resamples=4000), values[:, None])
    generator = np.random.default_rng(99)
    means = [np.nanmean(values[generator.integers(0, 40, 40)]) for _ in range(4000)]
    assert estimate.value == pytest.approx(np.nanmean(values))
    assert [estimate.low, estimate.high] == pytest.approx(np.quantile(means, [0.025, 0.975]), rel=0.03)
    without = [np.nanmean(np.delete(values, number)) for number in range(40)]
    assert jackknife(values[:, None], METRICS["fpr"]) == pytest.approx(without)


def test_resamples_in_blocks_are_the_same_as_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).random((7, 2))
    whole = np.concatenate(list(Bootstrap(7, resamples=50).draws()))
    assert whole.shape == (50, 7) and (whole.sum(1) == 7).all()
    monkeypatch.setattr("eraser_eval.bootstrap.BLOCK_WORDS", 21)
    parts = list(Bootstrap(7, resamples=50).draws())
    assert len(parts) == 17 and (np.concatenate(parts) == whole).all()
    assert Bootstrap(7, resamples=50).means(values)[0] == pytest.approx(values.mean(0))


def test_equal_methods_differ_by_exactly_nothing() -> None:
    examples, predictions = corpus()
    predictions["other"] = predictions["adapler"]
    for row in score.summary(score.per_document(examples, predictions))["other"]["difference_to_adapler"].values():
        assert (row["value"], row["low"], row["high"]) == (0, 0, 0)
        assert (row["p"], row["effect_size"]) == (1, None)


def test_undefined_everywhere_is_none() -> None:
    estimate = estimate_of(Bootstrap(4), np.full((4, 1), np.nan))
    assert estimate.as_dict() == {"value": None, "low": None, "high": None}


def test_a_method_that_covers_a_part_is_compared_on_it() -> None:
    examples, predictions = corpus()
    predictions["other"] = predictions["other"][:12]
    summary = score.summary(score.per_document(examples, predictions))
    assert (summary["adapler"]["documents"], summary["other"]["documents"]) == (30, 12)
    both = {method: made[:12] for method, made in predictions.items()}
    part = score.summary(score.per_document(examples[:12], both))
    assert summary["other"] == part["other"]
    with pytest.raises(ValueError, match="'other' has no prediction for any"):
        score.per_document(examples, {"other": []})


NUMBERS = ["average_precision", "fpr"]


def test_a_metric_is_compared_where_both_systems_have_it() -> None:
    examples, predictions = corpus()
    table = score.per_document(examples, predictions)
    table.loc[table.index[table["method"] == "other"][:25], "average_precision"] = np.nan
    found = score.summary(table)["other"]
    assert (found["average_precision"]["n"], found["difference_to_adapler"]["average_precision"]["n"]) == (5, 5)
    part = score.summary(table[table["annotation_id"].isin([f"e{n}" for n in range(25, 30)])])
    expected = part["other"]["average_precision"]["value"] - part["adapler"]["average_precision"]["value"]
    assert found["difference_to_adapler"]["average_precision"]["value"] == pytest.approx(expected)
    effects = [
        row["other"]["difference_to_adapler"]["average_precision"]["effect_size"]
        for row in (score.summary(table), part)
    ]
    assert effects[0] == pytest.approx(effects[1])


def test_runs_are_averaged_and_widen_the_interval() -> None:
    """Two seeds: the value is their mean, and the interval covers both where a single seed's does not."""
    examples, one = corpus(0)
    two = {method: [replace(p, scores=flipped(p.scores)) for p in made] for method, made in one.items()}
    tables = [score.per_document(examples, made) for made in (one, two)]
    first, second, both = (score.summary(runs)["adapler"] for runs in (tables[0], tables[1], tables))
    name = "average_precision"
    assert both["runs"] == 2
    assert both[name]["value"] == pytest.approx((first[name]["value"] + second[name]["value"]) / 2)
    assert both[name]["low"] < first[name]["value"] - 0.1 and both[name]["high"] > second[name]["value"] + 0.1
    assert both["fpr"]["value"] == pytest.approx(first["fpr"]["value"])
    # The order of runs decides nothing, and two runs of a system differ from themselves by chance only.
    assert score.summary(tables[::-1])["adapler"][name]["value"] == pytest.approx(both[name]["value"])
    same = [table.assign(method=table["method"].replace("other", "again")) for table in tables]
    for table in same:
        table.loc[table["method"] == "again", NUMBERS] = table.loc[table["method"] == "adapler", NUMBERS].to_numpy()
    difference = score.summary(same)["again"]["difference_to_adapler"][name]
    assert difference["low"] < -0.1 < 0.1 < difference["high"] and difference["p"] is None
    with pytest.raises(ValueError, match="do not cover the same documents"):
        score.summary([tables[0], tables[1].iloc[1:]])


def flipped(scores: Mapping[str, tuple[float, ...]]) -> dict[str, tuple[float, ...]]:
    return {docid: tuple(-score for score in row) for docid, row in scores.items()}


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
    assert lines[0].count("|") == lines[2].count("|") == len(report.SHOWN) + 3
    assert lines[2].startswith("| adapler | 0.") and "*" not in lines[2]
    assert "*" in lines[3]
    assert lines[4].startswith("| *chance* |")
    assert "bundled sample" in text and "4.00× fewer FLOPs" in text and "only 30 of 100 documents" in text
    assert "Films & \\<more\\>" in text
    differences = text[text.index("| method − adapler |") :].splitlines()
    assert differences[2].startswith("| other | +") and len(differences[2].split("|")) == len(report.SHOWN) + 3
    report.terminal(figures())
    printed = capsys.readouterr().out
    assert "adapler" in printed and "chance" in printed and "bundled sample" in printed


def test_figures_are_written_and_repeat_to_the_byte(tmp_path: Path) -> None:
    for name in ("one", "two"):
        plots.save(plots.comparison(figures(), {"adapler": "AdapLeR"}), tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert (tmp_path / "one.pdf").read_bytes() == (tmp_path / "two.pdf").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.pdf", "one.png", "two.pdf", "two.png"]


def test_the_verdict_names_each_side() -> None:
    def row(value: float, p: float) -> dict:
        return {"difference_to_adapler": {"fpr": {"value": value, "p_holm": p}}}

    methods = {"adapler": {}, "a": row(0.1, 0.01), "b": row(-0.1, 0.04), "c": row(0.1, 0.05), "d": row(0.2, 0.001)}
    (line,) = report.verdict({"methods": methods})
    assert line.endswith("more: a, d; fewer: b; no significant difference: c.")
    assert report.verdict({"methods": {"adapler": {}}}) == []
