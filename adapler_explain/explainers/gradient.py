"""Explanations by gradients of the target class's logit, summed over the document's windows."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from adapler_explain import flops, forced, packed_encoder
from adapler_explain import saliency as pieces
from adapler_explain.explainers.request import Inputs, PieceScores, Request
from adapler_explain.removal import Packed

STEPS = 50
SAMPLES = 20


def saliency(request: Request) -> list[PieceScores]:
    """The L2 norm of the gradient with respect to each piece's embedding.

    Source: Simonyan et al. 2014; the norm over the embedding as in Li et al. 2016.
    """
    model = request.classifier.model
    return request.in_batches(
        lambda batch, targets, _: pieces.embedding_gradients(model, batch, targets)[1].norm(dim=-1), backward=1
    )


def input_x_gradient(request: Request) -> list[PieceScores]:
    """The L2 norm of gradient times embedding, the saliency that AdapLeR is taught with.

    Source: Shrikumar et al. 2016; the norm as in Modarressi et al. 2022, section 3.1.
    """
    model = request.classifier.model
    return request.in_batches(lambda batch, targets, _: pieces.input_x_gradient(model, batch, targets), backward=1)


def pruned_saliency(request: Request) -> list[PieceScores]:
    """:func:`saliency` through the pruned network; which pieces fall where is held as it is for the text."""
    return _pruned(request, lambda _, gradients: gradients.norm(dim=-1))


def pruned_input_x_gradient(request: Request) -> list[PieceScores]:
    """:func:`input_x_gradient` through the pruned network; which pieces fall where is held as it is for the text."""
    return _pruned(request, lambda embeddings, gradients: (embeddings * gradients).norm(dim=-1))


def integrated_gradients(request: Request) -> list[PieceScores]:
    """Integrated gradients, 50 steps from a text of [PAD] between [CLS] and [SEP]; signed sums over the embedding.

    ``completeness_error`` of a document is what its scores' sum lacks of the difference that it should be, as a share
    of that difference.

    Source: Sundararajan et al. 2017.
    """
    model = request.classifier.model
    differences = np.zeros(len(request.windows))

    def integrated(batch: Inputs, targets: Tensor, places: list[int]) -> Tensor:
        baseline = _baseline(request, batch)
        ends = [_target_logits(model, batch | {"input_ids": ids}, targets) for ids in (batch["input_ids"], baseline)]
        differences[places] = (ends[0] - ends[1]).cpu().double().numpy()
        return pieces.integrated_gradients(model, batch, targets, baseline, STEPS)

    scores = request.in_batches(integrated, forward=STEPS + 2, backward=STEPS)
    sums = [float(values.sum()) for values in scores]
    for (asked, found), (_, wanted) in zip(request.of_each(sums), request.of_each(differences.tolist()), strict=True):
        asked.facts["completeness_error"] = abs(sum(found) - sum(wanted)) / max(abs(sum(wanted)), 1e-12)
    return scores


def gradient_shap(request: Request) -> list[PieceScores]:
    """Gradient SHAP: integrated gradients at 20 places drawn on the way from [PAD] to the text, each text its own.

    Source: Lundberg and Lee 2017; Erion et al. 2021.
    """
    draws = {id(asked): np.random.default_rng(asked.seed).random(SAMPLES) for asked in request.asked}
    owners = request.owners

    def sampled(batch: Inputs, targets: Tensor, windows: list[int]) -> Tensor:
        rows = np.stack([draws[id(owners[window])] for window in windows], axis=1)
        drawn = torch.from_numpy(rows).float().to(targets.device)
        path = [(row, 1 / SAMPLES) for row in drawn]
        return pieces.along(request.classifier.model, batch, targets, _baseline(request, batch), path)

    return request.in_batches(sampled, forward=SAMPLES, backward=SAMPLES)


def lrp(request: Request) -> list[PieceScores]:
    """Layer-wise relevance propagation; signed sums over the embedding.

    Source: Ali et al. 2022; activations as in Achtibat et al. 2024. See :mod:`adapler_explain.propagation`.
    """
    model = request.classifier.model
    return request.in_batches(
        lambda batch, targets, _: pieces.relevance(model, batch, targets),
        backward=1,
        flops_back=lambda length: flops.relevance(model.config, length),
    )


def _baseline(request: Request, batch: Inputs) -> Tensor:
    return pieces.blanked(batch["input_ids"], request.classifier.tokenizer)


@torch.no_grad()
def _target_logits(model: nn.Module, batch: Inputs, targets: Tensor) -> Tensor:
    logits = packed_encoder.dense_logits(model, **batch)
    return logits.gather(-1, targets[:, None])[:, 0]


def _pruned(request: Request, read: pieces.Reads) -> list[PieceScores]:
    model, windows, owners = request.classifier.model, request.windows, request.owners
    kept: dict[int, list[int]] = {}

    def score(batch: Inputs, targets: Tensor, places: list[int]) -> Tensor:
        with torch.no_grad():
            alive = model(**batch, prune=True, operating_point=request.operating_point).alive
        kept.update(zip(places, torch.stack(alive).sum(-1).T.tolist(), strict=True))

        def logits_of(model: nn.Module, packed: Packed) -> Tensor:
            return forced.logits_with(model, packed, forced.frozen(alive))

        return read(*pieces.embedding_gradients(model, batch, targets, logits_of))

    scores = request.in_batches(score, forward=0)
    for place, processed in kept.items():
        cost, config, length = owners[place].cost, model.config, len(windows[place])
        cost.forward += 2
        cost.backward += 1
        cost.flops += flops.removing(config, length, processed) + flops.decided(config, length, processed)
        cost.flops += flops.gradient(config, processed)
    return scores
