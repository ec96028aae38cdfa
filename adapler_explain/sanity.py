"""Checks that an explanation must pass before anyone looks at it, on the documents of a data set.

- **Randomised weights**: an explanation of the model should change when the model's weights are drawn anew; the rank
  correlation of the word scores with those of the trained model should be near 0. Of AdapLeR's own explanations the
  predictors are drawn anew as well.
- **Other class**: the rank correlation with the explanation of another class. 1 for a method that does not see it; of
  two classes, signed scores of one are nearly those of the other with the sign turned, and come near -1.
- **Same text**: the same words in capitals. For an uncased tokenizer the text is the same, so that it should be 1.
  (Other white space cannot matter: documents are words.) A document that cannot be read in capitals does not count.
- **Methods beside each other**: rank agreement (Kendall's tau), and the share of top words in common, of as many as
  AdapLeR keeps.
- **By construction**: at every layer the words that AdapLeR has dropped are erased from that layer on: its prediction
  must not move. From the kept words alone, read from the start, it may.

Source: Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018, for the first.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import kendalltau, spearmanr

from adapler_explain.classifier import Classifier
from adapler_explain.erasure import Operator, erase, probabilities
from adapler_explain.explainers import named
from adapler_explain.explainers.adapler import alive_in
from adapler_explain.explainers.baseline import inverse_document_frequency
from adapler_explain.explainers.request import Asked, Request
from adapler_explain.predict import mean_probabilities
from adapler_explain.windows import TextError
from eraser_eval.rationale import top_words
from eraser_eval.records import Example

Scores = list[NDArray[np.float64]]


@dataclass(frozen=True)
class Checked:
    """What is checked.

    Attributes:
        classifier: an AdapLeR classifier.
        examples: documents.
        methods: names of explainers.
        seed: of methods that draw, and of the new weights.
    """

    classifier: Classifier
    examples: Sequence[Example]
    methods: Sequence[str]
    seed: int = 0

    def scores(
        self,
        method: str,
        targets: Sequence[int],
        classifier: Classifier | None = None,
        examples: Sequence[Example] | None = None,
    ) -> Scores:
        """The word scores of every document."""
        classifier, examples = classifier or self.classifier, examples or self.examples
        explainer, layer = named(method, classifier.model.config.num_hidden_layers)
        asked = [
            Asked(example, classifier.windows_of(example), target, self.seed + number)
            for number, (example, target) in enumerate(zip(examples, targets, strict=True))
        ]
        idf = inverse_document_frequency(example.words for example in self.examples)
        return explainer.word_scores(Request(classifier, asked, layer=layer, idf=idf))


def check(checked: Checked) -> dict[str, Any]:
    """The figures of every check; correlations are means over the documents where they are defined, else None."""
    classifier = checked.classifier
    cut = [classifier.windows_of(example) for example in checked.examples]
    shares = [mean_probabilities(classifier, windows, True) for windows in cut]
    targets = [int(row.argmax()) for row in shares]
    others = [int(np.argsort(-row)[1]) for row in shares]
    drawn = {
        "randomised_last_layer": randomised(classifier, checked.seed, last_layer_only=True),
        "randomised": randomised(classifier, checked.seed),
    }
    rewritten, read = _rewritten(checked)
    own: dict[str, Scores] = {method: checked.scores(method, targets) for method in checked.methods}
    rows: dict[str, dict[str, float | None]] = {}
    for method in checked.methods:
        rows[method] = {
            name: mean_correlation(own[method], checked.scores(method, targets, model)) for name, model in drawn.items()
        }
        rows[method]["other_class"] = mean_correlation(own[method], checked.scores(method, others))
        again = checked.scores(method, targets, examples=rewritten)
        rows[method]["same_text"] = mean_correlation(
            [scores for scores, able in zip(own[method], read, strict=True) if able],
            [scores for scores, able in zip(again, read, strict=True) if able],
        )
    return {
        "documents": len(checked.examples),
        "model": classifier.checksum,
        "seed": checked.seed,
        "methods": rows,
        "agreement": agreement(own, _kept(checked)),
        "by_construction": by_construction(checked),
    }


def randomised(classifier: Classifier, seed: int, last_layer_only: bool = False) -> Classifier:
    """The same with weights drawn anew: matrices normally with the spread they have, vectors permuted.

    Args:
        classifier: is left as it is.
        seed: of the draw.
        last_layer_only: only those of the last layer and of what reads it: pooler and classifier.
    """
    model = copy.deepcopy(classifier.model)
    generator = torch.Generator().manual_seed(seed)
    last = f".{model.config.num_hidden_layers - 1}."
    with torch.no_grad():
        for name, weight in model.named_parameters():
            top = last in name or name.startswith(("classifier", "pre_classifier", "head")) or ".pooler." in name
            if (last_layer_only and not top) or name.endswith(("eta", "theta")):
                continue
            if weight.dim() > 1:
                fresh = torch.randn(weight.shape, generator=generator) * weight.std().cpu() + weight.mean().cpu()
            else:
                fresh = weight.cpu()[torch.randperm(len(weight), generator=generator)]
            weight.copy_(fresh)
    return Classifier(model.eval(), classifier.tokenizer, classifier.window_pieces)


def mean_correlation(first: Scores, second: Scores) -> float | None:
    """Spearman's correlation of each document's scores, the mean over documents where both vary; None where none do."""
    found = [
        float(spearmanr(a, b).statistic)
        for a, b in zip(first, second, strict=True)
        if len(a) > 2 and np.ptp(a) > 0 and np.ptp(b) > 0
    ]
    return float(np.mean(found)) if found else None


def agreement(own: Mapping[str, Scores], kept: Sequence[int]) -> list[dict[str, Any]]:
    """Of every two methods Kendall's tau and the share of top words, as many as ``kept``, in common; means."""
    names = list(own)
    rows = []
    for place, one in enumerate(names):
        for other in names[place + 1 :]:
            pairs = list(zip(own[one], own[other], kept, strict=True))
            taus = [float(kendalltau(a, b).statistic) for a, b, _ in pairs if np.ptp(a) > 0 and np.ptp(b) > 0]
            overlaps = [
                float((top_words(a, count) & top_words(b, count)).sum() / count) for a, b, count in pairs if count
            ]
            rows.append(
                {
                    "methods": [one, other],
                    "kendall_tau": float(np.mean(taus)) if taus else None,
                    "top_words_in_common": float(np.mean(overlaps)) if overlaps else None,
                }
            )
    return rows


def by_construction(checked: Checked) -> dict[str, Any]:
    """What erasing the dropped words does to AdapLeR's probabilities.

    ``largest_change_by_layer``: from a layer on, the words that it and those before it have dropped; must be 0 up to
    rounding. ``same_class_from_kept_words``: the share of documents whose class stays when the kept words alone are
    read from the start, and ``mean_change_from_kept_words`` the mean of the predicted class's change there.
    """
    classifier = checked.classifier
    layers = classifier.model.config.num_hidden_layers
    survival = checked.scores("adapler", [0] * len(checked.examples))
    pieces = [classifier.read_example(example) for example in checked.examples]
    cut = [classifier.cut(one) for one in pieces]
    whole = [mean_probabilities(classifier, windows, True) for windows in cut]
    changes = []
    for layer in range(layers):
        operator = Operator("layer", layer)
        inputs = [
            erase(classifier, read, windows, ~alive_in(scores, layer), operator)
            for read, windows, scores in zip(pieces, cut, survival, strict=True)
        ]
        found = probabilities(classifier, inputs, True, operator)
        changes.append(max(float(np.abs(a - b).max()) for a, b in zip(whole, found, strict=True)))
    operator = Operator("remove")
    alone = probabilities(
        classifier,
        [
            erase(classifier, read, windows, ~alive_in(scores, layers - 1), operator)
            for read, windows, scores in zip(pieces, cut, survival, strict=True)
        ],
        True,
        operator,
    )
    same = [int(a.argmax() == b.argmax()) for a, b in zip(whole, alone, strict=True)]
    moved = [abs(float(b[a.argmax()] - a.max())) for a, b in zip(whole, alone, strict=True)]
    return {
        "largest_change_by_layer": changes,
        "same_class_from_kept_words": float(np.mean(same)),
        "mean_change_from_kept_words": float(np.mean(moved)),
    }


def _kept(checked: Checked) -> list[int]:
    layers = checked.classifier.model.config.num_hidden_layers
    survival = checked.scores("adapler", [0] * len(checked.examples))
    return [int(alive_in(scores, layers - 1).sum()) for scores in survival]


def _rewritten(checked: Checked) -> tuple[list[Example], list[bool]]:
    """The documents in capitals, as they are where the classifier cannot read that; and whether it can."""
    found = [_in_capitals(example) for example in checked.examples]
    able = []
    for example in found:
        try:
            able.append(bool(checked.classifier.windows_of(example)))
        except TextError:
            able.append(False)
    return [new if can else old for new, old, can in zip(found, checked.examples, able, strict=True)], able


def _in_capitals(example: Example) -> Example:
    """The same words in capitals, but for those that would not come back from there (weiß, WEISS)."""
    documents = tuple(
        replace(document, sentences=tuple(tuple(map(_upper, sentence)) for sentence in document.sentences))
        for document in example.documents
    )
    return replace(example, documents=documents)


def _upper(word: str) -> str:
    return word.upper() if word.upper().lower() == word.lower() else word
