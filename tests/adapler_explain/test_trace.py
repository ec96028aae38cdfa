"""One document's way through the model: agrees with the forward pass and with the prediction files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from conftest import random_batch, tiny_model
from transformers import BertTokenizer

from adapler_explain import removal
from adapler_explain.classifier import Classifier
from adapler_explain.predict import Explained, Known, mean_probabilities, predict
from adapler_explain.trace import Trace, trace
from adapler_explain.windows import TextError, Window
from eraser_eval.records import Document, Example

SHORT = ("the", "film", "was", "good", ".")
SENTENCE = "the film was good , the end a bit bad . no , not so bad and not so good either ; the film is"
LONG = tuple(SENTENCE.split(" ")) * 3
CASES = [(seed, words, query) for seed in range(3) for words in (SHORT, LONG) for query in ("", "good ?")]


def classifier(seed: int, tokenizer: BertTokenizer, **changes: Any) -> Classifier:
    return Classifier(tiny_model(seed, **changes), tokenizer, 20)


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case[0]}-{len(case[1])}-{case[2]}")
def traced(request: pytest.FixtureRequest, tokenizer: BertTokenizer) -> tuple[Classifier, tuple[str, ...], str, Trace]:
    seed, words, query = request.param
    model = classifier(seed, tokenizer)
    return model, words, query, trace(model, words, query)


def alone(model: Classifier, window: Window, **options: Any) -> Any:
    """The forward pass of one window by itself."""
    with torch.inference_mode():
        return model.forward([window], prune=True, **options)


def test_the_cases_drop_and_keep_words_at_every_layer(tokenizer: BertTokenizer) -> None:
    """Without this the tests below could all pass on documents where nothing happens."""
    fell = [set(trace(classifier(seed, tokenizer), words, query).fell.tolist()) for seed, words, query in CASES]
    assert set.union(*fell) == {0, 1, 2, 3}
    assert all(len(classifier(0, tokenizer).windows(LONG, query)) > 3 for query in ("", "good ?"))


def test_it_is_what_the_prediction_file_says(traced: tuple[Classifier, tuple[str, ...], str, Trace]) -> None:
    model, words, query, found = traced
    example = Example("x", (Document("x", (words,)),), "POS", query=query)
    made = predict([example], "adapler", Explained(model), Known(), {})[0]
    assert found.probabilities == pytest.approx([made.probabilities[label] for label in model.labels], abs=1e-9)
    assert found.fell.tolist() == np.floor(made.scores["x"]).tolist()
    assert list(found.kept_per_layer) == made.extra["kept_per_layer"]
    assert (found.flops_unpruned, found.flops_pruned) == (made.extra["flops_unpruned"], made.extra["flops_pruned"])
    assert found.speedup == made.extra["flops_unpruned"] / made.extra["flops_pruned"]
    assert int((found.fell == 3).sum()) == made.words_chosen


def test_it_is_what_the_forward_pass_does(traced: tuple[Classifier, tuple[str, ...], str, Trace]) -> None:
    model, words, query, found = traced
    fell, contribution = np.zeros(len(words), int), np.zeros((3, len(words)))
    for window in model.windows(words, query):
        output = alone(model, window)
        living = len(window)
        for layer in range(3):
            for piece, word in enumerate(window.words):
                if word >= 0:
                    share = float(output.contributions[layer][0, piece]) * living
                    contribution[layer, word] = max(contribution[layer, word], share)
                    fell[word] = max(fell[word], int(output.alive[layer][0, piece]) * (layer + 1))
            living = int(output.alive[layer][0].sum())
    assert found.fell.tolist() == fell.tolist()
    assert found.contribution == pytest.approx(contribution, rel=1e-5)


def test_a_word_stays_exactly_where_it_contributes_what_is_needed(
    traced: tuple[Classifier, tuple[str, ...], str, Trace],
) -> None:
    _, _, _, found = traced
    needed = found.needed[:, found.window]
    for layer in range(3):
        reached, stayed = found.fell >= layer, found.fell > layer
        assert (found.contribution[layer][~reached] == 0).all()
        assert (found.contribution[layer][reached] > 0).all() and (needed[layer][reached] > 0).all()
        ratio = found.contribution[layer][reached] / needed[layer][reached]
        clear = abs(ratio - 1) > 1e-5
        assert ((ratio >= 1) == stayed[reached])[clear].all()


def test_what_is_needed_is_the_threshold_times_what_the_factor_of_cls_leaves(
    traced: tuple[Classifier, tuple[str, ...], str, Trace],
) -> None:
    """In even shares the threshold is eta; [CLS] times its factor makes the distribution sum to Z, not to 1."""
    model, words, query, found = traced
    eta = model.model.adapler.eta.tolist()
    for number, window in enumerate(model.windows(words, query)):
        output = alone(model, window)
        living = len(window)
        for layer in range(3):
            factor = model.model.adapler.cls_multiplier(layer).item()
            rest = 1 + (factor - 1) * float(output.contributions[layer][0, 0])
            expected = eta[layer] * rest if living > 1 else 0.0
            assert found.needed[layer, number] == pytest.approx(expected, rel=1e-4)
            living = int(output.alive[layer][0].sum())


def test_a_window_that_is_down_to_cls_needs_nothing(tokenizer: BertTokenizer) -> None:
    found = trace(classifier(0, tokenizer, eta=50.0), LONG)
    windows = found.needed.shape[1]
    assert windows > 3 and (found.fell == 0).all()
    assert found.needed[0] == pytest.approx([50.0] * windows, rel=1e-5) and (found.needed[1:] == 0).all()
    assert found.kept_per_layer == (windows,) * 3 and (found.contribution[1:] == 0).all()


def test_operating_point_zero_keeps_everything(tokenizer: BertTokenizer) -> None:
    model = classifier(1, tokenizer)
    windows = model.windows(LONG)
    found = trace(model, LONG, operating_point=0.0)
    assert (found.fell == 3).all() and (found.needed == 0).all()
    assert found.kept_per_layer == (sum(map(len, windows)),) * 3
    assert found.probabilities == pytest.approx(mean_probabilities(model, windows, prunes=False), abs=1e-6)
    assert (trace(model, LONG).fell < 3).any()


def test_a_higher_operating_point_leaves_no_more_words_after_the_first_layer(tokenizer: BertTokenizer) -> None:
    """Only there: what later layers see depends on what the first one left."""
    model = classifier(2, tokenizer)
    left = [set(np.flatnonzero(trace(model, LONG, "", point).fell > 0).tolist()) for point in (0.5, 1.0, 1.5, 2.0)]
    assert left[0] >= left[1] >= left[2] >= left[3] and len(left[0]) > len(left[3])


@pytest.mark.parametrize("point", [0.5, 2.0, 4.0])
def test_the_operating_point_is_a_factor_of_eta(tokenizer: BertTokenizer, point: float) -> None:
    model, scaled = classifier(0, tokenizer), classifier(0, tokenizer)
    with torch.no_grad():
        scaled.model.adapler.eta.copy_(removal.at_factor(model.model.adapler.eta, point))
    batch = random_batch([5, 18, 11])
    with torch.inference_mode():
        one, two = model.model(**batch, operating_point=point), scaled.model(**batch)
        usual = model.model(**batch)
    assert torch.equal(torch.stack(one.alive), torch.stack(two.alive))
    assert torch.equal(one.logits, two.logits)
    assert torch.allclose(torch.stack(one.margins), torch.stack(two.margins))
    assert not torch.equal(torch.stack(one.margins), torch.stack(usual.margins))
    found, expected = trace(model, LONG, "", point), trace(scaled, LONG)
    assert found.fell.tolist() == expected.fell.tolist() and found.probabilities == pytest.approx(
        expected.probabilities
    )
    assert found.needed == pytest.approx(expected.needed)


class InSmallGroups(Classifier):
    """As it would run on a document of more pieces than one forward pass holds."""

    def pruned(
        self, windows: Sequence[Window], budget: int = 40, operating_point: float = 1.0
    ) -> Iterator[tuple[list[Window], Any]]:
        return super().pruned(windows, budget, operating_point)


def test_groups_of_windows_make_no_difference(tokenizer: BertTokenizer) -> None:
    whole, parts = (trace(kind(tiny_model(1), tokenizer, 20), LONG) for kind in (Classifier, InSmallGroups))
    assert whole.needed.shape[1] > 3
    assert parts.fell.tolist() == whole.fell.tolist() and parts.kept_per_layer == whole.kept_per_layer
    for name in ("probabilities", "contribution", "needed"):
        assert getattr(parts, name) == pytest.approx(getattr(whole, name), rel=1e-4)


def test_a_word_belongs_to_the_first_window_that_holds_it(tokenizer: BertTokenizer) -> None:
    """A word of 40 letters is cut into 40 pieces: three windows of it, and the one that it shares with the others."""
    model = classifier(0, tokenizer)
    words = (*SHORT, "x" * 40, "good")
    windows = model.windows(words)
    holding = [[number for number, window in enumerate(windows) if word in window.words] for word in range(7)]
    assert len(holding[5]) > 2
    assert trace(model, words).window.tolist() == [numbers[0] for numbers in holding]


def test_texts_that_cannot_be_read(tokenizer: BertTokenizer) -> None:
    model = classifier(0, tokenizer)
    with pytest.raises(TextError, match="no piece"):
        trace(model, ("\u200d", "\x07"))
    with pytest.raises(TextError, match="leaves no room"):
        trace(model, SHORT, "good " * 30)
