"""Run by ``benchmarks/explain.py`` in an environment that has ferret-xai: seconds of a whole evaluation of some texts.

``python ferret_run.py MODEL_FOLDER TEXTS.json`` prints a line of JSON, a list: of all its explainers, of those that
draw no texts (gradients), and of evaluating these explanations alone. Nothing of this project is imported.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path


@dataclass
class Spent:
    """Seconds and forward rows of several texts."""

    seconds: float = 0.0
    forward_rows: int = 0

    def add(self, seconds: float, rows: int) -> None:
        """Those of one more text."""
        self.seconds += seconds
        self.forward_rows += rows


def main() -> None:
    """Explain by its explainers and evaluate by all of its evaluators of faithfulness, one text at a time."""
    import torch
    from ferret import Benchmark, LIMEExplainer, SHAPExplainer  # type: ignore[import-not-found]
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder, file = sys.argv[1:]
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    benchmark = Benchmark(model, AutoTokenizer.from_pretrained(folder))
    rows = 0
    forward = model.forward

    def counted(*arguments: object, **named: object) -> object:
        nonlocal rows
        first = named.get("input_ids", named.get("inputs_embeds", arguments[0] if arguments else None))
        rows += len(first)  # type: ignore[arg-type]
        return forward(*arguments, **named)

    model.forward = counted
    texts = json.loads(Path(file).read_text(encoding="utf-8"))
    known = {"version": version("ferret-xai"), "torch": torch.__version__, "threads": torch.get_num_threads()}
    found = []
    drawing = (LIMEExplainer, SHAPExplainer)
    every = benchmark.explainers
    for explainers in (every, [explainer for explainer in every if not isinstance(explainer, drawing)]):
        benchmark.explainers = explainers
        whole, alone = Spent(), Spent()
        for number, text in enumerate([texts[0], *texts]):
            began, rows_before = time.perf_counter(), rows
            explanations = benchmark.explain(text, target=1, show_progress=False)
            made, rows_made = time.perf_counter(), rows
            benchmark.evaluate_explanations(explanations, target=1, show_progress=False)
            # The first round warms up.
            if number:
                whole.add(time.perf_counter() - began, rows - rows_before)
                alone.add(time.perf_counter() - made, rows - rows_made)
        for spent in (whole, alone) if explainers is not every else (whole,):
            found.append(known | asdict(spent) | {"explainers": len(explainers)})
    print(json.dumps(found))


if __name__ == "__main__":
    main()
