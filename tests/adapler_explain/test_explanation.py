"""One call explains any supported classifier; what it gives away is harmless wherever it is put."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import SHAPE
from families import CONFIGS, tiny, trained
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
    BertPreTrainedModel,
)
from typer.testing import CliRunner

from adapler_explain import cli, explain
from adapler_explain.classifier import Classifier
from adapler_explain.explanation import Explanation
from adapler_explain.modeling import stock_class
from eraser_eval.errors import MissingError, UsageError
from eraser_eval.escape import latex

TEXT = "the film was good , not bad <b> & 50% \\x{y}"


@pytest.fixture(scope="module")
def stock(stock_checkpoint: Path) -> tuple:
    model = AutoModelForSequenceClassification.from_pretrained(stock_checkpoint)
    return model, AutoTokenizer.from_pretrained(stock_checkpoint)


@pytest.mark.parametrize("method", ["input-x-gradient", "integrated-gradients", "attention@1", "occlusion", "lime"])
def test_a_stock_model_is_explained_and_left_as_it_was(stock: tuple, method: str) -> None:
    model, tokenizer = stock
    model.train()
    made = explain(model, tokenizer, "the film was good", method)
    assert model.training and isinstance(made, Explanation)
    assert made.words == ("the", "film", "was", "good") and made.scores.shape == (4,)
    assert made.target == made.label == max(made.probabilities, key=made.probabilities.get)
    assert made.cost.forward > 0 and made.seconds > 0
    ranked = [score for _, score in made.top(4)]
    assert ranked == sorted(ranked, reverse=True)


def test_modules_are_left_as_they_were_and_gradients_are_always_on(stock: tuple) -> None:
    model, tokenizer = stock
    model.train()
    model.bert.embeddings.eval()
    before = [module.training for module in model.modules()]
    with torch.inference_mode():
        made = explain(model, tokenizer, "the film was good", target=np.int64(1))
    assert made.target == "POS" and np.ptp(made.scores) > 0
    assert [module.training for module in model.modules()] == before and not all(before)


def test_a_line_is_a_sentence(stock: tuple) -> None:
    scores = explain(*stock, "the film\nwas not bad", "occlusion-sentence").scores
    assert scores[0] == scores[1] != scores[2] == scores[3] == scores[4]


@pytest.mark.parametrize("family", CONFIGS)
def test_every_family_is_explained(family: str) -> None:
    model = tiny(family)
    made = explain(model.eval(), trained(family), "kist lum", "saliency", target=0)
    assert np.isfinite(made.scores).all() and len(made.scores) == 2
    assert stock_class(model) is not type(model)


def test_several_texts_are_explained_together_as_they_are_alone(stock: tuple) -> None:
    texts = ["good", "the film was bad , " * 9, "xyz film"]
    together = explain(*stock, texts, "saliency", target="POS")
    for one, text in zip(together, texts, strict=True):
        np.testing.assert_allclose(one.scores, explain(*stock, text, "saliency", target=1).scores, rtol=1e-5, atol=1e-5)
        assert one.target == "POS"


def test_what_a_text_draws_does_not_depend_on_the_texts_beside_it(stock: tuple) -> None:
    together = explain(*stock, ["bad", "good film ."], "lime")
    np.testing.assert_allclose(together[1].scores, explain(*stock, "good film .", "lime").scores, atol=1e-6)
    assert not np.array_equal(together[1].scores, explain(*stock, "good film .", "lime", seed=1).scores)


@pytest.mark.parametrize("prunes", [False, True])
def test_weights_that_were_changed_behind_torch_s_back_are_the_new_ones(stock: tuple, prunes: bool) -> None:
    model = tiny("bert").eval() if prunes else copy.deepcopy(stock[0])
    explain(model, stock[1], TEXT, "occlusion")
    for weight in model.parameters():
        weight.data.mul_(1.5)
    ours = explain(model, stock[1], TEXT, "occlusion")
    fresh = explain(copy.deepcopy(model), stock[1], TEXT, "occlusion")
    assert ours.probabilities == fresh.probabilities and np.array_equal(ours.scores, fresh.scores)


def test_a_classifier_of_one_s_own_and_a_compiled_one_are_explained(stock: tuple) -> None:
    class Own(BertPreTrainedModel):
        def __init__(self, config: BertConfig) -> None:
            super().__init__(config)
            other = copy.deepcopy(stock[0])
            self.bert, self.dropout, self.classifier = other.bert, other.dropout, other.classifier

    expected = explain(*stock, "good film").scores
    for model in (Own(stock[0].config), torch.compile(copy.deepcopy(stock[0]), backend="eager")):
        np.testing.assert_allclose(explain(model, stock[1], "good film").scores, expected, rtol=1e-5)


def test_autocast_around_it_changes_nothing(stock: tuple) -> None:
    alone = explain(*stock, "the film was good")
    with torch.autocast("cpu", torch.bfloat16):
        assert np.array_equal(explain(*stock, "the film was good").scores, alone.scores)


def test_classes_that_do_not_exclude_each_other(stock: tuple) -> None:
    model = copy.deepcopy(stock[0])
    model.config.problem_type = "multi_label_classification"
    made = explain(model, stock[1], "good film")
    with torch.inference_mode():
        expected = model.eval()(**stock[1]("good film", return_tensors="pt")).logits.sigmoid()[0]
    assert list(made.probabilities.values()) == pytest.approx(expected.tolist(), abs=1e-5)
    with torch.no_grad():
        model.classifier.bias.fill_(torch.nan)
    with pytest.raises(MissingError, match="no finite probabilities"):
        explain(model, stock[1], "good film")


def test_a_column_of_a_table_is_a_list(stock: tuple) -> None:
    table = pd.DataFrame({"text": ["good film", "the end"], "pair": ["bad", "good"]}, index=[1, 0])
    made = explain(*stock, table.text, "random", pair=table.pair)
    assert [one.words for one in made] == [("good", "film", "bad"), ("the", "end", "good")]


def test_pairs_and_queries(stock: tuple) -> None:
    pair = explain(*stock, "good film", "saliency", pair="bad end")
    assert pair.words == ("good", "film", "bad", "end")
    asked = explain(*stock, "good film", "saliency", query="bad end")
    assert asked.words == ("good", "film") and not np.allclose(asked.scores, pair.scores[:2])


def test_what_cannot_be_explained_is_said(stock: tuple) -> None:
    for options, reason in (
        ({"method": "adapler"}, "no AdapLeR checkpoint"),
        ({"method": "gold"}, "a text has no marks"),
        ({"method": "nothing"}, "unknown; choose from"),
        ({"target": "other"}, "target other: choose from NEG, POS"),
        ({"target": 2}, "target 2"),
        ({"pool": "median"}, "pool median: choose from max, sum, mean"),
        ({"sign": "abs"}, "sign abs: choose from signed, absolute"),
        ({"pair": ["one", "two"]}, "pair: 2 for 1 texts; give one for each"),
        ({"pair": []}, "pair: 0 for 1 texts"),
        ({"batch_size": 0}, "--batch-size 0: give a number of windows above 0"),
        ({"batch_size": "many"}, "--batch-size many"),
        ({"operating_point": 2.0}, "operating_point 2.0: the model is no AdapLeR checkpoint"),
        ({"method": "attention@\u00b2"}, "method attention@\u00b2: give a layer from 0"),
        ({"seed": -1}, "seed -1: give a number from 0"),
        ({"seed": "1"}, "seed 1: give a number from 0"),
        ({"window_pieces": 0}, "window_pieces 0: give a number"),
        ({"operating_point": None}, "operating_point: give a number"),
        ({"window_pieces": "20"}, "window_pieces 20: give a number"),
        ({"query": "\udcff"}, "half of a surrogate pair"),
    ):
        with pytest.raises(UsageError, match=reason):
            explain(*stock, "good film", **options)
    with pytest.raises(UsageError, match="no words"):
        explain(*stock, "  ")
    for kind in (BertModel, BertForMaskedLM, BertForTokenClassification):
        with pytest.raises(UsageError, match=f"^{kind.__name__} is no sequence classifier"):
            explain(kind(stock[0].config), stock[1], "good film")
    for options in ({"num_labels": 1}, {"num_labels": 3, "problem_type": "regression"}):
        with pytest.raises(UsageError, match="numbers and no classes"):
            explain(BertForSequenceClassification(BertConfig(**SHAPE, **options)), stock[1], "good film")


def test_adapler_explains_itself(checkpoint: Path) -> None:
    classifier = Classifier.load(checkpoint)
    made = explain(classifier.model, classifier.tokenizer, TEXT, "adapler")
    (scores,) = [explain(classifier.model, classifier.tokenizer, [TEXT], "adapler")[0].scores]
    assert np.array_equal(made.scores, scores) and made.scores.max() < 4


def test_what_is_given_away_is_escaped(stock: tuple) -> None:
    made = explain(*stock, TEXT, "random")
    page = made.to_html()
    assert page == made._repr_html_() and "<b>" not in page and "&lt;b&gt;" in page
    assert len(re.findall("<span", page)) == len(made.words)
    text = made.to_latex()
    assert r"50\%" in text and r"\textbackslash{}x\{y\}" in text and r"\textless{}b\textgreater{}" in text
    assert text.count(r"\colorbox[RGB]") == len(made.words)
    for colour in re.findall(r"\[RGB\]\{(\d+),(\d+),(\d+)\}", text):
        assert all(0 <= int(part) <= 255 for part in colour)
    assert json.loads(json.dumps(made.to_dict()))["words"] == list(made.words)
    assert latex('"') == r"\char34{}"
    assert latex("\x1b[1m") == r"\textbackslash{}x1b[1m"


def test_the_command(checkpoint: Path, tmp_path: Path) -> None:
    run = CliRunner().invoke
    shown = run(cli.app, ["explain", "good film", "--model", str(checkpoint)], catch_exceptions=False).output
    assert "AdapLeR (kept words): predicted" in shown and "  film\n" in shown
    for form, begin in (("json", "{"), ("html", "<!doctype html>"), ("latex", "{\\setlength")):
        file = tmp_path / f"made.{form}"
        run(
            cli.app,
            ["explain", "good film", "--model", str(checkpoint), "--format", form, "--output", str(file)],
            catch_exceptions=False,
        )
        assert file.read_text().startswith(begin)
    with pytest.raises(UsageError, match="--format pdf"):
        run(cli.app, ["explain", "good", "--format", "pdf"], catch_exceptions=False)
    with pytest.raises(UsageError, match=r"^--method nope: unknown"):
        run(cli.app, ["explain", "good", "--method", "nope"], catch_exceptions=False)
    asked = ["explain", "good film", "--model", str(checkpoint), "--method", "integrated-gradients"]
    assert "completeness error" in run(cli.app, asked, catch_exceptions=False).output
