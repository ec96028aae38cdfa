"""The statistics of one method on a set of examples, in one run or several (seeds), and its resamples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from eraser_eval import bootstrap
from eraser_eval.metrics.metric import Metric

FloatArray = NDArray[np.float64]
# What our prediction files say that an explanation took: windows through the model, windows back, operations.
COSTS = ("forward", "backward", "flops")


@dataclass(frozen=True)
class Method:
    """One method's statistics: ``columns`` is ``[runs, examples, columns]`` in the order of ``ids`` and ``names``.

    A column with an infinite value is undefined throughout; ``infinite`` counts such values.
    """

    ids: tuple[str, ...]
    names: tuple[str, ...]
    columns: FloatArray
    infinite: Mapping[str, int]
    means: Mapping[str, float | None]

    @classmethod
    def of(cls, tables: Sequence[pd.DataFrame], metrics: Mapping[str, Metric]) -> Method:
        """The method of which ``tables`` are the runs."""
        names = tuple(sorted({column for metric in metrics.values() for column in metric.columns}))
        ids = tuple(tables[0]["annotation_id"])
        ordered = [table.set_index("annotation_id") for table in tables]
        if any(set(table.index) != set(ids) or len(table) != len(ids) for table in ordered):
            raise ValueError(f"the runs of {tables[0]['method'].iloc[0]!r} do not cover the same documents")
        columns = np.stack([table.loc[list(ids)].reindex(columns=names).to_numpy(float) for table in ordered])
        infinite = np.isinf(columns).sum(axis=(0, 1))
        columns[:, :, infinite > 0] = np.nan
        counted = [name for name in ("rationale_words", "seconds", *COSTS) if name in tables[0]]
        means = {name: _mean([table[name] for table in tables]) for name in counted}
        return cls(ids, names, columns, dict(zip(names, infinite.tolist(), strict=True)), means)

    def restricted(self, ids: Sequence[str]) -> Method:
        """The same with only the examples ``ids``, in their order."""
        place = {identifier: number for number, identifier in enumerate(self.ids)}
        return replace(self, ids=tuple(ids), columns=self.columns[:, [place[identifier] for identifier in ids]])

    def where_defined(self, other: Method) -> Method:
        """The same, undefined wherever ``other``, of the same examples, is in one of its runs."""
        gap = np.isnan(self.columns).any(axis=0) | np.isnan(other.columns).any(axis=0)
        return replace(self, columns=np.where(gap, np.nan, self.columns))

    def count(self, metric: Metric) -> int:
        """The examples where ``metric`` is defined in every run."""
        return int((~np.isnan(self.of_metric(metric, self.columns)).any(axis=(0, 2))).sum())

    def of_metric(self, metric: Metric, columns: FloatArray) -> FloatArray:
        """Those of ``columns`` (last axis as ``names``) that ``metric`` needs."""
        chosen: FloatArray = columns[..., [self.names.index(column) for column in metric.columns]]
        return chosen


def resampled(
    method: Method, metrics: Mapping[str, Metric], draws: bootstrap.Bootstrap, stream: int
) -> dict[str, FloatArray]:
    """Metric to its values of all examples and of every resample, ``[1 + resamples]``, over drawn runs.

    The documents drawn are the same for all methods; runs are drawn by ``stream``, as run 1 of two methods is no pair.
    """
    runs, examples, width = method.columns.shape
    flat = method.columns.transpose(1, 0, 2).reshape(examples, runs * width)
    means = draws.means(flat).reshape(-1, runs, width)
    generator = np.random.default_rng([draws.seed, 2, stream])
    chosen = generator.integers(runs, size=(len(means), runs))
    chosen[0] = np.arange(runs)
    values = {}
    for name, metric in metrics.items():
        each = metric.aggregate(tuple(np.moveaxis(method.of_metric(metric, means), -1, 0)))
        values[name] = np.take_along_axis(each, chosen, axis=1).mean(axis=1)
    return values


def jackknifed(method: Method, metric: Metric) -> FloatArray:
    """The metric without each of the examples in turn, ``[examples]``, mean over runs."""
    found: FloatArray = np.mean(
        [bootstrap.jackknife(method.of_metric(metric, run), metric) for run in method.columns], axis=0
    )
    return found


def _mean(columns: Sequence[pd.Series[Any]]) -> float | None:
    value = float(np.mean([column.astype(float).mean() for column in columns]))
    return None if np.isnan(value) else value
