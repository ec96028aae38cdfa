"""What the pages show more than once. The two components' code is in the ``.js`` and ``.css`` files beside this one."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import pandas as pd
import streamlit as st

from adapler_app.exports import component_script, component_style


@cache
def _component(name: str) -> Any:
    return st.components.v2.component(f"adapler_{name}", js=component_script(name), css=component_style(name))


class Switched(NamedTuple):
    """The words of a text that the reader has switched off, and how many clicks on words made them so."""

    off: frozenset[int] = frozenset()
    turn: int = 0


def word_strip(data: dict[str, Any], key: str, on_switch: Callable[[Switched], None] | None = None) -> None:
    """Show the strip of :func:`adapler_app.reading.strip_data`; ``on_switch`` gets all words that are then off."""

    def switch() -> None:
        sent = st.session_state[key].switch
        if on_switch is not None and isinstance(sent, dict):
            off = frozenset(place for place in sent.get("off", ()) if isinstance(place, int) and place >= 0)
            turn = sent.get("turn")
            on_switch(Switched(off, turn if isinstance(turn, int) else 0))

    _component("strip")(data=data | {"key": key}, key=key, on_switch_change=switch)


def pick_row(table: pd.DataFrame, key: str, title: str, **options: Any) -> int | None:
    """Show ``table``; the place of the row that the reader picked, or None."""
    event = st.dataframe(
        table, hide_index=True, on_select="rerun", selection_mode="single-row", key=key, alt=title, **options
    )
    picked = event["selection"]["rows"]
    return int(picked[0]) if picked and picked[0] < len(table) else None


def side_by_side(data: dict[str, Any], key: str) -> None:
    """Show methods side by side, from :func:`adapler_app.comparison.compare_data`."""
    _component("compare")(data=data, key=key)
