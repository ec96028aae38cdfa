"""What a model does at every factor of its thresholds, and the factor that does what is wanted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Self

from adapler_explain.measure import Measured

POINTS = 24
# Factors grow by STEP until only [CLS] is left, and fall until nearly everything is.
STEP, LEAST, MOST = 4.0, 4.0**-4, 4.0**10
NEARLY_ALL = 0.99
# Two speeds that are the same.
CLOSE = 1.01
BISECTIONS = 8
# Thresholds that are higher and lower by this share have about the same score, but for luck.
MARGIN = 0.1
# A score that is a sum of many is as good as another although its last digits are not.
CLOSE_SCORE = 1e-9


@dataclass(frozen=True)
class Point:
    """What a model does at one factor, as :class:`adapler_explain.measure.Measured`, without the documents.

    Attributes:
        score, accuracy: on the split, the score by ``metric``.
        metric: the task's.
        pieces: of all windows.
        kept_pieces: for each layer the pieces that it processed.
        flops_speedup: how many times fewer operations than without removal.
    """

    score: float
    accuracy: float
    metric: str
    pieces: int
    kept_pieces: tuple[int, ...]
    flops_speedup: float

    @classmethod
    def of(cls, measured: Measured) -> Self:
        """That of ``measured``."""
        return cls(
            score=measured.score,
            accuracy=measured.accuracy,
            metric=measured.metric,
            pieces=measured.pieces,
            kept_pieces=tuple(measured.kept_pieces.tolist()),
            flops_speedup=measured.flops_speedup,
        )

    @property
    def kept(self) -> list[float]:
        """The share of the pieces that each layer processed."""
        return [pieces / self.pieces for pieces in self.kept_pieces]


def steady(scores: Mapping[float, float], factor: float, margin: float) -> float:
    """The score of ``factor``, or the mean over those up to ``margin`` lower and higher, where that is less.

    The fastest of many points that just meet an aim owes that to luck in part, and one on the edge of a fall does not
    meet it on other texts. The mean is that of the line through the scores over the logarithm of the factors, so that
    it does not matter where more of them were measured.

    Args:
        scores: of each factor that was measured.
        factor: one of them, above 0.
        margin: a share of it.

    >>> steady({0.5: 0.75, 1.0: 1.0, 2.0: 0.25, 4.0: 0.0}, 1.0, margin=1.0)
    0.75
    >>> steady({1.0: 1.0, 2.0: 0.0}, 1.0, margin=0.5)
    1.0
    """
    least, most = (factor * bound for bound in (1 / (1 + margin) - 1e-9, 1 + margin + 1e-9))
    near = sorted((math.log(other), score) for other, score in scores.items() if least <= other <= most)
    width = near[-1][0] - near[0][0]
    if not width:
        return scores[factor]
    area = math.fsum((b - a) * (one + other) / 2 for (a, one), (b, other) in pairwise(near))
    return min(scores[factor], area / width)


@dataclass
class Frontier:
    """What a model does at every factor that was tried, each measured once.

    Attributes:
        measure_at: measures a factor.
        points: factor to what was measured.
    """

    measure_at: Callable[[float], Point]
    points: dict[float, Point] = field(default_factory=dict)

    def at(self, factor: float) -> Point:
        """What the model does at ``factor``."""
        if factor not in self.points:
            self.points[factor] = self.measure_at(factor)
        return self.points[factor]

    @property
    def factors(self) -> list[float]:
        """Ascending."""
        return sorted(self.points)

    def sweep(self, windows: int) -> None:
        """Measure :data:`POINTS` factors, from where nothing falls to where each of the ``windows`` is down to [CLS].

        Factors are a power of :data:`STEP` apart, then lie between, so that no two speeds are far apart.
        """
        everything, factor = self.at(0.0).pieces, 1.0
        while self.at(factor).kept_pieces[0] > windows and factor < MOST:
            factor *= STEP
        factor = 1.0
        while self.at(factor).kept_pieces[-1] < NEARLY_ALL * everything and factor > LEAST:
            factor /= STEP
        while len(self.points) < POINTS:
            between = ((self._apart(a, b), math.sqrt(a * b)) for a, b in pairwise(self.factors[1:]) if b / a > CLOSE)
            widest, middle = max(between, default=(1.0, 1.0))
            if widest < CLOSE:
                break
            self.at(middle)

    def fastest(self, floor: float, margin: float = 0.0) -> float | None:
        """The factor above 0 of the fastest point that scores at least ``floor``, sought closely; None: none does.

        With a ``margin`` its :func:`steady` score does so too.
        """
        for _ in range(BISECTIONS):
            chosen = next(self._scoring(floor), None)
            above = next((factor for factor in self.factors if chosen is not None and factor > chosen), None)
            if chosen is None or above is None or self._apart(chosen, above) < CLOSE:
                break
            self.at(math.sqrt(chosen * above))
        tried: set[float] = set()
        while (factor := next((good for good in self._scoring(floor) if good not in tried), None)) is not None:
            tried.add(factor)
            if not margin:
                return factor
            for near in (factor / (1 + margin), factor * (1 + margin)):
                self.at(near)
            if steady({near: self.at(near).score for near in self.factors}, factor, margin) >= floor - CLOSE_SCORE:
                return factor
        return None

    def _scoring(self, floor: float) -> Iterator[float]:
        """Factors above 0 that score at least ``floor``, the fastest first."""
        good = self._where(lambda point: point.score >= floor - CLOSE_SCORE)
        yield from sorted(good, key=lambda factor: self.at(factor).flops_speedup, reverse=True)

    def best(self, least: float) -> float | None:
        """The factor above 0 of the best point with a FLOPs speedup of ``least``, sought closely; None: there is none.

        Of points that are equally good, the fastest.
        """
        for _ in range(BISECTIONS):
            fast = self._where(lambda point: point.flops_speedup >= least)
            if not fast or self.at(fast[0]).flops_speedup < least * CLOSE:
                break
            below = max(factor for factor in self.factors if factor < fast[0])
            self.at(math.sqrt(below * fast[0]) if below else fast[0] / STEP)
        fast = self._where(lambda point: point.flops_speedup >= least)
        return max(fast, key=lambda factor: (self.at(factor).score, self.at(factor).flops_speedup), default=None)

    def _where(self, fits: Callable[[Point], bool]) -> list[float]:
        return [factor for factor in self.factors if factor and fits(self.at(factor))]

    def _apart(self, one: float, other: float) -> float:
        ratio = self.at(one).flops_speedup / self.at(other).flops_speedup
        return max(ratio, 1 / ratio)
