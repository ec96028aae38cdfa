"""What batching is worth to explanations and their evaluation: ``make bench-explain``.

One process, one model (the bundled one with removal off), the same documents; rounds are interleaved, ratios are those
of medians. Everything that is compared must agree first.

- Gradients: ours in packed batches against Captum, called for one document after the other.
- Integrated gradients of k steps against k gradients.
- Erasure metrics: ours against one input after the other, tokenised anew, through the stock model.
- A whole evaluation (explain by some methods, erase, measure) against ferret-xai, in an environment of its own
  (``--ferret PYTHON``), on texts short enough for it: with methods that draw hundreds of texts, and without; and the
  evaluation alone, of explanations that are there already.
- What Captum's ``LayerDeepLift`` lacks of its own completeness on these encoders, which is why it is not offered.
"""

from __future__ import annotations

import argparse
import copy
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from beside_ferret import ferret
from captum.attr import LayerDeepLift, LayerGradientXActivation
from scipy.stats import kendalltau
from timing import timed
from torch import nn

from adapler_explain import saliency
from adapler_explain.batches import Batches
from adapler_explain.bench.subjects import plain_stock
from adapler_explain.classifier import Classifier
from adapler_explain.environment import describe
from adapler_explain.erasure import Operator
from adapler_explain.explainers import EXPLAINERS
from adapler_explain.explainers.request import Asked, Request
from adapler_explain.faithfulness import FRACTIONS, Erasing
from adapler_explain.predict import Explained, Known, predict
from eraser_eval.datasets import bundled, limited, load
from eraser_eval.files import write_json
from eraser_eval.rationale import top_words
from eraser_eval.records import Document, Example


def gradients(classifier: Classifier, examples: Sequence[Example], rounds: int) -> dict[str, Any]:
    """Input × gradient of whole documents: ours, ours in bfloat16, and Captum's a document."""
    model = plain_stock(classifier.model)
    asked = [Asked(example, classifier.windows_of(example), 1, 0) for example in examples]
    half = copy.copy(classifier)
    half.model = copy.deepcopy(classifier.model).to(torch.bfloat16)

    def logit(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = model(input_ids=ids, attention_mask=mask).logits
        return logits[:, 1]

    method = LayerGradientXActivation(logit, model.bert.embeddings, multiply_by_inputs=True)

    def captum() -> list[np.ndarray]:
        found = []
        for one in asked:
            batch = classifier.batch(one.windows)
            values = method.attribute(batch["input_ids"], additional_forward_args=(batch["attention_mask"],))
            rows = values.norm(dim=-1).detach().cpu().numpy()
            found += [row[: len(window)] for row, window in zip(rows, one.windows, strict=True)]
        return found

    def ours() -> list[np.ndarray]:
        return EXPLAINERS["input-x-gradient"].explain(Request(classifier, asked, Batches()))

    def bfloat16() -> list[np.ndarray]:
        return EXPLAINERS["input-x-gradient"].explain(Request(half, asked, Batches()))

    whole, theirs, rounded = ours(), captum(), bfloat16()
    seconds = timed(rounds, ours=ours, bfloat16=bfloat16, captum=captum)
    return {
        "documents": len(examples),
        "windows": sum(len(one.windows) for one in asked),
        "largest_relative_difference": drift(whole, theirs),
        "bfloat16_largest_relative_difference": drift(rounded, whole),
        "bfloat16_kendall_tau": float(
            np.mean([kendalltau(a, b).statistic for a, b in zip(rounded, whole, strict=True)])
        ),
        "seconds": seconds,
        "speedup": seconds["captum"] / seconds["ours"],
        "bfloat16_speedup": seconds["captum"] / seconds["bfloat16"],
    }


def drift(made: Sequence[np.ndarray], wanted: Sequence[np.ndarray]) -> float:
    """The largest difference of a window's scores, as a share of its largest score."""
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(made, wanted, strict=True))


def shortened(examples: Sequence[Example]) -> list[Example]:
    """Texts of 6 to 60 words, as people write them to each other: the beginnings of ``examples``."""
    lengths = [6 + (17 * number) % 55 for number in range(len(examples))]
    texts = [example.words[:length] for example, length in zip(examples, lengths, strict=True)]
    return [Example(str(n), (Document(str(n), (tuple(words),)),), "") for n, words in enumerate(texts)]


def path_integral(classifier: Classifier, examples: Sequence[Example], rounds: int, steps: int = 10) -> dict[str, Any]:
    """Integrated gradients of ``steps`` steps over as many gradients."""
    windows = [window for example in examples for window in classifier.windows_of(example)][:8]
    batch = classifier.batch(windows)
    target = torch.ones(len(windows), dtype=torch.long, device=classifier.device)
    baseline = saliency.blanked(batch["input_ids"], classifier.tokenizer)
    packed = saliency.entered(classifier.model, batch)

    def gradients() -> None:
        for _ in range(steps):
            saliency.target_gradients(classifier.model, packed, target)

    seconds = timed(
        rounds,
        integrated=lambda: saliency.integrated_gradients(classifier.model, batch, target, baseline, steps),
        gradients=gradients,
    )
    return {"steps": steps, "seconds": seconds, "ratio": seconds["integrated"] / seconds["gradients"]}


class Logits(nn.Module):
    """A stock classifier that gives its logits alone, which is what Captum wants."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Logits ``[batch, classes]``."""
        logits: torch.Tensor = self.model(input_ids=ids, attention_mask=mask).logits
        return logits


def deep_lift(classifier: Classifier, examples: Sequence[Example]) -> dict[str, Any]:
    """What the scores of Captum's DeepLift lack of the logit's difference to the baseline, as a share of it."""
    model = Logits(plain_stock(classifier.model)).eval()
    method = LayerDeepLift(model, model.model.bert.embeddings)
    lacking = []
    for example in examples:
        batch = classifier.batch(classifier.windows_of(example)[:1])
        ids, mask = batch["input_ids"], batch["attention_mask"]
        blank = saliency.blanked(ids, classifier.tokenizer)
        scores = method.attribute(ids, baselines=blank, target=1, additional_forward_args=(mask,))
        with torch.no_grad():
            difference = float((model(ids, mask) - model(blank, mask))[0, 1])
        lacking.append(abs(float(scores.detach().sum()) - difference) / abs(difference))
    return {"windows": len(lacking), "median_lacking": statistics.median(lacking), "lacking": lacking}


def erasures(classifier: Classifier, examples: Sequence[Example], rounds: int) -> dict[str, Any]:
    """The inputs of ERASER's faithfulness metrics: ours, and a loop over documents and inputs."""
    model = plain_stock(classifier.model)
    budgets = {example.id: max(1, len(example.words) // 10) for example in examples}
    known = Known()
    bare = predict(examples, "first-words", Explained(classifier), known, budgets)
    operator = Operator("remove")

    def ours() -> list[Any]:
        explained = Explained(classifier, erasing=Erasing(operator))
        return predict(examples, "first-words", explained, Known(), budgets)

    def probabilities(words: Sequence[str]) -> np.ndarray:
        batch = classifier.batch(classifier.windows(words)) if words else None
        if batch is None:
            batch = dict(classifier.tokenizer("", return_tensors="pt").to(classifier.device))
        with torch.inference_mode():
            shares: np.ndarray = model(**batch).logits.double().softmax(-1).mean(0).cpu().numpy()
        return shares

    def loop() -> list[list[np.ndarray]]:
        found = []
        for example, made in zip(examples, bare, strict=True):
            scores = np.concatenate([made.scores[document.docid] for document in example.documents])
            masks = [top_words(scores, made.words_chosen)]
            masks += [top_words(scores, int(np.ceil(share * len(scores)))) for share in FRACTIONS]
            rows = [probabilities(example.words), probabilities(())]
            for mask in masks:
                for gone in (mask, ~mask):
                    rows.append(probabilities([w for w, out in zip(example.words, gone, strict=True) if not out]))
            found.append(rows)
        return found

    largest = 0.0
    for made, rows in zip(ours(), loop(), strict=True):
        pairs = [(made.empty, rows[1]), (made.erased, rows[2]), (made.kept, rows[3])]
        for number, erasure in enumerate(made.erasures):
            pairs += [(erasure.erased, rows[4 + 2 * number]), (erasure.kept, rows[5 + 2 * number])]
        largest = max(largest, *(float(np.abs(np.array(list(a.values())) - b).max()) for a, b in pairs))
    seconds = timed(rounds, ours=ours, loop=loop)
    return {
        "documents": len(examples),
        "largest_difference": largest,
        "seconds": seconds,
        "speedup": seconds["loop"] / seconds["ours"],
    }


def markdown(figures: Mapping[str, Any]) -> str:
    """The figures as a table."""
    rows = []
    for name, what in (("gradients", "documents"), ("gradients_short", "texts of 6 to 60 words")):
        found = figures[name]
        head, error = f"input × gradient, {found['documents']} {what}", found["largest_relative_difference"]
        rows += [
            f"| {head} | Captum, one at a time | {found['speedup']:.2f}× | {error:.1e} |",
            f"| the same in bfloat16 | Captum, one at a time, float32 | {found['bfloat16_speedup']:.2f}× "
            f"| {found['bfloat16_largest_relative_difference']:.1e}, Kendall's τ {found['bfloat16_kendall_tau']:.3f} |",
        ]
    rows += [
        f"| integrated gradients, {figures['integrated']['steps']} steps | as many gradients "
        f"| {figures['integrated']['ratio']:.2f} of their time | |",
        f"| erasure metrics, {figures['erasures']['documents']} documents | stock model, an input at a time "
        f"| {figures['erasures']['speedup']:.2f}× | {figures['erasures']['largest_difference']:.1e} of a probability |",
    ]
    for found in figures.get("ferret", ()):
        rows.append(
            f"| {found['what']}, {found['texts']} texts of at most {found['words_at_most']} words "
            f"| ferret-xai {found['ferret']['version']} | {found['speedup']:.1f}× | other algorithms |"
        )
    lift = figures["deep_lift"]
    rows.append(
        f"| not offered: DeepLift, {lift['windows']} windows | Captum's ``LayerDeepLift`` | "
        f"| lacks {lift['median_lacking']:.0%} of completeness (median) |".replace("``", "`")
    )
    return "\n".join(["| ours | beside | faster | largest difference |", "|---|---|---:|---:|", *rows, ""])


def main() -> None:
    """Print the figures, and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, help="where ERASER's movies are; else the bundled sample")
    parser.add_argument("--documents", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ferret", help="a Python that has ferret-xai")
    parser.add_argument("--ferret-texts", type=int, default=4)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--json", type=Path, help="write the figures there, and the table beside it")
    asked = parser.parse_args()
    classifier = Classifier.load(bundled("models/adapler-movies"), asked.device)
    split = limited(load("movies", "test", asked.data_root), asked.documents)
    figures: dict[str, Any] = {
        "model": classifier.checksum,
        "data": f"{split.info.title}, {split.source}, {split.name}",
        "environment": describe(asked.device),
        "gradients": gradients(classifier, split.examples, asked.rounds),
        "gradients_short": gradients(classifier, shortened(split.examples), asked.rounds),
        "integrated": path_integral(classifier, split.examples, asked.rounds),
        "deep_lift": deep_lift(classifier, split.examples),
        "erasures": erasures(classifier, split.examples[: max(2, asked.documents // 4)], max(1, asked.rounds // 2)),
    }
    if asked.ferret:
        figures["ferret"] = ferret(classifier, split.examples[: asked.ferret_texts], asked.ferret)
    print(markdown(figures), end="")
    if asked.json:
        write_json(asked.json, figures)
        asked.json.with_suffix(".md").write_text(markdown(figures), encoding="utf-8")


if __name__ == "__main__":
    main()
