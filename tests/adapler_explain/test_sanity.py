"""The sanity checks pass what they should, and catch what they are for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from adapler_explain import cli
from adapler_explain.classifier import Classifier
from adapler_explain.sanity import Checked, check, mean_correlation, randomised
from adapler_explain.windows import TextError, Window
from eraser_eval.datasets import from_rows
from eraser_eval.records import Example

WORDS = ["the", "film", "was", "good", ",", "not", "bad", "xyz", "weiß"]
METHODS = ("adapler", "input-x-gradient", "attention", "random", "first-words")


@pytest.fixture(scope="module")
def figures(checkpoint: Path) -> dict:
    generator = np.random.default_rng(0)
    rows = [{"text": " ".join(generator.choice(WORDS, 30)), "label": "POS", "id": str(n)} for n in range(5)]
    return check(Checked(Classifier.load(checkpoint), from_rows(rows, "own").examples, METHODS))


def test_what_sees_no_model_does_not_change_with_it(figures: dict) -> None:
    """The check catches it: an explanation of the text alone has correlation 1."""
    for method in ("random", "first-words"):
        assert figures["methods"][method] == dict.fromkeys(figures["methods"][method], pytest.approx(1.0))
    assert figures["methods"]["input-x-gradient"]["randomised"] < 0.9
    assert figures["methods"]["input-x-gradient"]["other_class"] < 1
    assert figures["methods"]["adapler"]["other_class"] == pytest.approx(1.0)


def test_the_same_text_has_the_same_explanation(figures: dict) -> None:
    for method in METHODS:
        assert figures["methods"][method]["same_text"] == pytest.approx(1.0, abs=1e-6)


def test_dropped_words_are_not_needed_where_they_were_dropped(figures: dict) -> None:
    found = figures["by_construction"]
    assert len(found["largest_change_by_layer"]) == 3 and max(found["largest_change_by_layer"]) < 1e-6
    assert 0 <= found["same_class_from_kept_words"] <= 1 and found["mean_change_from_kept_words"] > 1e-4


def test_agreement_is_of_every_two_methods(figures: dict) -> None:
    assert len(figures["agreement"]) == len(METHODS) * (len(METHODS) - 1) // 2
    for row in figures["agreement"]:
        assert -1 <= row["kendall_tau"] <= 1 and 0 <= row["top_words_in_common"] <= 1


def test_new_weights_leave_the_old_ones(checkpoint: Path) -> None:
    classifier = Classifier.load(checkpoint)
    before = {name: weight.clone() for name, weight in classifier.model.named_parameters()}
    drawn = randomised(classifier, 0, last_layer_only=True)
    for name, weight in classifier.model.named_parameters():
        assert torch.equal(weight, before[name])
    changed = {n for n, w in drawn.model.named_parameters() if not torch.equal(w, before[n])}
    assert changed and all(".2." in name or name.startswith(("classifier", "bert.pooler")) for name in changed)
    assert "bert.pooler.dense.weight" in changed
    assert mean_correlation([np.zeros(5)], [np.arange(5.0)]) is None


def test_the_command(checkpoint: Path, data_root: Path, tmp_path: Path) -> None:
    file = tmp_path / "sanity.json"
    words = ["sanity", "--dataset", "movies", "--data-root", str(data_root), "--model", str(checkpoint)]
    shown = CliRunner().invoke(cli.app, [*words, "--json", str(file)], catch_exceptions=False).output
    assert "all weights drawn anew" in shown and "By construction" in shown
    assert json.loads(file.read_text())["documents"] == 4


def test_what_cannot_be_read_in_capitals_does_not_count(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = Classifier.load(checkpoint)
    windows_of = classifier.windows_of

    def small_letters(example: Example) -> list[Window]:
        if "XYZ" in example.words:
            raise TextError("no piece")
        return windows_of(example)

    rows = [{"text": f"the film was {word} , not bad", "label": "POS"} for word in ("xyz", "good")]
    monkeypatch.setattr(classifier, "windows_of", small_letters)
    examples = from_rows(rows, "own").examples
    found = check(Checked(classifier, examples, ("saliency", "random")))
    assert found["methods"]["saliency"]["same_text"] == pytest.approx(1.0, abs=1e-6)
    alone = check(Checked(classifier, examples[:1], ("saliency",)))
    assert alone["methods"]["saliency"]["same_text"] is None
