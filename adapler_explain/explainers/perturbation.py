"""Explanations by what the target's logit does when words are erased; they score words.

Every window is explained by itself: the document's logit is the sum of its windows', so that a word's effect is its
effect on the window that holds it. The changed windows of all documents of a request go through the model in packed
batches. The sampling algorithms are Captum's, over one on-off switch a word.
"""

from __future__ import annotations

import warnings
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from captum.attr import KernelShap, Lime, ShapleyValueSampling
from numpy.typing import NDArray
from torch import Tensor

from adapler_explain.erasure import changed
from adapler_explain.explainers.request import Asked, Request, WordScores, erased_words
from adapler_explain.windows import Window

SPAN = 5
LIME_SAMPLES = 500
SHAP_SAMPLES = 500
PERMUTATIONS = 25
# Changed windows made before they go through the model.
ROWS = 4096


@dataclass(frozen=True)
class Part:
    """A window of a document and the words in it.

    Attributes:
        asked: the document.
        window: the window.
        words: places of its words, ascending.
    """

    asked: Asked
    window: Window
    words: Sequence[int]

    def without(self, places: Sequence[int], how: str, mask_id: int | None) -> Window:
        """The window without the document's words at ``places``."""
        return changed(self.window, erased_words(self.asked.words, places), how, mask_id)


def occlusion(request: Request) -> list[WordScores]:
    """The fall of the logit when a word is masked.

    Source: Zeiler and Fergus 2014; Captum's ``FeatureAblation`` with the words as features.
    """
    return _by_groups(request, lambda _, words: [[word] for word in words], "mask")


def leave_one_out(request: Request) -> list[WordScores]:
    """The fall of the logit when a word is taken out and the text closes up.

    Source: Li, Monroe and Jurafsky, "Understanding Neural Networks through Representation Erasure", 2016.
    """
    return _by_groups(request, lambda _, words: [[word] for word in words], "remove")


def occlusion_span(request: Request) -> list[WordScores]:
    """The fall of the logit when five words in a row are masked, over all such spans that hold the word; their mean.

    Of a pair a span lies in one of the texts.
    """

    def spans(asked: Asked, words: Sequence[int]) -> list[Sequence[int]]:
        second = bisect_left(words, asked.example.pair_at) if asked.example.pair_at is not None else len(words)
        texts = [text for text in (words[:second], words[second:]) if text]
        return [text[begin : begin + SPAN] for text in texts for begin in range(max(1, len(text) - SPAN + 1))]

    return _by_groups(request, spans, "mask")


def occlusion_sentence(request: Request) -> list[WordScores]:
    """The fall of the logit when the word's sentence is masked, for each of its words."""

    def sentences(asked: Asked, words: Sequence[int]) -> list[Sequence[int]]:
        sizes = [len(sentence) for document in asked.example.documents for sentence in document.sentences]
        number = np.repeat(np.arange(len(sizes)), sizes)
        return [[word for word in words if number[word] == one] for one in dict.fromkeys(number[list(words)].tolist())]

    return _by_groups(request, sentences, "mask")


def lime(request: Request) -> list[WordScores]:
    """LIME: a lasso over 500 texts with words unseen, near ones weighing more.

    The lasso gives many words exactly 0 (more than half on HateXplain); of these the earlier ranks first.

    Source: Ribeiro et al. 2016; Captum's ``Lime`` with its defaults.
    """
    return _by_switches(request, Lime, {"n_samples": LIME_SAMPLES})


def kernel_shap(request: Request) -> list[WordScores]:
    """Kernel SHAP from 500 texts with words unseen.

    Source: Lundberg and Lee 2017; Captum's ``KernelShap``.
    """
    return _by_switches(request, KernelShap, {"n_samples": SHAP_SAMPLES})


def shapley_sampling(request: Request) -> list[WordScores]:
    """Shapley values from 25 orders in which the words are seen.

    Source: Castro et al. 2009; Captum's ``ShapleyValueSampling``.
    """
    return _by_switches(request, ShapleyValueSampling, {"n_samples": PERMUTATIONS})


def _parts(request: Request) -> list[Part]:
    found = []
    for asked, window in zip(request.owners, request.windows, strict=True):
        words = sorted(set(window.words) - {-1})
        found += [Part(asked, window, words)] if words else []
    return found


def _by_groups(
    request: Request, group: Callable[[Asked, Sequence[int]], Sequence[Sequence[int]]], how: str
) -> list[WordScores]:
    """Each word's mean, over the groups of words in its window that hold it, of the logit's fall without the group.

    A word that more than one window holds gets the sum over them.
    """
    mask_id = _mask_id(request, how)
    parts = _parts(request)
    before = _target_logits(request, parts, [part.window for part in parts])
    total = [np.zeros(part.asked.words) for part in parts]
    count = [np.zeros(part.asked.words) for part in parts]
    jobs = ((number, words) for number, part in enumerate(parts) for words in group(part.asked, part.words))
    while some := list(islice(jobs, ROWS)):
        windows = [parts[number].without(words, how, mask_id) for number, words in some]
        after = _target_logits(request, [parts[number] for number, _ in some], windows)
        for (number, words), logit in zip(some, after, strict=True):
            total[number][list(words)] += before[number] - logit
            count[number][list(words)] += 1
    scores = {id(asked): np.zeros(asked.words) for asked in request.asked}
    for number, part in enumerate(parts):
        scores[id(part.asked)] += total[number] / np.maximum(count[number], 1)
    return [scores[id(asked)] for asked in request.asked]


def _by_switches(
    request: Request, method: Callable[[Callable[[Tensor], Tensor]], Any], options: dict[str, Any]
) -> list[WordScores]:
    """Captum's attributions of a window's logit to one switch for each of its words; off is unseen."""
    scores = {id(asked): np.zeros(asked.words) for asked in request.asked}
    for part in _parts(request):
        words = np.asarray(part.words)

        # Of few words there are few texts, which are drawn again and again.
        known: dict[bytes, float] = {}

        def forward(
            switches: Tensor,
            part: Part = part,
            words: NDArray[np.int64] = words,
            known: dict[bytes, float] = known,
        ) -> Tensor:
            rows = {row.tobytes(): row for row in switches.bool().numpy()}
            new = [name for name in rows if name not in known]
            windows = [part.without(words[~rows[name]], "pad", None) for name in new]
            if new:
                known.update(zip(new, _target_logits(request, [part] * len(new), windows).tolist(), strict=True))
            return torch.tensor([known[row.tobytes()] for row in switches.bool().numpy()])

        on = torch.ones(1, len(words))
        if len(words) == 1:
            # Nothing to share out, and Kernel SHAP's weights are not defined.
            scores[id(part.asked)][words] += (forward(on) - forward(torch.zeros_like(on))).double().numpy()
            continue
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            # Captum's advice on progress bars and batch sizes.
            warnings.simplefilter("ignore")
            # The processor's generator alone: torch.manual_seed would seed the GPUs' too, and nothing puts them back.
            torch.default_generator.manual_seed(part.asked.seed)
            found = method(forward).attribute(on, torch.zeros_like(on), perturbations_per_eval=ROWS, **options)
        scores[id(part.asked)][words] += found[0].double().numpy()
    return [scores[id(asked)] for asked in request.asked]


def _target_logits(request: Request, parts: Sequence[Part], windows: Sequence[Window]) -> NDArray[np.float64]:
    """The target's logit ``[windows]`` of each of ``windows``, changed ones of ``parts``."""
    owners = [part.asked for part in parts]
    targets = torch.tensor([asked.target for asked in owners], device=request.classifier.device)
    logits = request.logits(windows, owners).gather(-1, targets[:, None])[:, 0]
    found: NDArray[np.float64] = logits.cpu().double().numpy()
    return found


def _mask_id(request: Request, how: str) -> int | None:
    """The piece in the place of a masked word; the unknown piece where the tokenizer has no mask."""
    tokenizer = request.classifier.tokenizer
    found: int | None = tokenizer.mask_token_id
    return tokenizer.unk_token_id if found is None and how == "mask" else found
