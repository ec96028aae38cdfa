"""Texts with words taken out."""

from __future__ import annotations

import pytest

from adapler_app.whatif import with_words
from eraser_eval.records import Document, Example

PAIR = Example("a", (Document("a", (("x", "y"),)), Document("a/pair", (("u", "v"),))), "POS", pair=True)


@pytest.mark.parametrize(
    ("kept", "documents"),
    [([0, 3], [("x",), ("v",)]), ([1], [("y",)]), ([2, 3], [("u", "v")])],
)
def test_a_pair_stays_one_while_both_texts_have_words(kept: list[int], documents: list[tuple[str, ...]]) -> None:
    left = with_words(PAIR, kept)
    assert [document.words for document in left.documents] == documents
    assert left.pair == (len(documents) == 2)


def test_documents_that_are_no_pair_become_one() -> None:
    two = Example("a", (Document("a", (("x", "y"),)), Document("b", (("u", "v"),))), "POS")
    assert [document.words for document in with_words(two, [0, 3]).documents] == [("x", "v")]
