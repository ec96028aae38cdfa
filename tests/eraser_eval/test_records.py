"""Records check themselves; masks and spans are each other's inverse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eraser_eval.records import Document, Example, Prediction, Span, mask_of, spans_of

TWO = (Document("a", (("x", "y"), ("z",))), Document("b", (("u", "v"),)))


def test_words_run_through_all_documents() -> None:
    example = Example("e", TWO, "POS", ((Span("a", 1, 3), Span("b", 0, 1)), (Span("b", 1, 1),)))
    assert example.words == ("x", "y", "z", "u", "v")
    assert example.gold_mask.tolist() == [False, True, True, True, False]
    assert len(example.evidence_spans) == 3


@given(st.lists(st.booleans(), min_size=5, max_size=5))
def test_spans_of_is_the_inverse_of_mask_of(mask: list[bool]) -> None:
    spans = spans_of(np.array(mask), TWO)
    assert mask_of(spans, TWO).tolist() == mask
    assert all(span.end <= (3 if span.docid == "a" else 2) for span in spans)


@pytest.mark.parametrize(("start", "end"), [(-1, 2), (3, 2)])
def test_impossible_spans(start: int, end: int) -> None:
    with pytest.raises(ValueError, match="reversed or negative"):
        Span("a", start, end)


@pytest.mark.parametrize(("span", "message"), [(Span("c", 0, 1), "'c'"), (Span("b", 0, 3), "beyond the 2 words")])
def test_evidence_outside_the_documents(span: Span, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Example("e", TWO, "POS", ((span,),))


def test_document_without_words() -> None:
    with pytest.raises(ValueError, match="no words"):
        Document("a", ())


@pytest.mark.parametrize("probabilities", [{"A": 0.7, "B": 0.7}, {"A": -0.1, "B": 1.1}])
def test_probabilities_must_be_some(probabilities: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="sum to 1"):
        Prediction("e", probabilities=probabilities)


def test_scores_must_be_finite() -> None:
    with pytest.raises(ValueError, match="finite"):
        Prediction("e", scores={"a": (0.0, float("nan"))})
