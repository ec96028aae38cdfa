"""People against people, worked by hand."""

from __future__ import annotations

import pytest

from eraser_eval.human import leave_one_out
from eraser_eval.records import Document, Example, Span

DOCUMENT = Document("d", (tuple("abcd"),))


def test_each_annotator_against_the_others_worked_by_hand() -> None:
    """Three people mark a–b, b–c and nothing; at least half of two others is either of them."""
    people = ((Span("d", 0, 2),), (Span("d", 1, 3),), ())
    example = Example("e", (DOCUMENT,), "POS", ((Span("d", 3, 4),),), annotators=people)
    (row,) = leave_one_out([example]).to_dict("records")
    # a–b against b–c: 1 hit of 2 and 2. b–c against a–b: the same. Nothing against a–c: 0.
    assert row["token_f1"] == pytest.approx((1 / 2 + 1 / 2 + 0) / 3)
    assert row["fpr"] == pytest.approx((1 / 2 + 1 / 2 + 0) / 3)
    assert (row["method"], row["annotation_id"], row["label"]) == ("human", "e", "POS")


def test_two_people_who_agree_and_examples_with_one() -> None:
    people = ((Span("d", 0, 2),), (Span("d", 0, 2),))
    alone = Example("f", (DOCUMENT,), "NEG", annotators=people[:1])
    rows = leave_one_out([Example("e", (DOCUMENT,), "POS", annotators=people), alone])
    assert list(rows["annotation_id"]) == ["e"]
    assert (rows["token_f1"].item(), rows["iou_recall"].item(), rows["fpr"].item()) == (1, 1, 0)
    assert leave_one_out([alone]).empty
