"""The two components of the viewer; their code is in the ``.js`` and ``.css`` files beside this one."""

from __future__ import annotations

from functools import cache
from typing import Any

import streamlit as st

from adapler_app.exports import component_script, component_style


@cache
def _component(name: str) -> Any:
    return st.components.v2.component(f"adapler_{name}", js=component_script(name), css=component_style(name))


def word_strip(data: dict[str, Any], key: str) -> list[int]:
    """Show the strip of :func:`adapler_app.reading.strip_data`; the words that the reader switched off."""
    result = _component("strip")(data=data | {"key": key}, key=key, on_off_change=lambda: None)
    return [int(place) for place in result.off or []]


def side_by_side(data: dict[str, Any], key: str) -> None:
    """Show methods side by side, from :func:`adapler_app.comparison.compare_data`."""
    _component("compare")(data=data, key=key)
