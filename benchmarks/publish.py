"""Put what a run of ``eval`` may give away into ``docs/results``: figures and tables, and no text of the data set.

``python benchmarks/publish.py RUN docs/results/NAME``: ``metrics.json``, ``manifest.json`` (without places on the
machine), ``table.md``, ``overview.md`` (the table in README.md) and the figures for papers, with their data.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from adapler_explain.explainers import title_of
from eraser_eval import figures, report, tables
from eraser_eval.files import write_json, write_text
from eraser_eval.runs import read_run

# What says where things lay on the machine, and nothing of what they are.
PLACES = ("data_root", "reference_model")
SHOWN = ("pareto", "agreement", "calibration")
# Curves of all methods could not be told apart.
CURVES = ("layers", "precision-recall", "position")
FEW = ("adapler", "contribution", "attention", "attention-rollout", "input-x-gradient", "lrp", "lime", "random")


def main() -> None:
    """Publish a run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--style", default="acl-wide")
    asked = parser.parse_args()
    run = read_run(asked.run, asked.data_root)
    named = {"model": Path(run.manifest["model"]).name if run.manifest["reference_model"] else run.manifest["model"]}
    manifest = {key: value for key, value in run.manifest.items() if key not in PLACES} | named
    write_json(asked.target / "manifest.json", manifest)
    content = dict(run.figures) | named
    if run.manifest["reference_model"]:
        content |= {"reference_model": "fine-tuned", "explained": f"fine-tuned ({content['reference_model_checksum']})"}
    write_json(asked.target / "metrics.json", content)
    write_text(asked.target / "table.md", report.markdown(content))
    write_text(asked.target / "overview.md", tables.overview(content, title_of))
    few = [method for method in FEW if method in run.predictions]
    made = figures.plot([asked.run], SHOWN, asked.style, asked.target, title_of, asked.data_root)
    made += figures.plot([asked.run], CURVES, asked.style, asked.target, title_of, asked.data_root, few)
    for path in made:
        if path.suffix == ".svg":
            path.unlink()


if __name__ == "__main__":
    main()
