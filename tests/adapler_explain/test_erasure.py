"""Erased inputs against texts that are written without the words, and passes decided from outside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import random_batch, tiny_model
from hypothesis import given, settings
from hypothesis import strategies as st

from adapler_explain import forced, packed_encoder
from adapler_explain.classifier import Classifier
from adapler_explain.erasure import OPERATORS, Operator, changed, erase, probabilities
from adapler_explain.faithfulness import FRACTIONS, Erasing, fractions_of
from adapler_explain.predict import Explained, Known, predict
from eraser_eval.datasets import from_rows
from eraser_eval.errors import UsageError
from eraser_eval.metrics import faithfulness
from eraser_eval.rationale import top_words
from eraser_eval.records import mask_of

WORDS = ["the", "film", "was", "good", ",", "not", "bad", "xyz"] * 4


@pytest.fixture(scope="module")
def classifier(checkpoint: Path) -> Classifier:
    return Classifier.load(checkpoint)


def share(classifier: Classifier, words: list[str], prune: bool) -> np.ndarray:
    logits = classifier.logits(classifier.windows(words), prune)
    return logits.double().softmax(-1).mean(0).numpy()


@settings(deadline=None, max_examples=30)
@given(erased=st.lists(st.booleans(), min_size=len(WORDS), max_size=len(WORDS)).filter(lambda row: not all(row)))
def test_removed_words_leave_the_text_without_them(classifier: Classifier, erased: list[bool]) -> None:
    """The windows are those of the text that is written without the words; they are never tokenised again."""
    mask = np.array(erased)
    pieces = classifier.read(WORDS)
    made = erase(classifier, pieces, classifier.cut(pieces), mask, Operator("remove")).windows
    wanted = classifier.windows([word for word, gone in zip(WORDS, erased, strict=True) if not gone])
    assert [window.input_ids for window in made] == [window.input_ids for window in wanted]
    left = np.flatnonzero(~mask)
    assert [w for window in made for w in window.words if w >= 0] == [
        int(left[w]) for window in wanted for w in window.words if w >= 0
    ]


def test_masked_and_unseen_words(classifier: Classifier) -> None:
    (window,) = classifier.windows(["good", "xyz"], query="bad")
    mask = np.array([False, True])
    masked = changed(window, mask, "mask", 4)
    assert masked.input_ids == (2, 8, 3, 7, 4, 4, 4, 3) and masked.words == window.words
    unseen = changed(window, mask, "pad", None)
    assert unseen.absent == (4, 5, 6) and unseen.seen == len(window) - 3 and unseen.input_ids == window.input_ids
    batch = classifier.batch([unseen, window])
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1, 0, 0, 0, 1], [1] * 8]
    stock = classifier.model(**batch, prune=False).logits
    torch.testing.assert_close(classifier.logits([unseen, window], prune=False), stock, atol=1e-5, rtol=0)


def test_a_text_without_words_is_what_stands_around_it(classifier: Classifier) -> None:
    pieces = classifier.read(["good"], query="bad")
    (window,) = erase(classifier, pieces, classifier.cut(pieces), np.array([True]), Operator("remove")).windows
    assert window.input_ids == (2, 8, 3, 3) and set(window.words) == {-1}


@pytest.mark.parametrize("prune", [True, False])
@pytest.mark.parametrize("name", [*OPERATORS, "layer"])
def test_inputs_of_many_documents_are_those_of_each(classifier: Classifier, name: str, prune: bool) -> None:
    generator = np.random.default_rng(0)
    operator = Operator(name, 1 if name == "layer" else 0)
    inputs = []
    for length in (3, 20, 32):
        pieces = classifier.read(WORDS[:length])
        for _ in range(3):
            mask = generator.random(length) < 0.5
            inputs.append(erase(classifier, pieces, classifier.cut(pieces), mask, operator))
    together = probabilities(classifier, inputs, prune, operator)
    alone = [probabilities(classifier, [one], prune, operator)[0] for one in inputs]
    np.testing.assert_allclose(together, alone, atol=1e-6)
    np.testing.assert_allclose(np.sum(together, axis=1), 1, atol=1e-6)


def test_erasing_at_layer_0_is_not_seeing(classifier: Classifier) -> None:
    pieces = classifier.read(WORDS)
    mask = np.arange(len(WORDS)) % 3 == 0
    windows = classifier.cut(pieces)
    found = [
        probabilities(classifier, [erase(classifier, pieces, windows, mask, operator)], False, operator)[0]
        for operator in (Operator("layer", 0), Operator("pad"))
    ]
    np.testing.assert_allclose(*found, atol=1e-6)
    later = Operator("layer", 2)
    late = probabilities(classifier, [erase(classifier, pieces, windows, mask, later)], False, later)[0]
    assert not np.allclose(found[0], late, atol=1e-3)


def test_frozen_decisions_are_the_pruned_pass() -> None:
    model = tiny_model()
    inputs = random_batch([7, 12, 9])
    output = model(**inputs)
    packed = packed_encoder.enter(model, **inputs)
    frozen = forced.logits_with(model, packed, forced.frozen(output.alive))
    torch.testing.assert_close(frozen, output.logits, atol=1e-5, rtol=0)
    nothing = torch.zeros_like(inputs["input_ids"], dtype=torch.bool)
    torch.testing.assert_close(forced.logits_without(model, inputs, nothing, 0, 1.0), output.logits, atol=1e-5, rtol=0)


def test_unknown_operators_and_shares_are_refused(classifier: Classifier) -> None:
    assert str(Operator.of("layer:2", classifier)) == "layer:2"
    for wrong in ("layer:3", "layer:x", "erase"):
        with pytest.raises(UsageError, match=f"--faithfulness {wrong}"):
            Operator.of(wrong, classifier)
    for wrong in ("", "0", "1.5", "a"):
        with pytest.raises(UsageError, match="--fractions"):
            fractions_of(wrong)


@pytest.mark.parametrize("name", ["remove", "mask", "pad", "layer:1"])
@pytest.mark.parametrize("method", ["adapler", "saliency", "all"])
def test_a_prediction_holds_what_the_metrics_read(classifier: Classifier, method: str, name: str) -> None:
    """Against one document and one input at a time."""
    rows = [{"text": " ".join(WORDS[:n]), "label": "POS", "id": str(n)} for n in (5, 30)]
    examples = list(from_rows(rows, "own").examples)
    operator = Operator.of(name, classifier)
    explained = Explained(classifier, erasing=Erasing(operator))
    made = predict(examples, method, explained, Known(), {"5": 2, "30": 9})
    prunes = method == "adapler"
    for example, prediction in zip(examples, made, strict=True):
        scores = np.array(prediction.scores[example.documents[0].docid])
        pieces = classifier.read_example(example)

        def of(mask: np.ndarray, pieces=pieces) -> list[float]:
            one = erase(classifier, pieces, classifier.cut(pieces), mask, operator)
            return probabilities(classifier, [one], prunes, operator)[0].tolist()

        chosen = mask_of(prediction.spans, example.documents)
        top = top_words(scores, -(-len(scores) // 5))
        for found, mask in (
            (prediction.erased, chosen),
            (prediction.kept, ~chosen),
            (prediction.empty, np.ones(len(scores), bool)),
            *(((prediction.erasures[3].erased, top), (prediction.erasures[3].kept, ~top)) if method != "all" else ()),
        ):
            assert list(found.values()) == pytest.approx(of(mask), abs=1e-6)
        assert [erasure.fraction for erasure in prediction.erasures] == list(FRACTIONS if method != "all" else ())
        assert prediction.extra["erasure"] == name
    columns = faithfulness.statistics(made)
    if method == "all":
        assert "comprehensiveness" in columns and "log_odds" not in columns
        return
    assert {"comprehensiveness_aopc", "sufficiency_aopc", "log_odds", "deletion", "insertion"} <= columns.keys()
    assert all(np.isfinite(columns[name]).all() for name in ("log_odds", "deletion", "insertion"))


def test_a_share_is_rounded_up_where_there_is_a_rest(classifier: Classifier) -> None:
    """0.07 × 100 is a little more than 7 in floating point."""
    examples = from_rows([{"text": " ".join((WORDS * 4)[:100]), "label": "POS", "id": "a"}], "own").examples
    explained = Explained(classifier, erasing=Erasing(Operator("remove"), (0.07,)))
    (made,) = predict(examples, "first-words", explained, Known(), {"a": 7})
    assert made.erasures[0].erased == made.erased


def test_random_words_are_erased_from_either_network(classifier: Classifier) -> None:
    """The same words; what that does is measured with removal off and with removal on."""
    examples = from_rows([{"text": " ".join(WORDS), "label": "POS", "id": "a"}], "own").examples
    explained, budgets = Explained(classifier, erasing=Erasing(Operator("remove"))), {"a": 5}
    (dense,), (pruned,) = (predict(examples, name, explained, Known(), budgets) for name in ("random", "random-pruned"))
    assert dense.scores == pruned.scores and dense.spans == pruned.spans
    assert (dense.extra["explains"], pruned.extra["explains"]) == ("unpruned", "pruned")
    for made, prune in ((dense, False), (pruned, True)):
        assert made.spans is not None and made.erased is not None
        gone = mask_of(made.spans, examples[0].documents)
        left = [word for word, out in zip(WORDS, gone, strict=True) if not out]
        assert list(made.erased.values()) == pytest.approx(share(classifier, left, prune).tolist(), abs=1e-6)
