"""Published figures of explanations of ERASER Movie Reviews beside those of a published run of ours.

``python benchmarks/compared.py docs/results/explain-movies`` writes ``docs/results/COMPARED.md``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eraser_eval.files import write_text

# "Rationalized Transformer Predictor", EMNLP 2024: Movies, test, words, bert-base-uncased. Our name, AUPRC, token F1
# and IOU F1 of as many words as people marked, sufficiency, comprehensiveness.
PUBLISHED = {
    "random": ("random", 0.316, 0.312, 0.002, 0.227, 0.238),
    "integrated gradients": ("integrated-gradients", 0.376, 0.371, 0.009, 0.049, 0.484),
    "LIME": ("lime", 0.379, 0.369, 0.014, 0.005, 0.603),
    "occlusion": ("occlusion", 0.409, 0.377, 0.079, -0.021, 0.569),
    "Shapley value sampling": ("shapley-sampling", 0.442, 0.426, 0.020, -0.029, 0.827),
    "supervised on rationales": ("", 0.670, 0.626, 0.169, 0.001, 0.638),
}
COLUMNS = {
    "auprc": "AUPRC",
    "token_f1_at_gold": "Token F1 @gold",
    "iou_f1_at_gold": "IOU F1 @gold",
    "sufficiency_aopc": "Suff AOPC",
    "comprehensiveness_aopc": "Comp AOPC",
}


def page(figures: Mapping[str, Any], run: str) -> str:
    """The page, from the ``metrics.json`` of the run in the folder ``run``."""
    rows = [
        "| method | " + " | ".join(f"{title}, published | here" for title in COLUMNS.values()) + " |",
        "|---|" + "---:|" * (2 * len(COLUMNS)),
    ]
    for title, (method, *published) in PUBLISHED.items():
        ours = figures["methods"].get(method, {})
        cells = [f"{theirs:.3f} | {shown(ours.get(name))}" for name, theirs in zip(COLUMNS, published, strict=True)]
        rows.append(f"| {title} | {' | '.join(cells)} |")
    return f"""# Beside published figures

ERASER Movie Reviews, test, words. Published: bert-base-uncased, from "Rationalized Transformer Predictor" (EMNLP
2024). Here ([{run}]({run}/table.md)): a six-layer MiniLM, the bundled model with removal off;
{figures["documents"]} of {figures["documents_in_split"]} documents.

{chr(10).join(rows)}

Agreement with people (AUPRC, and F1 of as many words as people marked) can be compared, if not digit by digit: there a
text is cut off at 512 pieces, here it is read whole, and half of what people marked lies behind that. Faithfulness can
hardly be: there the rationale that is erased has the size of the gold one, here AOPC is the mean over the 1, 5, 10, 20
and 50 % of the words that score highest.

An empty cell: not run. LIME and Shapley value sampling take minutes a document on two cores and were run on
HateXplain's posts alone ([explain-hatexplain](explain-hatexplain/table.md)), where, as there, they are the most
faithful. `train --teacher human` supervises the predictors alone, and says so wherever it is used.

Made by `python benchmarks/compared.py docs/results/{run}`.
"""


def shown(figure: Mapping[str, Any] | None) -> str:
    """A figure of ours; empty where there is none."""
    return "" if figure is None or figure["value"] is None else f"{figure['value']:.3f}"


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    run = parser.parse_args().run
    figures = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    write_text(run.parent / "COMPARED.md", page(figures, run.name))


if __name__ == "__main__":
    main()
