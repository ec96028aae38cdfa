"""Explainers against independent computations, and properties over the whole table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from captum.attr import FeatureAblation, LayerGradientXActivation, LayerIntegratedGradients
from conftest import tiny_model

from adapler_explain import flops
from adapler_explain.batches import Batches
from adapler_explain.classifier import Classifier
from adapler_explain.erasure import changed
from adapler_explain.explainers import EXPLAINERS, named, perturbation, title_of
from adapler_explain.explainers.adapler import alive_in, survival
from adapler_explain.explainers.gradient import STEPS
from adapler_explain.explainers.request import Asked, Request
from eraser_eval.errors import MissingError, UsageError
from eraser_eval.records import Document, Example, Span

WORDS = ["the", "film", "was", "good", ",", "not", "bad"] * 6
SHORT = ["a", "good", "film", "."]
QUICK = [name for name in EXPLAINERS if name not in ("lime", "kernel-shap", "shapley-sampling")]
PIECES = [name for name, row in EXPLAINERS.items() if row.unit == "piece"]


def asked(
    classifier: Classifier, words: Sequence[str] = WORDS, target: int = 1, seed: int = 3, query: str = ""
) -> Asked:
    sentences = tuple(tuple(words[begin : begin + 7]) for begin in range(0, len(words), 7))
    document = Document("d", sentences)
    evidence = ((Span("d", 1, 3),),) if len(words) > 2 else ()
    example = Example("d", (document,), "A", evidence, query)
    return Asked(example, classifier.windows_of(example), target, seed)


def of(classifier: Classifier, **options: object) -> Request:
    return Request(classifier, [asked(classifier, **options)])


@pytest.fixture
def classifier(checkpoint: Path) -> Classifier:
    return Classifier.load(checkpoint)


@pytest.fixture
def request_(classifier: Classifier) -> Request:
    return of(classifier)


# ---------------------------------------------------------------- the whole table


def test_what_no_model_is_asked_for_has_no_sign(request_: Request) -> None:
    for name in ("random", "first-words", "longest-words", "tf-idf"):
        one, other = (EXPLAINERS[name].word_scores(request_, sign=sign)[0] for sign in ("signed", "absolute"))
        assert np.array_equal(one, other), name


@pytest.mark.parametrize("name", ["occlusion", "leave-one-out", "lime", "kernel-shap", "shapley-sampling"])
def test_a_text_of_one_word(classifier: Classifier, name: str) -> None:
    request = of(classifier, words=["good"])
    (scores,) = EXPLAINERS[name].word_scores(request)
    assert scores.shape == (1,) and np.isfinite(scores).all()
    if name in ("kernel-shap", "shapley-sampling"):
        (window,) = request.windows
        gone = changed(window, np.array([True]), "pad", None)
        on, off = classifier.logits([window, gone], prune=False)[:, 1].tolist()
        assert scores[0] == pytest.approx(on - off, abs=1e-5)


def test_gradients_in_half_precision(checkpoint: Path) -> None:
    classifier = Classifier.load(checkpoint)
    classifier.model.to(torch.bfloat16)
    for name in ("input-x-gradient", "integrated-gradients", "gradient-shap"):
        (scores,) = EXPLAINERS[name].word_scores(of(classifier))
        assert np.isfinite(scores).all() and np.ptp(scores) > 0, name


def test_a_pruned_gradient_costs_less_than_the_whole_one(classifier: Classifier) -> None:
    costs = {}
    for name in ("saliency", "attention-x-gradient", "saliency-pruned"):
        request = of(classifier)
        EXPLAINERS[name].explain(request)
        costs[name] = request.asked[0].cost.flops
    config = classifier.model.config
    there = sum(flops.unpruned(config, len(window)) for window in of(classifier).windows)
    assert there < costs["attention-x-gradient"] < costs["saliency"]
    *_, output = next(iter(of(classifier).pruned()))
    assert sum(alive.sum() for alive in output.alive) < sum(alive.numel() for alive in output.alive)
    back = sum(flops.gradient(config, [len(window)] * config.num_hidden_layers) for window in of(classifier).windows)
    assert costs["saliency"] == there + back and costs["saliency-pruned"] < 2 * there + back


@pytest.mark.parametrize("name", EXPLAINERS)
def test_scores_fit_repeat_and_do_not_depend_on_the_batch(classifier: Classifier, name: str) -> None:
    words = SHORT if name not in QUICK else WORDS
    alone = [asked(classifier, words), asked(classifier, words[1:], seed=4)]
    explain = EXPLAINERS[name].word_scores
    together = explain(Request(classifier, alone, Batches(3)))
    assert [len(scores) for scores in together] == [len(words), len(words) - 1]
    assert all(np.isfinite(scores).all() for scores in together)
    for one, scores in zip(alone, together, strict=True):
        (again,) = explain(Request(classifier, [replace(one)], Batches(1)))
        np.testing.assert_allclose(scores, again, atol=2e-5)
    assert name in ("all", "lime") or any(scores.std() > 0 for scores in together)


@pytest.mark.parametrize("name", PIECES)
def test_pieces_of_every_window_are_scored(request_: Request, name: str) -> None:
    scores = EXPLAINERS[name].explain(request_)
    assert [len(values) for values in scores] == [len(window) for window in request_.windows]


@pytest.mark.parametrize("name", [name for name, row in EXPLAINERS.items() if row.relative])
def test_relative_scores_are_shares_of_a_window(request_: Request, name: str) -> None:
    for values in EXPLAINERS[name].explain(request_):
        assert (values >= 0).all()
        assert values.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", [name for name, row in EXPLAINERS.items() if row.relative])
def test_relative_scores_of_windows_of_any_size_stand_on_one_scale(classifier: Classifier, name: str) -> None:
    """A word's score is in even shares of its window: their mean over a window's pieces is 1."""
    for window_pieces in (12, 20):
        classifier.window_pieces = window_pieces
        request = of(classifier)
        made = EXPLAINERS[name].explain(request)
        assert [float((values * len(values)).mean()) for values in made] == pytest.approx([1] * len(made), abs=1e-5)


@pytest.mark.parametrize("name", QUICK)
def test_query_words_and_special_pieces_never_score(classifier: Classifier, name: str) -> None:
    """What stands before the document changes no place, and no piece of it counts for a word of the document."""
    request = of(classifier, query="bad film")
    row = EXPLAINERS[name]
    (scores,) = row.word_scores(request)
    assert scores.shape == (len(WORDS),) and np.isfinite(scores).all()
    if row.unit == "piece":
        made = row.explain(request)
        loud = [np.full_like(values, 1e9) for values in made]
        for values, quiet in zip(loud, made, strict=True):
            # [CLS] bad film [SEP] … [SEP]
            values[4:-1] = quiet[4:-1]
        (again,) = replace(row, explain=lambda _: loud).word_scores(request)
        np.testing.assert_array_equal(again, replace(row, explain=lambda _: made).word_scores(request)[0])


GRADIENTS = ("saliency", "input-x-gradient", "integrated-gradients", "gradient-shap", "lrp", "attention-x-gradient")
ERASED = ("occlusion", "leave-one-out", "occlusion-span", "occlusion-sentence")


@pytest.mark.parametrize("name", [*GRADIENTS, *ERASED, "saliency-pruned"])
def test_effects_depend_on_the_target(classifier: Classifier, name: str) -> None:
    explain = EXPLAINERS[name].explain
    assert not np.allclose(explain(of(classifier, target=0))[0], explain(of(classifier, target=1))[0])


@pytest.mark.parametrize("name", ["random", "gradient-shap", "lime", "kernel-shap", "shapley-sampling"])
def test_what_is_drawn_follows_the_seed(classifier: Classifier, name: str) -> None:
    explain = EXPLAINERS[name].word_scores
    words = WORDS[:14]
    one, same, other = (explain(of(classifier, words=words, seed=seed))[0] for seed in (3, 3, 4))
    assert np.array_equal(one, same) and not np.array_equal(one, other)


def test_every_explanation_is_counted(classifier: Classifier) -> None:
    """Windows forward and back; what no model is asked for is free."""
    expected = {"attention": (4, 0), "saliency": (4, 4), "integrated-gradients": (208, 200), "random": (0, 0)}
    expected |= {"adapler": (4, 0), "gradient-shap": (80, 80), "occlusion": (4 + len(WORDS), 0)}
    for name, (forward, backward) in expected.items():
        request = of(classifier)
        assert len(request.windows) == 4
        EXPLAINERS[name].explain(request)
        cost = request.asked[0].cost
        assert (cost.forward, cost.backward) == (forward, backward), name
        assert (cost.flops > 0) == (forward > 0)


def test_names_with_layers(classifier: Classifier) -> None:
    assert named("attention@2", 3) == (EXPLAINERS["attention"], 2)
    assert title_of("attention@2") == "Attention, layer 3" and title_of("someone's") == "someone's"
    explain = EXPLAINERS["attention"].explain
    rows = [explain(replace(of(classifier), layer=layer))[0] for layer in (None, 2, 0)]
    assert np.array_equal(rows[0], rows[1]) and not np.allclose(rows[0], rows[2])
    for wrong, reason in {
        "lime@1": "reads no single layer",
        "attention@3": "give a layer from 0 to 2",
        "attention@x": "give a layer",
        "nothing": "unknown; choose from adapler, ",
    }.items():
        with pytest.raises(UsageError, match=reason):
            named(wrong, 3)


# ---------------------------------------------------------------- AdapLeR


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


def test_contributions_are_the_mean_over_layers(request_: Request) -> None:
    explain = EXPLAINERS["contribution"].explain
    layers = [explain(replace(request_, layer=layer))[0] for layer in range(3)]
    np.testing.assert_allclose(explain(request_)[0], np.mean(layers, axis=0), atol=1e-7)


# ---------------------------------------------------------------- attention


def eager_attentions(request: Request) -> tuple[torch.nn.Module, tuple[torch.Tensor, ...], torch.Tensor]:
    model = tiny_model(attn_implementation="eager")
    model.load_state_dict(request.classifier.model.state_dict())
    output = model(**request.classifier.batch(request.windows), prune=False, output_attentions=True)
    return model, output.attentions, output.logits


def test_attention_reads_the_last_layers_cls_row_without_removal(request_: Request) -> None:
    _, attentions, _ = eager_attentions(request_)
    heads = attentions[-1][:, :, 0].detach()
    largest = heads.amax(1)
    expected = {"attention": heads.mean(1), "attention-max": largest / largest.sum(-1, keepdim=True)}
    for name, rows in expected.items():
        for values, row in zip(EXPLAINERS[name].explain(request_), rows.numpy(), strict=True):
            np.testing.assert_allclose(values, row[: len(values)], atol=1e-6)


@pytest.mark.parametrize("layer", [None, 0])
def test_attention_x_gradient_is_attention_times_its_gradient(request_: Request, layer: int | None) -> None:
    _, attentions, logits = eager_attentions(request_)
    weights = attentions[-1 if layer is None else layer]
    (gradient,) = torch.autograd.grad(logits[:, 1].sum(), weights)
    products = weights * gradient
    expected = (products[:, :, 0] if layer is None else products.sum(2)).sum(1).detach().numpy()
    found = EXPLAINERS["attention-x-gradient"].explain(replace(request_, layer=layer))
    for values, row in zip(found, expected, strict=True):
        np.testing.assert_allclose(values, row[: len(values)], atol=1e-5, rtol=1e-5)


# ---------------------------------------------------------------- gradients


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
    assert 0 <= request_.asked[0].facts["completeness_error"] < 0.02


def test_gradient_shap_nears_integrated_gradients(classifier: Classifier) -> None:
    """It is the same integral, at places drawn: the mean over seeds comes near."""
    drawn = [EXPLAINERS["gradient-shap"].explain(of(classifier, seed=seed))[0] for seed in range(40)]
    exact = EXPLAINERS["integrated-gradients"].explain(of(classifier))[0]
    assert np.abs(np.mean(drawn, axis=0) - exact).max() < 0.15 * np.abs(exact).max()


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


def test_gradients_through_the_pruned_network_are_those_of_its_logit(request_: Request) -> None:
    """Where decisions do not flip: a small step along an embedding changes the pruned logit as the gradient says."""
    model = request_.classifier.model
    scores = EXPLAINERS["saliency-pruned"].explain(request_)
    with torch.no_grad():
        output = request_.classifier.forward(request_.windows, prune=True)
    for row, values in enumerate(scores):
        fell_first = ~output.alive[0][row, : len(values)].numpy()
        assert (values[fell_first] == 0).all() and fell_first.any()
        assert (values[~fell_first] > 0).all()
    kept = tiny_model(eta=0.0)
    kept.load_state_dict(model.state_dict())
    with torch.no_grad():
        kept.adapler.eta.zero_()
    everything = Classifier(kept, request_.classifier.tokenizer, 20)
    for name in ("saliency", "input-x-gradient"):
        stock, pruned = (EXPLAINERS[n].explain(of(everything)) for n in (name, f"{name}-pruned"))
        for a, b in zip(stock, pruned, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


# ---------------------------------------------------------------- perturbation


def logit_without(classifier: Classifier, words: Sequence[str]) -> float:
    return float(classifier.logits(classifier.windows(words), prune=False)[:, 1].sum())


def test_leave_one_out_is_the_logit_of_the_text_without_the_word(classifier: Classifier) -> None:
    (scores,) = EXPLAINERS["leave-one-out"].explain(of(classifier, words=SHORT))
    whole = logit_without(classifier, SHORT)
    expected = [whole - logit_without(classifier, SHORT[:i] + SHORT[i + 1 :]) for i in range(4)]
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_occlusion_is_captums_feature_ablation(classifier: Classifier) -> None:
    request = of(classifier, words=WORDS[:10])
    (window,) = request.windows
    inputs = classifier.batch([window])
    groups = torch.tensor([[word + 1 for word in window.words]])

    def logit(ids: torch.Tensor) -> torch.Tensor:
        return classifier.model(input_ids=ids, prune=False).logits[:, 1]

    mask = torch.full_like(inputs["input_ids"], classifier.tokenizer.mask_token_id)
    found = FeatureAblation(logit).attribute(inputs["input_ids"], baselines=mask, feature_mask=groups)[0]
    expected = [float(found[window.words.index(word)]) for word in range(10)]
    np.testing.assert_allclose(EXPLAINERS["occlusion"].explain(request)[0], expected, atol=1e-5)


def test_spans_and_sentences_share_what_they_lose(classifier: Classifier) -> None:
    words = WORDS[:10]
    (scores,) = EXPLAINERS["occlusion-sentence"].explain(of(classifier, words=words))
    assert len(set(scores[:7])) == 1 == len(set(scores[7:])) and scores[0] != scores[7]
    (scores,) = EXPLAINERS["occlusion-span"].explain(of(classifier, words=words[:4]))
    assert len(set(scores.round(6))) == 1


@pytest.mark.parametrize("name", ["shapley-sampling", "kernel-shap"])
def test_shapley_values_sum_to_what_the_words_add(classifier: Classifier, name: str) -> None:
    """Efficiency: to the logit of the text less that of the text unseen, window by window."""
    request = of(classifier, words=WORDS[:20])
    assert len(request.windows) == 2
    (scores,) = EXPLAINERS[name].explain(request)
    unseen = [
        replace(window, absent=tuple(i for i, word in enumerate(window.words) if word >= 0))
        for window in request.windows
    ]
    before, after = (classifier.logits(w, prune=False)[:, 1].sum() for w in (request.windows, unseen))
    assert scores.sum() == pytest.approx(float(before - after), abs=2e-3)


@pytest.mark.parametrize("name", ["lime", "kernel-shap", "shapley-sampling"])
def test_a_text_that_is_drawn_again_is_read_once(
    classifier: Classifier, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[tuple[int, ...]] = []
    target_logits = perturbation._target_logits

    def counted(request: Any, parts: Any, windows: Any) -> Any:
        read.extend(window.absent for window in windows)
        return target_logits(request, parts, windows)

    monkeypatch.setattr(perturbation, "_target_logits", counted)
    EXPLAINERS[name].explain(of(classifier, words=SHORT))
    # Of four words there are sixteen texts.
    assert 8 <= len(set(read)) == len(read) <= 16


def test_lime_finds_the_words_that_matter(classifier: Classifier) -> None:
    request = of(classifier, words=SHORT)
    (scores,) = EXPLAINERS["lime"].explain(request)
    (exact,) = EXPLAINERS["shapley-sampling"].explain(of(classifier, words=SHORT))
    assert np.sign(scores[np.abs(exact).argmax()]) in (0, np.sign(exact[np.abs(exact).argmax()]))


# ---------------------------------------------------------------- baselines


def test_baselines_by_hand(classifier: Classifier) -> None:
    request = replace(of(classifier, words=["Bad", "film", "bad"]), idf={"bad": 1.0, "film": 3.0})
    found = {name: EXPLAINERS[name].explain(request)[0].tolist() for name in ("first-words", "longest-words", "tf-idf")}
    assert found == {"first-words": [3, 2, 1], "longest-words": [3, 4, 3], "tf-idf": [2, 3, 2]}
    assert EXPLAINERS["gold"].explain(request)[0].tolist() == [0, 1, 1]
    assert EXPLAINERS["all"].explain(request)[0].tolist() == [1, 1, 1]


# ---------------------------------------------------------------- batches


def test_memory_that_runs_out_halves_the_batch(classifier: Classifier) -> None:
    windows = classifier.windows(WORDS)
    seen: list[int] = []

    def call(places: list[int]) -> list[int]:
        seen.append(len(places))
        if len(places) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return places

    batches = Batches(4)
    assert batches.run(windows, call) == [0, 1, 2, 3]
    assert seen == [4, 2, 1, 1, 1, 1] and batches.windows == 1
    with pytest.raises(MissingError, match="not even one window"):
        Batches().run(windows, lambda _: (_ for _ in ()).throw(MemoryError()))
    with pytest.raises(RuntimeError, match="something else"):
        Batches().run(windows, lambda _: (_ for _ in ()).throw(RuntimeError("something else")))


def test_passes_on_a_processor_do_not_grow(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether or not some GPU is in use beside it."""
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    batches = Batches(pieces=1)
    assert batches.run(classifier.windows(WORDS), list) == [0, 1, 2, 3] and batches.pieces == 1


def test_spans_of_a_pair_lie_in_one_text(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = ["the", "good", "film", ",", "a", "good", "end"], ["bad", "bad", "film"]
    example = Example("p", (Document("a", (tuple(first),)), Document("b", (tuple(second),))), "A", pair=True)
    masked: list[list[int]] = []

    def changed_(window: Any, erased: Any, how: str, mask_id: int) -> Any:
        masked.append(np.flatnonzero(erased).tolist())
        return changed(window, erased, how, mask_id)

    monkeypatch.setattr(perturbation, "changed", changed_)
    perturbation.occlusion_span(Request(classifier, [Asked(example, classifier.windows_of(example), 1, 0)]))
    assert masked
    for words in masked:
        assert words == list(range(words[0], words[-1] + 1)) and (words[-1] < len(first) or words[0] >= len(first))


def test_drawing_leaves_every_generator_as_it_was(classifier: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    def reseeded(seed: int) -> None:
        raise AssertionError(f"a GPU's generator was seeded with {seed}")

    monkeypatch.setattr(torch.cuda, "manual_seed_all", reseeded)
    before = torch.get_rng_state()
    perturbation.lime(of(classifier, words=SHORT))
    assert torch.equal(before, torch.get_rng_state())
