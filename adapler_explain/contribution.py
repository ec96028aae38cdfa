"""The Contribution Predictor: how much each piece will matter for the prediction, guessed from its hidden state."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ContributionPredictor(nn.Module):
    """A two-layer perceptron that gives each piece one logit; their softmax over the text is its contribution.

    Args:
        hidden_size: width of the encoder's hidden states.
        width: width of the predictor's own hidden layer.

    Source: Modarressi et al. 2022, section 3.1 (32 hidden units, GELU).
    """

    def __init__(self, hidden_size: int, width: int = 32) -> None:
        super().__init__()
        self.hidden = nn.Linear(hidden_size, width)
        self.out = nn.Linear(width, 1)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Contribution logits ``[...]`` of hidden states ``[..., hidden]``."""
        logits: Tensor = self.out(nn.functional.gelu(self.hidden(hidden_states)))
        return logits.squeeze(-1)


class LengthReduction(nn.Module):
    """All that AdapLeR adds to an encoder: a contribution predictor and a threshold for every layer.

    Attributes:
        predictors: one :class:`ContributionPredictor` a layer, run on the hidden states that enter it.
        eta: ``[layers]``, the threshold of a layer is eta over the number of pieces alive before it.
        theta: ``[layers - 1]``, multiplier of [CLS]'s contribution in the removal decision of layers 1, 2, …
    """

    def __init__(self, layers: int, hidden_size: int, width: int) -> None:
        super().__init__()
        self.predictors = nn.ModuleList(ContributionPredictor(hidden_size, width) for _ in range(layers))
        self.eta = nn.Parameter(torch.empty(layers))
        self.theta = nn.Parameter(torch.empty(layers - 1))
        self.reset_thresholds()

    def reset_thresholds(self, eta: float = 0.25, theta: float = 1.0) -> None:
        """Set every threshold to its starting value."""
        nn.init.constant_(self.eta, eta)
        nn.init.constant_(self.theta, theta)

    def cls_multiplier(self, layer: int) -> Tensor:
        """The factor of [CLS]'s contribution in the removal decision before ``layer``; a scalar of at least 0.001."""
        return self.theta[layer - 1].clamp(min=1e-3) if layer else torch.ones_like(self.eta[0])
