"""Layer-wise relevance propagation as gradient × input: backward rules that hold inside a ``with`` block.

Within it every step is computed as a map that is linear in what relevance flows through, with all else held constant.
The sum of input × gradient over inputs and biases is then the output itself: relevance is neither made nor lost.

Sources: Ali et al., "XAI for Transformers: Better Explanations through Conservative Propagation", ICML 2022 (attention
weights and the norm's deviation constant); Achtibat et al., "AttnLRP", ICML 2024 (activations, products).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.module import register_module_forward_hook
from torch.overrides import TorchFunctionMode
from transformers import activations
from typing_extensions import override

# Nearer to 0 an activation's slope from the origin is taken here.
NEAR_ZERO = 1e-6


class Propagation(TorchFunctionMode):
    """Within the block, gradients are those of relevance: gradient × input is the relevance of an input.

    Values stay what they are, up to rounding. Works on any model that computes with the functions of :data:`RULES`;
    others keep their own gradient, and conservation is then lost where they are neither linear nor constant. A module
    of :data:`COMPOSED` is one activation, whatever functions it is made of.
    """

    @override
    def __enter__(self) -> Propagation:
        def as_one(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
            # Hooks are of the process: another thread's models are left alone.
            if not is_composed(module) or self not in _modes_of_this_thread():
                return output
            return activation(module.forward, *inputs)

        self._hook = register_module_forward_hook(as_one)
        super().__enter__()
        return self

    @override
    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)
        self._hook.remove()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return RULES.get(func, func)(*args, **kwargs or {})


def attention_weights(query: Tensor, key: Tensor, mask: Tensor | None = None, scale: float | None = None) -> Tensor:
    """Attention weights ``[batch, heads, queries, keys]``, without gradient.

    Args:
        query, key: ``[batch, heads, queries or keys, head size]``.
        mask: added to the scores.
        scale: of the scores; None: head size ** -0.5.
    """
    with torch.no_grad():
        scores = query @ key.mT * (query.shape[-1] ** -0.5 if scale is None else scale)
        return (scores if mask is None else scores + mask).softmax(-1)


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    scale: float | None = None,
) -> Tensor:
    """``scaled_dot_product_attention`` through whose values alone relevance flows.

    Raises:
        ValueError: attention weights are dropped; put the model in ``eval()`` mode.
    """
    if dropout_p:
        raise ValueError("attention weights are dropped: put the model in eval() mode")
    return attention_weights(query, key, attn_mask, scale) @ value


def layer_norm(
    values: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """``layer_norm`` whose standard deviation is a constant."""
    over = tuple(range(-len(normalized_shape), 0))
    centred = values - values.mean(over, keepdim=True)
    normed = centred * (centred.detach().square().mean(over, keepdim=True) + eps).rsqrt()
    weighted = normed if weight is None else normed * weight
    return weighted if bias is None else weighted + bias


def activation(function: Callable[..., Tensor], values: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """``function(values)`` as ``values`` times a constant; for functions that are 0 at 0."""
    constant = values.detach()
    constant = torch.where(constant.abs() < NEAR_ZERO, NEAR_ZERO, constant)
    return values * (function(constant, *args, **kwargs) / constant)


def product(one: Any, two: Any) -> Any:
    """``one * two``; of two activations (a gate) each gets half of the relevance."""
    if _is_activation(one) and _is_activation(two):
        return (one * two.detach() + one.detach() * two) / 2
    return one * two


def constant(function: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
    """``function(...)``, through which no relevance flows."""
    return function(*args, **kwargs).detach()


def _is_activation(value: Any) -> bool:
    return isinstance(value, Tensor) and value.requires_grad and not isinstance(value, nn.Parameter)


def is_composed(module: nn.Module) -> bool:
    """Whether ``module`` computes one activation by several functions, whose own rules would not conserve."""
    return isinstance(module, COMPOSED) or isinstance(getattr(module, "act", None), MethodType)


def _modes_of_this_thread() -> list[TorchFunctionMode]:
    modes: list[TorchFunctionMode] = torch.overrides._get_current_function_mode_stack()
    return modes


ACTIVATIONS = (
    *(F.gelu, F.relu, F.silu, F.mish, F.hardswish, F.leaky_relu, F.relu6),
    *(torch.relu, Tensor.relu, torch.tanh, Tensor.tanh),
)
COMPOSED = (
    activations.AccurateGELUActivation,
    activations.ClippedGELUActivation,
    activations.FastGELUActivation,
    activations.NewGELUActivation,
    activations.QuickGELUActivation,
    activations.ReLUSquaredActivation,
)
RULES: dict[Callable[..., Any], Callable[..., Any]] = {
    F.scaled_dot_product_attention: attention,
    F.layer_norm: layer_norm,
    torch.mul: product,
    Tensor.mul: product,
    **{function: partial(activation, function) for function in ACTIVATIONS},
    **{function: partial(constant, function) for function in (F.softmax, torch.softmax, Tensor.softmax)},
}
