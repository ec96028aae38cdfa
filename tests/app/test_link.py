"""What is read of the address, and what is shown of untrusted text."""

from __future__ import annotations

import pytest

from adapler_app import link
from adapler_app.session import as_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("b,a", ["a", "b"]),
        ("a%2Cb", ["a,b"]),
        ("a,none", ["a"]),
        ("none", None),
        ("", []),
    ],
)
def test_a_list_is_read_in_the_order_of_the_options(text: str, expected: list[str] | None) -> None:
    assert link.some_of(["a", "b", "a,b"])(text) == expected


def test_a_choice_is_read_where_it_is_offered() -> None:
    read = link.one_of(["a", "b"])
    assert read("b") == "b" and read("c") is None and read("") is None


@pytest.mark.parametrize(("text", "expected"), [("5", 5), ("0", 1), ("99", 9), ("x", None), ("", None), ("1e3", None)])
def test_a_number_is_moved_within_its_bounds(text: str, expected: int | None) -> None:
    assert link.number(1, 9, int)(text) == expected


@pytest.mark.parametrize(
    "text", ["a -> b", "a <- b", "a -- b", "a >= b", "www.example.org", "https://example.org", "a@b.org"]
)
def test_signs_that_markdown_would_change_are_kept_apart(text: str) -> None:
    shown = as_text(text).replace("\\", "")
    assert "\u2060" in shown and shown.replace("\u2060", "") == text


def test_commands_can_be_copied() -> None:
    assert as_text("eval --resume") == r"eval \-\-resume"
