"""Put what a run may give away into ``docs/results``: figures and tables, and no text of the data set.

``python benchmarks/publish.py RUN docs/results/NAME`` for a run of ``eval``: ``metrics.json``, ``manifest.json``
(without places on the machine), ``table.md``, ``overview.md`` (the table in README.md) and the figures for papers, with
their data. ``python benchmarks/publish.py FOLDER docs/results`` for the folder of ``paper``: its tables, and the
figures of tasks and ablations.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from adapler_explain.explainers import title_of
from eraser_eval import figures, report, tables
from eraser_eval.files import write_json, write_text
from eraser_eval.runs import read_run

# What says where things lay on the machine, and nothing of what they are.
PLACES = ("data_root", "reference_model")
SHOWN = ("bars", "pareto", "agreement", "calibration")
# Curves of all methods could not be told apart.
CURVES = ("layers", "precision-recall", "position")
FEW = ("adapler", "contribution", "attention", "attention-rollout", "input-x-gradient", "lrp", "lime", "random")
# Of the folder of `paper`.
TABLES = ("tasks", "ablations", "teachers-*", "dropping")


def publish_run(folder: Path, target: Path, data_root: Path | None, look: str) -> None:
    """Publish a run of ``eval``."""
    run = read_run(folder, data_root)
    named = {"model": Path(run.manifest["model"]).name if run.manifest["reference_model"] else run.manifest["model"]}
    manifest = {key: value for key, value in run.manifest.items() if key not in PLACES} | named
    write_json(target / "manifest.json", manifest)
    content = dict(run.figures) | named
    if run.manifest["reference_model"]:
        content |= {"reference_model": "fine-tuned", "explained": f"fine-tuned ({content['reference_model_checksum']})"}
    write_json(target / "metrics.json", content)
    write_text(target / "table.md", report.markdown(content))
    write_text(target / "overview.md", tables.overview(content, title_of))
    few = [method for method in FEW if method in run.predictions]
    made = figures.plot([folder], SHOWN, look, target, title_of, data_root)
    made += figures.plot([folder], CURVES, look, target, title_of, data_root, few)
    for path in made:
        if path.suffix == ".svg":
            path.unlink()


def publish_paper(folder: Path, target: Path) -> None:
    """Publish the folder of ``paper``."""
    for name in TABLES:
        for path in sorted([*folder.glob(f"{name}.json"), *folder.glob(f"{name}.md")]):
            shutil.copy2(path, target / path.name)
    for part in ("tasks", "ablations"):
        for path in sorted((folder / "figures" / part).glob("*")):
            if path.suffix != ".svg":
                (target / part).mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, target / part / path.name)


def main() -> None:
    """Publish a run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--style", default="acl-wide")
    asked = parser.parse_args()
    if (asked.run / "paper.tex").is_file():
        publish_paper(asked.run, asked.target)
    else:
        publish_run(asked.run, asked.target, asked.data_root, asked.style)


if __name__ == "__main__":
    main()
