"""A whole evaluation of short texts by us and by ferret-xai, for ``benchmarks/explain.py``."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import kendalltau
from timing import timed

from adapler_explain.bench.subjects import plain_stock
from adapler_explain.classifier import Classifier
from adapler_explain.erasure import Operator
from adapler_explain.faithfulness import Erasing, with_erasures
from adapler_explain.predict import Explained, Known, predict
from eraser_eval.records import Document, Example

GRADIENTS = ("saliency", "input-x-gradient", "integrated-gradients", "gradient-shap", "leave-one-out")
DRAWING = ("lime", "kernel-shap")
FERRET = Path(__file__).with_name("ferret_run.py")
# As many explanations as ferret has without those that draw texts.
GIVEN = GRADIENTS[:4]
TENTHS = tuple(number / 10 for number in range(1, 11))


def evaluation(
    classifier: Classifier, examples: Sequence[Example], budgets: Mapping[str, int]
) -> Callable[[], list[float]]:
    """What evaluates explanations that it makes now: erasures, and rank agreement with leaving one word out.

    Predictions for the whole texts are there already.
    """
    known = Known()
    predictions = [predict(examples, method, Explained(classifier), known, budgets) for method in GIVEN]

    def evaluate() -> list[float]:
        nothing: dict[Any, np.ndarray] = {}
        for made in predictions:
            with_erasures(made, examples, Erasing(Operator("remove"), TENTHS), classifier, False, 1.0, nothing)
        left_out = predict(examples, "leave-one-out", Explained(classifier), known, budgets)
        return [
            float(kendalltau(one.scores[docid], other.scores[docid]).statistic)
            for made in predictions
            for one, other in zip(made, left_out, strict=True)
            for docid in one.scores
        ]

    return evaluate


def ferret(classifier: Classifier, examples: Sequence[Example], python: str) -> list[dict[str, Any]]:
    """Seconds for a whole evaluation of the same short texts, by ferret in its own environment and by us.

    With all methods, with those that draw no texts, and of explanations that are there already.
    """
    texts = [" ".join(example.words[:24]) for example in examples]
    short = [Example(str(n), (Document(str(n), (tuple(t.split()),)),), "") for n, t in enumerate(texts)]
    budgets = {example.id: 5 for example in short}

    def ours(methods: Sequence[str]) -> None:
        explained = Explained(classifier, erasing=Erasing(Operator("remove"), TENTHS))
        known = Known()
        for method in methods:
            predict(short, method, explained, known, budgets)

    chosen = ((*GRADIENTS, *DRAWING), GRADIENTS)
    seconds = [
        timed(rounds, ours=partial(ours, methods))["ours"] for rounds, methods in zip((1, 3), chosen, strict=True)
    ]
    seconds.append(timed(3, ours=evaluation(classifier, short, budgets))["ours"])
    with tempfile.TemporaryDirectory() as folder:
        plain_stock(classifier.model).save_pretrained(folder)
        classifier.tokenizer.save_pretrained(folder)
        asked = Path(folder) / "texts.json"
        asked.write_text(json.dumps(texts), encoding="utf-8")
        ended = subprocess.run([python, str(FERRET), folder, str(asked)], capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SystemExit(f"--ferret {python}: {ended.stderr.strip().splitlines()[-1]}")
    return [
        {
            "texts": len(texts),
            "words_at_most": 24,
            "what": what,
            "ours": {"methods": list(methods), "seconds": own},
            "ferret": theirs,
            "speedup": theirs["seconds"] / own,
        }
        for what, methods, own, theirs in zip(
            ("whole evaluation", "the same without LIME and SHAP", "evaluation of explanations that are there"),
            (*chosen, GIVEN),
            seconds,
            json.loads(ended.stdout.strip().splitlines()[-1]),
            strict=True,
        )
    ]
