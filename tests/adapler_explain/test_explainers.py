"""Explainers against independent computations, and properties over the whole table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from captum.attr import LayerGradientXActivation, LayerIntegratedGradients
from conftest import tiny_model

from adapler_explain.classifier import Classifier
from adapler_explain.explainers import EXPLAINERS
from adapler_explain.explainers.adapler import alive_in, survival
from adapler_explain.explainers.gradient import STEPS
from adapler_explain.explainers.request import Request

WORDS = ["the", "film", "was", "good", ",", "not", "bad"] * 6


@pytest.fixture
def request_(checkpoint: Path) -> Request:
    classifier = Classifier.load(checkpoint)
    return Request(classifier, classifier.windows(WORDS), target=1, seed=3)


@pytest.mark.parametrize("name", EXPLAINERS)
def test_scores_fit_the_windows_repeat_and_do_not_depend_on_the_batch(request_: Request, name: str) -> None:
    explain = EXPLAINERS[name].explain
    scores = explain(request_)
    assert [len(values) for values in scores] == [len(window) for window in request_.windows]
    assert all(np.isfinite(values).all() for values in scores)
    small = Request(request_.classifier, request_.windows, 1, 3, batch_size=1)
    for together, alone in zip(scores, explain(small), strict=True):
        np.testing.assert_allclose(together, alone, atol=2e-5)
    assert any(values.std() > 0 for values in scores)


@pytest.mark.parametrize("name", [name for name, row in EXPLAINERS.items() if row.relative])
def test_relative_scores_are_shares_of_a_window(request_: Request, name: str) -> None:
    for values in EXPLAINERS[name].explain(request_):
        assert (values >= 0).all()
        assert values.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", ["saliency", "input-x-gradient", "integrated-gradients", "lrp"])
def test_gradients_depend_on_the_target(request_: Request, name: str) -> None:
    other = Request(request_.classifier, request_.windows, target=0, seed=3)
    explain = EXPLAINERS[name].explain
    assert not np.allclose(explain(request_)[0], explain(other)[0])


def test_survival_counts_layers_and_breaks_ties_below_one(request_: Request) -> None:
    scores = survival(request_)
    with torch.no_grad():
        output = request_.classifier.forward(request_.windows, prune=True)
    for row, (values, window) in enumerate(zip(scores, request_.windows, strict=True)):
        for layer, alive in enumerate(output.alive):
            assert alive_in(values, layer).tolist() == alive[row, : len(window)].tolist()
        fell_first = ~output.alive[0][row, : len(window)].numpy()
        margins = output.margins[0][row, : len(window)].numpy()
        np.testing.assert_allclose(values[fell_first], margins[fell_first], rtol=1e-5)


def test_attention_reads_the_last_layers_cls_row_without_removal(request_: Request) -> None:
    model = tiny_model(attn_implementation="eager")
    model.load_state_dict(request_.classifier.model.state_dict())
    batch = request_.classifier.batch(request_.windows)
    with torch.no_grad():
        attentions = model(**batch, prune=False, output_attentions=True).attentions
    expected = attentions[-1].mean(1)[:, 0].numpy()
    for values, row in zip(EXPLAINERS["attention"].explain(request_), expected, strict=True):
        np.testing.assert_allclose(values, row[: len(values)], atol=1e-6)


def test_input_x_gradient_is_captums(request_: Request) -> None:
    classifier = request_.classifier
    inputs = classifier.batch(request_.windows)

    def logit(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return classifier.model(input_ids=ids, attention_mask=mask, prune=False).logits[:, 1]

    method = LayerGradientXActivation(logit, classifier.model.bert.embeddings, multiply_by_inputs=True)
    expected = method.attribute(inputs["input_ids"], additional_forward_args=(inputs["attention_mask"],)).norm(dim=-1)
    for values, row in zip(EXPLAINERS["input-x-gradient"].explain(request_), expected.detach().numpy(), strict=True):
        np.testing.assert_allclose(values, row[: len(values)], rtol=1e-4, atol=1e-6)


def test_integrated_gradients_are_captums(request_: Request) -> None:
    classifier = request_.classifier
    inputs = classifier.batch(request_.windows)
    ids = inputs["input_ids"]

    def logit(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return classifier.model(input_ids=ids, attention_mask=mask, prune=False).logits[:, 1]

    method = LayerIntegratedGradients(logit, classifier.model.bert.embeddings)
    expected = method.attribute(
        ids,
        baselines=torch.where((ids == 2) | (ids == 3), ids, 0),
        additional_forward_args=(inputs["attention_mask"],),
        n_steps=STEPS,
        internal_batch_size=16,
    ).sum(-1)
    found = EXPLAINERS["integrated-gradients"].explain(request_)
    for values, row in zip(found, expected.detach().numpy(), strict=True):
        np.testing.assert_allclose(values, row[: len(values)], rtol=1e-3, atol=1e-4)


def test_relevances_are_signed_and_conserved(request_: Request) -> None:
    """Without biases they sum to the logit."""
    classifier = request_.classifier
    with torch.no_grad():
        for name, parameter in classifier.model.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
    scores = EXPLAINERS["lrp"].explain(request_)
    logits = classifier.logits(request_.windows, prune=False)[:, 1].numpy()
    np.testing.assert_allclose([values.sum() for values in scores], logits, rtol=1e-4, atol=1e-4)
    assert min(values.min() for values in scores) < 0


def test_random_gives_all_pieces_of_a_word_one_score_and_follows_the_seed(request_: Request) -> None:
    a = EXPLAINERS["random"].explain(request_)
    for values, window in zip(a, request_.windows, strict=True):
        owners = np.asarray(window.words)
        assert all(len(set(values[owners == word])) == 1 for word in set(window.words) - {-1})
    other = Request(request_.classifier, request_.windows, 1, seed=4)
    assert not np.array_equal(a[0], EXPLAINERS["random"].explain(other)[0])
