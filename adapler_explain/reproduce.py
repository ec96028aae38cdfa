"""Repeating a run of ``eval`` from its manifest, and saying of every figure whether it came out the same."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from adapler_explain.evaluate import EvalConfig, evaluate
from eraser_eval.errors import DataError, MissingError, UsageError
from eraser_eval.files import write_json
from eraser_eval.runs import manifest_of

EQUAL, WITHIN, DIFFERENT = "equal", "within interval", "different"
# Rounding in other kernels and orders of summation moves a figure by less.
ROUNDING = 1e-9
# What takes another time each time, and says nothing of the result.
CLOCKS = ("seconds_per_document",)
REASONS = ("data_checksum", "model_checksum", "reference_model_checksum", "source", "documents", "environment")


def reproduce(manifest: Path, output_dir: Path | None = None, data_root: str | None = None) -> dict[str, Any]:
    """What repeating the run gave: ``figures``, path to verdict and both values; ``counts``; and ``reasons``.

    The verdict of a figure is ``equal`` (to rounding), ``within interval`` (of the first run's own 95 % interval) or
    ``different``. The reasons are what differs between the runs: data, model, versions, device. Written as
    ``reproduction.json`` into the folder of the repetition.

    Args:
        manifest: ``manifest.json`` of a finished run, or its folder.
        output_dir: of the repetition; None: the run's folder with ``-again``.
        data_root: where the data are now; None: where the run found them.

    Raises:
        UsageError: ``--add`` was used, whose files the manifest names by checksum alone.
        UserError: the run is not complete, or its data or model are gone.
    """
    folder = manifest if manifest.is_dir() else manifest.parent
    asked = manifest_of(folder)
    if asked is None:
        raise MissingError(f"{manifest}: not the manifest.json of an 'eval' run")
    if not (folder / "metrics.json").is_file():
        raise MissingError(f"{folder / 'metrics.json'}: is missing; finish the run with 'eval --resume'")
    if asked.get("add"):
        raise UsageError(f"{manifest}: the run had --add; repeat it by hand with the same files")
    before = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    target = output_dir or folder.with_name(f"{folder.name}-again")
    config = replace(config_of(asked, folder), output_dir=str(target))
    if data_root is not None:
        config = replace(config, data_root=data_root)
    _, after = evaluate(config)
    again = manifest_of(target) or {}
    found = compared(before, after)
    reasons = {name: [asked.get(name), again.get(name)] for name in REASONS if asked.get(name) != again.get(name)}
    result = {
        "run": str(folder),
        "repetition": str(target),
        "counts": {verdict: Counter(row["verdict"] for row in found.values())[verdict] for verdict in VERDICTS},
        "reasons": reasons,
        "figures": found,
    }
    write_json(target / "reproduction.json", result)
    return result


VERDICTS = (EQUAL, WITHIN, DIFFERENT)


def config_of(manifest: Mapping[str, Any], folder: Path) -> EvalConfig:
    """The settings that ``manifest`` records.

    Raises:
        DataError: a setting has the wrong form.
    """
    known = {field.name for field in fields(EvalConfig)} - {"resume", "add", "output_dir"}
    values = {name: manifest[name] for name in known if name in manifest}
    try:
        values |= {name: tuple(values[name]) for name in ("methods", "fractions") if name in values}
        values["model"] = None if manifest["model"] == "bundled model" else manifest["model"]
        return EvalConfig(**values)
    except (KeyError, TypeError) as error:
        raise DataError(folder / "manifest.json", f"is not that of an 'eval' run ({error!r})") from None


def compared(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Every number of ``before`` beside that of ``after``, by its path in ``metrics.json``.

    >>> compared({"a": {"value": 1.0, "low": 0.0, "high": 2.0}}, {"a": {"value": 1.5, "low": 0.1, "high": 2.0}})
    {'a': {'verdict': 'within interval', 'first': 1.0, 'second': 1.5}}
    """
    second = dict(_numbers(after))
    found = {}
    for path, (value, low, high) in _numbers(before):
        other = second.get(path, (None, None, None))[0]
        same = value == other or (
            value is not None and other is not None and math.isclose(value, other, rel_tol=ROUNDING, abs_tol=ROUNDING)
        )
        inside = other is not None and low is not None and high is not None and low <= other <= high
        verdict = EQUAL if same else WITHIN if inside else DIFFERENT
        found[path] = {"verdict": verdict, "first": value, "second": other}
    return found


Number = tuple[float | None, float | None, float | None]


def _numbers(content: Any, path: str = "") -> Iterator[tuple[str, Number]]:
    """Each number of a nested figure with its interval, where it has one, by dotted path."""
    if isinstance(content, Mapping):
        if "value" in content:
            yield path, (content["value"], content.get("low"), content.get("high"))
            return
        for key, value in content.items():
            if key not in CLOCKS:
                yield from _numbers(value, f"{path}.{key}" if path else str(key))
    elif isinstance(content, list):
        for place, value in enumerate(content):
            yield from _numbers(value, f"{path}.{place}")
    elif isinstance(content, int | float) and not isinstance(content, bool):
        yield path, (float(content), None, None)
