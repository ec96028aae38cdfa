"""The kernels of hard removal compute what PyTorch's own functions do; here in Triton's interpreter, without a GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch

PROGRAM = """
import sys
import torch
from adapler_explain import gpu_removal, removal
from adapler_explain.removal import Packed

torch.manual_seed(0)
torch.set_grad_enabled(False)
device = sys.argv[1]
# Where they are on, kernels are what removal.py itself takes.
removal._has_triton = lambda: False
lengths_of = [[1], [1, 1, 1], [7, 3, 1, 12], [511, 512, 513, 2, 1100], torch.randint(1, 9, (600,)).tolist()]
for sizes in lengths_of:
    lengths = torch.tensor(sizes)
    text = torch.repeat_interleave(torch.arange(len(sizes)), lengths)
    position = torch.cat([torch.arange(size) for size in sizes])
    text, position, lengths = text.to(device), position.to(device), lengths.to(device)
    packed = Packed(torch.randn(len(text), 4, device=device), text, position, lengths, max(sizes))
    # Scores of equal logits are the threshold itself where it is an even share.
    for dtype, spread, eta, factor in (
        (torch.float32, 2.0, 0.8, 0.7),
        (torch.bfloat16, 2.0, 1.0, 1e-3),
        (torch.float32, 2.0, 1e-9, 30.0),
        (torch.float32, 0.0, 1.0, 1.0),
    ):
        logits = (spread * torch.randn(len(text), device=device)).to(dtype)
        eta, factor = (torch.tensor(value, dtype=dtype, device=device) for value in (eta, factor))
        wanted = removal.decide(logits, factor, eta, packed)
        found = gpu_removal.decide(logits, factor, removal.threshold(eta, lengths), packed)
        assert torch.equal(found.contributions, wanted.contributions)
        assert torch.equal(found.kept, wanted.kept) and torch.equal(found.margins, wanted.margins.float())
        left, made = removal.keep(packed, wanted.kept), gpu_removal.keep(packed, found.kept, found.counts)
        for name in ("hidden", "text", "position", "lengths", "longest", "bounds"):
            one, other = getattr(made, name), getattr(left, name)
            assert one == other if name == "longest" else torch.equal(one, other) and one.dtype == other.dtype, name
print("equal")
"""


needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@needs_triton
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, needs_gpu])])
def test_kernels_are_the_functions(device: str) -> None:
    environment = os.environ | ({"TRITON_INTERPRET": "1"} if device == "cpu" else {})
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, device], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.stdout == "equal\n", ended.stderr


@needs_triton
@pytest.mark.parametrize(("backend", "chip", "warp"), [("cuda", 80, 32), ("cuda", 90, 32), ("hip", "gfx942", 64)])
@pytest.mark.parametrize("dtype", ["fp32", "fp16", "bf16"])
def test_kernels_compile(backend: str, chip: int | str, warp: int, dtype: str) -> None:
    """For chips that are not here."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    from adapler_explain import gpu_removal

    integers = {"position": "*i64", "kept": "*u8", "counts": "*i64", "first": "*i32", "BLOCK": "constexpr"}
    floats = {"factor": f"*{dtype}", "delta": "*fp32", "contributions": "*fp32", "margins": "*fp32"}
    signatures = {
        gpu_removal._decide: {"logits": f"*{dtype}"} | integers | floats,
        gpu_removal._keep: integers | {"rows": "*i64", "first_left": "*i32", "total": "i32"},
    }
    for kernel, types in signatures.items():
        signature = {name: types[name] for name in kernel.arg_names}
        source = ASTSource(kernel, signature, constexprs={"BLOCK": gpu_removal.BLOCK})
        made = compile(source, target=GPUTarget(backend, chip, warp))
        assert made.asm["cubin" if backend == "cuda" else "hsaco"]
