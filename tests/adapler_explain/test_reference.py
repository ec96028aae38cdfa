"""The model against numbers that the authors' released program printed, from every file of ``ADAPLER_REFERENCE``.

Tolerances: quantities of the forward pass to 1e-4 of their largest value (logits to 1e-5); gradients of one parameter
to 2e-3 of their norm and all gradients together to 5e-4. The soft mask's slope is λ/δ, up to 1e5 here, so that float32
rounding in either program moves single gradients by up to 7e-4: the same model in float64 is as far from the file.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import SHARED
from torch.nn.functional import cross_entropy

from adapler_explain import losses
from adapler_explain.config import AdaplerBertConfig
from adapler_explain.modeling import AdaplerBertForSequenceClassification
from adapler_explain.saliency import input_x_gradient

GOLDEN = Path(__file__).parents[1] / "golden" / "reference.npz"
DEFAULT = SHARED / "reference" / "adapler_reference_a.npz"


def reference_files() -> list[Path]:
    named = os.environ.get("ADAPLER_REFERENCE")
    given = [Path(name) for name in named.split(":") if name] if named else [DEFAULT] if DEFAULT.exists() else []
    return [GOLDEN, *given]


class Reference:
    """The numbers of one file and the model that they belong to."""

    def __init__(self, path: Path) -> None:
        with np.load(path, allow_pickle=False) as file:
            self.numbers = {name: file[name] for name in file.files}
        config = json.loads(bytes(self.numbers["config"]))
        dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        self.model = AdaplerBertForSequenceClassification(AdaplerBertConfig(**config | dropout)).eval()
        own = dict(self.model.named_parameters())
        loaded = {
            self.own_name(name.removeprefix("weight/")): torch.from_numpy(values)
            for name, values in self.numbers.items()
            if name.startswith("weight/")
        }
        loaded |= {"adapler.eta": self.tensor("param/eta"), "adapler.theta": self.tensor("param/theta_pr")}
        assert own.keys() <= loaded.keys()
        self.model.load_state_dict({name: loaded[name] for name in own})
        names = ("input_ids", "attention_mask", "token_type_ids")
        self.inputs = {name: self.tensor(f"in/{name}").long() for name in names}
        self.labels = self.tensor("in/labels").long()
        self.sharpnesses = sorted({name.split("/")[1] for name in self.numbers if name.startswith("soft/")})

    @staticmethod
    def own_name(name: str) -> str:
        return name.replace("contribution_predictor.", "adapler.predictors.")

    def tensor(self, name: str) -> torch.Tensor:
        return torch.from_numpy(self.numbers[name])

    def check(self, name: str, value: Any, tolerance: float = 1e-4) -> None:
        """``value`` equals the file's number to ``tolerance`` of its largest value."""
        expected = self.numbers[name].astype(np.float64)
        got = np.asarray(torch.as_tensor(value).detach(), dtype=np.float64)
        assert got.shape == expected.shape, name
        np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * np.abs(expected).max(), err_msg=name)


@pytest.fixture(scope="module", params=reference_files(), ids=lambda path: path.stem)
def reference(request: pytest.FixtureRequest) -> Reference:
    return Reference(request.param)


def test_nothing_removed(reference: Reference) -> None:
    logits = reference.model(**reference.inputs, prune=False).logits
    reference.check("unpruned/logits", logits, 1e-5)


def test_saliency(reference: Reference) -> None:
    values = input_x_gradient(reference.model, reference.inputs, reference.labels)
    reference.check("saliency/grad_x_input_l2", values)


def test_hard_removal_in_one_padded_batch(reference: Reference) -> None:
    output = reference.model(**reference.inputs)
    reference.check("hard/logits", output.logits, 1e-5)
    reference.check("hard/lengths", torch.stack([alive.sum(-1) for alive in output.alive]), 0.0)


def test_hard_removal_one_text_at_a_time(reference: Reference) -> None:
    outputs = []
    for row, length in enumerate(reference.inputs["attention_mask"].sum(-1).tolist()):
        single = {name: values[row : row + 1, :length] for name, values in reference.inputs.items()}
        outputs.append(reference.model(**single))
    reference.check("hard/logits", torch.cat([output.logits for output in outputs]), 1e-5)
    lengths = [torch.stack([alive.sum(-1) for alive in output.alive]) for output in outputs]
    reference.check("hard/lengths", torch.cat(lengths, dim=1), 0.0)


def test_soft_removal(reference: Reference) -> None:
    assert reference.sharpnesses
    for sharpness in reference.sharpnesses:
        output = reference.model.forward_soft(**reference.inputs, sharpness=float(sharpness.split("=")[1]))
        reference.check(f"soft/{sharpness}/logits", output.logits, 1e-5)
        reference.check(f"soft/{sharpness}/cp_scores", output.contributions)
        reference.check(f"soft/{sharpness}/lengths", output.lengths)


def test_losses_and_their_gradients(reference: Reference) -> None:
    checked = 0
    for prefix in (f"soft/{sharpness}" for sharpness in reference.sharpnesses):
        if f"{prefix}/ce" not in reference.numbers:
            continue
        checked += 1
        sharpness = float(prefix.split("=")[1])
        model, reduction = reference.model, reference.model.adapler
        output = model.forward_soft(**reference.inputs, sharpness=sharpness)
        divergences = losses.contribution_divergences(
            output.contributions,
            reference.tensor("in/saliency"),
            reference.inputs["attention_mask"],
            reduction.eta,
            reference.tensor("param/theta"),
            sharpness,
        )
        task = cross_entropy(output.logits, reference.labels)
        total = task + reference.tensor("hyper/gamma") * losses.contribution_loss(divergences)
        length = losses.length_loss(output.lengths)
        combined = task + reference.tensor("hyper/phi") * length
        reference.check(f"{prefix}/kl_per_layer", divergences)
        reference.check(f"{prefix}/ce", task)
        reference.check(f"{prefix}/total_loss", total)
        reference.check(f"{prefix}/length_loss", length)
        reference.check(f"{prefix}/combined_loss", combined)
        thresholds = torch.autograd.grad(combined, [reduction.eta, reduction.theta], retain_graph=True)
        reference.check(f"{prefix}/grad_combined/eta", thresholds[0], 2e-3)
        reference.check(f"{prefix}/grad_combined/theta_pr", thresholds[1], 2e-3)
        check_gradients(reference, f"{prefix}/grad_total/", total)
    assert checked


def check_gradients(reference: Reference, prefix: str, loss: torch.Tensor) -> None:
    names = [name for name in reference.numbers if name.startswith(prefix)]
    parameters = dict(reference.model.named_parameters())
    own = [parameters[reference.own_name(name.removeprefix(prefix))] for name in names]
    expected = [reference.tensor(name) for name in names]
    got = torch.autograd.grad(loss, own)
    whole = torch.cat([values.flatten() for values in expected]).norm()
    difference = torch.cat([(a - b).flatten() for a, b in zip(got, expected, strict=True)]).norm()
    assert difference <= 5e-4 * whole
    for name, a, b in zip(names, got, expected, strict=True):
        # A softmax does not see its bias: the true gradient of out.bias is 0, and what both programs hold is rounding.
        slack = 1e-5 * whole if name.endswith("out.bias") else 0.0
        assert (a - b).norm() <= 2e-3 * b.norm() + slack, name
