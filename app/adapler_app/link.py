"""The address holds what is seen: widgets begin with what it says, or with what they had on another page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import streamlit as st

Value = TypeVar("Value")


def begin(key: str, read: Callable[[str], Any]) -> None:
    """Give the widget ``key``, before it is made, what the address says; else what it had; else nothing.

    The address counts where it is not what :func:`hold` wrote: in a link, or after the browser's back button. The
    browser may be late: until it says what was written last, what was written before is an echo.

    Args:
        key: of the widget and of the address's parameter.
        read: the widget's value from the parameter's text; None where it cannot be used.
    """
    held, asked = _held(key), st.query_params.get(key)
    if held and asked == held[-1]:
        del held[:-1]
    if asked is not None and asked not in held and read(asked) is not None:
        st.session_state[key] = read(asked)
        return
    now = _text(st.session_state[key]) if key in st.session_state else held[-1] if held else None
    value = None if now is None else read(now)
    if value is None:
        st.session_state.pop(key, None)
    else:
        # Also where it is the same: Streamlit forgets a widget's value at a change of the page unless it is set.
        st.session_state[key] = value


def hold(key: str, value: Value) -> Value:
    """``value`` of the widget ``key``, which the address says from now on."""
    text, held = _text(value), _held(key)
    if not held or held[-1] != text:
        held.append(text)
    if st.query_params.get(key) != text:
        st.query_params[key] = text
    return value


def later(key: str, value: str) -> None:
    """Let the widget ``key`` of the page that is opened next begin with ``value``."""
    _held(key).append(value)


def one_of(options: Sequence[str]) -> Callable[[str], str | None]:
    """Reads one of ``options``."""
    return lambda text: text if text in options else None


def some_of(options: Sequence[str]) -> Callable[[str], list[str] | None]:
    """Reads those of ``options`` that stand in a list with commas, unless there are none."""
    return lambda text: [option for option in options if option in text.split(",")] or None


def number(least: Value, most: Value, kind: Callable[[str], Value]) -> Callable[[str], Value | None]:
    """Reads a number from ``least`` to ``most``."""

    def read(text: str) -> Value | None:
        try:
            value: Any = kind(text)
            within: bool = least <= value <= most
        except ValueError:
            return None
        return value if within else None

    return read


def _text(value: object) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)


def _held(key: str) -> list[str]:
    """What was written for ``key`` since the browser last agreed, and that."""
    held: list[str] = st.session_state.setdefault("held", {}).setdefault(key, [])
    return held
