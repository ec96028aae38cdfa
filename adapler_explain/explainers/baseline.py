"""Baselines that no explanation should fall below, and the two ends of the scale; all score words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from math import log

import numpy as np

from adapler_explain.explainers.request import Request, WordScores


def random(request: Request) -> list[WordScores]:
    """Uniform random scores in [0, 1)."""
    return [np.random.default_rng(asked.seed).random(asked.words) for asked in request.asked]


def first_words(request: Request) -> list[WordScores]:
    """How many words the document has from the word on: the earlier, the higher."""
    return [np.arange(asked.words, 0, -1, dtype=np.float64) for asked in request.asked]


def longest_words(request: Request) -> list[WordScores]:
    """The number of the word's characters."""
    return [np.array([len(word) for word in asked.example.words], dtype=np.float64) for asked in request.asked]


def tf_idf(request: Request) -> list[WordScores]:
    """How often the word stands in the document, times its inverse document frequency; 1 where that is not known."""
    scores = []
    for asked in request.asked:
        words = [word.lower() for word in asked.example.words]
        count = Counter(words)
        scores.append(np.array([count[word] * request.idf.get(word, 1.0) for word in words]))
    return scores


def every_word(request: Request) -> list[WordScores]:
    """1 for every word, and all of them as rationale."""
    return [np.ones(asked.words) for asked in request.asked]


def gold(request: Request) -> list[WordScores]:
    """1 for the words that people marked, which are the rationale; 0 for the others."""
    return [asked.example.gold_mask.astype(np.float64) for asked in request.asked]


def inverse_document_frequency(documents: Iterable[Sequence[str]]) -> dict[str, float]:
    """Each word's (lower case) log of documents over those that hold it, plus 1.

    >>> inverse_document_frequency([["A", "b"], ["a"]])["a"]
    1.0
    """
    texts = [{word.lower() for word in words} for words in documents]
    holding = Counter(word for words in texts for word in words)
    return {word: log(len(texts) / count) + 1 for word, count in holding.items()}
