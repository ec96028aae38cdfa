"""The address holds what is seen: widgets begin with what it says, or with what the reader wished on another page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import quote, unquote

import streamlit as st

Number = TypeVar("Number", int, float)
Value = TypeVar("Value")


def begin(key: str, read: Callable[[str], Any]) -> None:
    """Give the widget ``key``, before it is made, what the reader wished: by a link or by the widget on any page.

    The address counts where it is not what :func:`hold` wrote: in a link, or after the browser's back button. The
    browser may be late: until it says what was written last, what was written before is an echo. A wish that cannot be
    granted here is kept for where it can.

    Args:
        key: of the widget, whose ``on_change`` is :func:`changed`, and of the address's parameter.
        read: the widget's value from the parameter's text; None where it cannot be used.
    """
    written, asked = _state("written").setdefault(key, []), st.query_params.get(key)
    if written and asked == written[-1]:
        del written[:-1]
    if asked is not None and asked not in written and read(asked) is not None:
        _state("wishes")[key] = asked
    wish = _state("wishes").get(key)
    value = None if wish is None else read(wish)
    page, seen_on = st.session_state.get("page"), _state("seen_on")
    moved, seen_on[key] = seen_on.get(key) != page, page
    if value is None:
        st.session_state.pop(key, None)
    elif moved or key not in st.session_state or st.session_state[key] != value:
        # After a change of the page also where it is the same, as Streamlit forgets it unless it is set; otherwise not,
        # as what is set moves a slider back under the reader's hand.
        st.session_state[key] = value


def changed(key: str) -> None:
    """Note what the reader chose in the widget ``key``."""
    _state("wishes")[key] = _text(st.session_state[key])


def hold(key: str, value: Value) -> Value:
    """``value`` of the widget ``key``, which the address says from now on."""
    text, written = _text(value), _state("written").setdefault(key, [])
    if not written or written[-1] != text:
        written.append(text)
    if st.query_params.get(key) != text:
        st.query_params[key] = text
    return value


def later(key: str, value: str) -> None:
    """Let the widget ``key`` of the page that is opened next begin with ``value``."""
    _state("wishes")[key] = value


def one_of(options: Sequence[str]) -> Callable[[str], str | None]:
    """Reads one of ``options``."""
    return lambda text: text if text in options else None


def some_of(options: Sequence[str]) -> Callable[[str], list[str] | None]:
    """Reads those of ``options`` that stand in a list with commas; None where others do and none of them."""

    def read(text: str) -> list[str] | None:
        named = [unquote(part) for part in text.split(",") if part]
        return [option for option in options if option in named] or (None if named else [])

    return read


def number(least: Number, most: Number, kind: Callable[[str], Number]) -> Callable[[str], Number | None]:
    """Reads a number, moved to ``least`` or ``most`` where it is beyond."""

    def read(text: str) -> Number | None:
        try:
            return min(max(kind(text), least), most)
        except ValueError:
            return None

    return read


def _text(value: object) -> str:
    return ",".join(quote(str(part), safe="") for part in value) if isinstance(value, list) else str(value)


def _state(name: str) -> dict[str, Any]:
    state: dict[str, Any] = st.session_state.setdefault(f"link_{name}", {})
    return state
