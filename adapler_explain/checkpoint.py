"""Where an optimisation stands, in one safetensors file that is replaced whole: weights, optimiser, some JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from eraser_eval.errors import DataError
from eraser_eval.files import replacing


def save(path: Path, model: nn.Module, optimiser: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Write ``model``'s weights, what ``optimiser`` remembers of them, and ``state`` (JSON), whole or not at all."""
    tensors = {f"model/{name}": value.contiguous() for name, value in model.state_dict().items()}
    for index, parameter in enumerate(_parameters(optimiser)):
        for key, value in optimiser.state.get(parameter, {}).items():
            tensors[f"optimiser/{index}/{key}"] = value.contiguous()
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={"state": json.dumps(state)})


def restore(path: Path, model: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Any]:
    """Put ``model`` and ``optimiser`` where they stood when ``path`` was written.

    Returns:
        The state that was saved; empty, and nothing is changed, where there is no file.

    Raises:
        DataError: the file is damaged or of another model.
    """
    if not path.is_file():
        return {}
    device = str(next(model.parameters()).device)
    try:
        with safe_open(path, framework="pt", device=device) as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
            state: dict[str, Any] = json.loads((file.metadata() or {})["state"])
        model.load_state_dict(_below("model/", tensors))
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise DataError(path, f"no checkpoint of this run ({reason}); remove it to begin the stage again") from None
    for index, parameter in enumerate(_parameters(optimiser)):
        known = _below(f"optimiser/{index}/", tensors)
        if known:
            optimiser.state[parameter] = known
    return state


def _parameters(optimiser: torch.optim.Optimizer) -> list[Tensor]:
    return [parameter for group in optimiser.param_groups for parameter in group["params"]]


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
