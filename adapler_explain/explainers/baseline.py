"""Baselines that no explanation should fall below."""

from __future__ import annotations

import numpy as np

from adapler_explain.explainers.request import PieceScores, Request


def random(request: Request) -> list[PieceScores]:
    """Uniform random scores in [0, 1), one for each word: all pieces of a word get the same."""
    generator = np.random.default_rng(request.seed)
    last = max(max(window.words) for window in request.windows)
    drawn = generator.random(last + 1)
    return [drawn[np.asarray(window.words)] for window in request.windows]
