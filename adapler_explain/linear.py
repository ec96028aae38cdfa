"""Linear layers as inference runs them: weights laid out once for the kernel, activation and residual fused into it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# The packets torch.ops.mkldnn._linear_pointwise and its kin try one overload after the other, and print whole tensors
# into the message of the failed one: name the overload.
ONEDNN = torch.ops.mkldnn
ONEDNN_INT8 = torch.ops.onednn
# Rows that the weight's layout is chosen for; measured: the layout for many rows is as good for one.
LAYOUT_ROWS = 4096


class Linear:
    """PyTorch's own linear map of rows ``[n, in]``, without gradients: any device, any floating-point type.

    Args:
        linears: maps with the same input; their outputs stand side by side, ``[n, out]``.
    """

    def __init__(self, linears: Sequence[nn.Linear]) -> None:
        self.weight, self.bias = joined(linears)

    def __call__(self, rows: Tensor) -> Tensor:
        """The map, ``[n, out]``."""
        return F.linear(rows, self.weight, self.bias)

    def gelu(self, rows: Tensor) -> Tensor:
        """GELU of the map, ``[n, out]``."""
        mapped: Tensor = torch.ops.aten.gelu_(self(rows))
        return mapped

    def plus(self, rows: Tensor, residual: Tensor) -> Tensor:
        """The map plus ``residual``, ``[n, out]``."""
        return self(rows).add_(residual)


class Prepacked(Linear):
    """oneDNN's linear map with its weight in oneDNN's own layout: CPU, float32 and bfloat16."""

    def __init__(self, linears: Sequence[nn.Linear]) -> None:
        weight, self.bias = joined(linears)
        self.weight = ONEDNN._reorder_linear_weight(weight, LAYOUT_ROWS)

    def __call__(self, rows: Tensor) -> Tensor:
        """The map, ``[n, out]``."""
        mapped: Tensor = ONEDNN._linear_pointwise.default(rows, self.weight, self.bias, "none", [], "")
        return mapped

    def gelu(self, rows: Tensor) -> Tensor:
        """GELU of the map, ``[n, out]``."""
        mapped: Tensor = ONEDNN._linear_pointwise.default(rows, self.weight, self.bias, "gelu", [], "none")
        return mapped

    def plus(self, rows: Tensor, residual: Tensor) -> Tensor:
        """The map plus ``residual``, ``[n, out]``."""
        mapped: Tensor = ONEDNN._linear_pointwise.binary(rows, residual, self.weight, self.bias, "add")
        return mapped


class Int8(Linear):
    """A dynamically quantised linear map: CPU with VNNI, float32 in and out.

    Weights are int8, symmetric, with one scale for each output. Rows are quantised when they come, symmetrically and
    each by its own largest entry, so that what a text gives does not depend on the texts beside it.
    """

    def __init__(self, linears: Sequence[nn.Linear]) -> None:
        weight, self.bias = joined(linears)
        weight, self.bias = weight.float(), self.bias.float()
        self.scale = weight.abs().amax(1).clamp(min=1e-12) / 127
        self.weight = ONEDNN_INT8.qlinear_prepack((weight / self.scale[:, None]).round().to(torch.int8), None)
        self.zero = torch.zeros(len(weight), dtype=torch.int32)

    def __call__(self, rows: Tensor) -> Tensor:
        """The map, ``[n, out]``."""
        largest = torch.maximum(rows.amax(-1, keepdim=True), rows.amin(-1, keepdim=True).neg_())
        scale = largest.clamp_(min=1e-12).div_(127)
        # oneDNN is fast on unsigned rows alone; the cast rounds down, so that half more rounds to the nearest.
        unsigned = rows.mul(scale.reciprocal()).add_(128.5).to(torch.uint8)
        mapped = self.product(unsigned)
        return torch.addcmul(self.bias, mapped, scale, out=mapped)

    def product(self, unsigned: Tensor) -> Tensor:
        """The product ``[n, out]`` of the weight and rows of bytes that stand for -128 to 127."""
        mapped: Tensor = ONEDNN_INT8.qlinear_pointwise.default(
            unsigned, 1.0, 128, self.weight, self.scale, self.zero, None, 1.0, 0, torch.float32, "none", [], ""
        )
        return mapped


def kind_for(weight: Tensor, quantized: bool) -> type[Linear]:
    """The kind of linear map that inference uses for weights like ``weight``.

    Raises:
        ValueError: ``quantized`` and the machine, or the weight's device or type, cannot do that.
    """
    on_cpu = weight.device.type == "cpu"
    if quantized:
        if not (on_cpu and weight.dtype == torch.float32 and has_vnni()):
            raise ValueError("int8 inference needs float32 weights on a CPU with VNNI instructions")
        return Int8
    if on_cpu and torch.backends.mkldnn.enabled and weight.dtype in _prepackable():
        return Prepacked
    return Linear


def has_vnni() -> bool:
    """Whether the CPU has 8-bit dot products; without them oneDNN's sums of 8-bit products may overflow."""
    return torch.backends.mkldnn.is_available() and bool(torch.cpu._is_vnni_supported())


def _prepackable() -> tuple[torch.dtype, ...]:
    if not torch.backends.mkldnn.is_available():
        return ()
    return (torch.float32, torch.bfloat16) if ONEDNN._is_mkldnn_bf16_supported() else (torch.float32,)


def joined(linears: Sequence[nn.Linear]) -> tuple[Tensor, Tensor]:
    """Weight ``[out, in]`` and bias ``[out]`` of maps whose outputs stand side by side."""
    weights = [linear.weight.detach() for linear in linears]
    biases = [linear.bias.detach() for linear in linears]
    return (weights[0], biases[0]) if len(linears) == 1 else (torch.cat(weights), torch.cat(biases))
