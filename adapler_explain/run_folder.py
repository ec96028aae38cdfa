"""Whose a run folder is: a run takes a folder that is new or its own, and leaves every other alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adapler_explain.explainers import EXPLAINERS
from eraser_eval.errors import UsageError
from eraser_eval.files import sweep, write_json


def check_claim(folder: Path, manifest: Mapping[str, Any], resume: bool) -> None:
    """Whether ``folder`` may become this run's: it is new or empty, or holds a run that was asked the same.

    An unfinished run that was asked something else is given up without ``resume``.

    Raises:
        UsageError: it holds something else, which is left alone.
    """
    if not folder.exists() or not any(folder.iterdir()):
        return
    path = folder / "manifest.json"
    try:
        old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError:
        old = {}
    if not isinstance(old, dict) or old.get("command") != "eval":
        raise UsageError(f"--output-dir {folder}: holds files that are no run of eval; give an empty or a new folder")
    changed = [key for key in manifest if key not in ("methods", "environment") and old.get(key) != manifest[key]]
    made_by = (old.get("environment") or {}).get("adapler_explain")
    if resume and made_by != manifest["environment"]["adapler_explain"]:
        raise UsageError(
            f"--resume: {folder} holds a run of version {made_by}, whose figures may mean something else; leave "
            "--resume out or give another --output-dir"
        )
    lost = [] if resume else [method for method in old["methods"] if method not in manifest["methods"]]
    if resume and changed:
        raise UsageError(
            f"--resume: {folder} holds a run with other {', '.join(changed)}; leave --resume out or give "
            "another --output-dir"
        )
    if (folder / "metrics.json").exists() and (changed or lost):
        reason = f"other {', '.join(changed)}" if changed else f"more methods ({', '.join(lost)})"
        raise UsageError(f"--output-dir {folder}: holds a finished run with {reason}; give another folder or remove it")


def claim(folder: Path, manifest: dict[str, Any], resume: bool) -> None:
    """Make ``folder`` this run's own: without ``resume`` remove an older run's files, and only those."""
    path = folder / "manifest.json"
    sweep(folder)
    if resume and path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))["methods"]
        old = [method for method in before if (folder / "predictions" / f"{method}.jsonl").is_file()]
        manifest["methods"] = list(dict.fromkeys([*old, *manifest["methods"]]))
    else:
        for method in EXPLAINERS:
            for name in (f"{method}.jsonl", f".{method}.jsonl.partial*", f"{method}@*.jsonl", f".{method}@*.partial*"):
                for file in (folder / "predictions").glob(name):
                    file.unlink()
    for name in ("metrics.json", "table.md", "per_document.csv", "comparison.png", "comparison.pdf"):
        (folder / name).unlink(missing_ok=True)
    write_json(path, manifest)
