"""Signatures: one line that fixes everything a figure depends on, so that it can be cited and repeated."""

from __future__ import annotations

from collections.abc import Mapping

from eraser_eval.metrics import METRICS
from eraser_eval.metrics.metric import Metric


def signatures(
    names: list[str], facts: Mapping[str, object], metrics: Mapping[str, Metric] = METRICS
) -> dict[str, str]:
    """Metric to its signature: the metric, how it is put together, then ``facts`` as ``key:value``, joined by ``|``.

    >>> signatures(["fpr"], {"data": "movies/test", "n": 199})["fpr"]
    'fpr|unit:word|budget:own|over:documents|data:movies/test|n:199'
    """
    tail = "|".join(f"{key}:{_plain(value)}" for key, value in facts.items())
    return {name: f"{name}|{metrics[name].fixes}|{tail}" for name in names}


def _plain(value: object) -> str:
    """``value`` without white space and without the sign that separates."""
    return "_".join(str(value).replace("|", "/").split())
