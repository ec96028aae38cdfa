"""What a run ran on: machine and versions, for manifests and model cards."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from adapler_explain import __version__

PACKAGES = ("torch", "transformers", "captum", "numpy", "pandas", "scikit-learn")
# Named where they are installed.
RUNTIMES = ("flash-attn", "onnxruntime", "openvino")


def describe(device: str) -> dict[str, Any]:
    """Versions, processor, threads and accelerator, for ``device``; nothing that names the user or the host."""
    kind = torch.device(device).type
    accelerator = torch.cuda.get_device_name(device) if kind == "cuda" else None if kind == "cpu" else kind
    return {
        "adapler_explain": __version__,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES} | _installed(RUNTIMES),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "accelerator": accelerator,
    }


def machine(described: Mapping[str, Any]) -> str:
    """What computed, in words, from :func:`describe`.

    >>> machine({"accelerator": None, "processor": "Xeon", "threads": 2}), machine({"accelerator": "H100"})
    ('Xeon, 2 threads', 'H100')
    """
    threads = described.get("threads", 0)
    on_cpu = f"{described.get('processor')}, {threads} thread{'s' * (threads != 1)}"
    return str(described["accelerator"] or on_cpu)


def _installed(names: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for name in names:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _processor() -> str:
    """The processor's name where the system tells it, else its architecture."""
    table = Path("/proc/cpuinfo")
    lines = table.read_text(encoding="utf-8").splitlines() if table.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
