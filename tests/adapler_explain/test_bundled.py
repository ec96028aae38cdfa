"""The bundled model on the bundled sample: it works, it drops pieces, and its figures are the golden ones."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from safetensors import safe_open

from adapler_explain.classifier import Classifier
from adapler_explain.evaluate import EvalConfig, evaluate
from eraser_eval.datasets import bundled
from eraser_eval.files import write_json

GOLDEN = Path(__file__).parents[1] / "golden" / "sample_12.json"


def test_weights_are_half_precision_and_small() -> None:
    path = bundled("models/adapler-movies") / "model.safetensors"
    assert path.stat().st_size < 50e6
    with safe_open(path, "pt") as file:
        assert {str(file.get_tensor(name).dtype) for name in file.keys()} == {"torch.float16"}  # noqa: SIM118


def test_verdicts_on_plain_sentences() -> None:
    classifier = Classifier.load(bundled("models/adapler-movies"))
    for text, label in (
        ("a wonderful , moving film with superb performances . i loved every minute .", "POS"),
        ("a dull , stupid mess . the acting is terrible and the plot makes no sense .", "NEG"),
    ):
        logits = classifier.forward(classifier.windows(text.split())).logits
        assert classifier.labels[int(logits.argmax())] == label


def golden(figures: dict) -> dict:
    """The figures of a run that must repeat, without times and names of files."""
    kept = {key: figures[key] for key in ("dataset", "source", "split", "documents", "data_checksum", "model_checksum")}
    kept |= {key: figures[key] for key in ("classification", "efficiency", "chance")}
    kept["methods"] = {
        method: {
            metric: value["value"] for metric, value in values.items() if isinstance(value, dict) and "value" in value
        }
        for method, values in figures["methods"].items()
    }
    return kept


def test_golden_run(tmp_path: Path) -> None:
    """Twelve sample documents, all default methods. A change that moves these figures on purpose runs the tests with
    ``ADAPLER_WRITE_GOLDEN=1`` once and says why in CHANGELOG.md.
    """
    _, figures = evaluate(EvalConfig("movies", limit=12, output_dir=str(tmp_path / "run")))
    if os.environ.get("ADAPLER_WRITE_GOLDEN"):
        write_json(GOLDEN, golden(figures))
    expected = json.loads(GOLDEN.read_text(encoding="utf-8"))
    got = golden(figures)
    assert got["classification"] == expected["classification"]
    assert got["model_checksum"] == expected["model_checksum"] and got["data_checksum"] == expected["data_checksum"]
    assert got["efficiency"]["flops_speedup"] == pytest.approx(expected["efficiency"]["flops_speedup"], rel=0.01)
    for method, metrics in expected["methods"].items():
        assert got["methods"][method] == pytest.approx(metrics, abs=0.01), method
