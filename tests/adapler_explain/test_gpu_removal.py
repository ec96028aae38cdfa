"""The kernels of hard removal compute what PyTorch's own functions do; here in Triton's interpreter, without a GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

PROGRAM = """
import torch
from adapler_explain import gpu_removal, removal
from adapler_explain.removal import Packed

torch.manual_seed(0)
lengths_of = [[1], [1, 1, 1], [7, 3, 1, 12], [511, 512, 513, 2, 1100], torch.randint(1, 9, (600,)).tolist()]
for number, sizes in enumerate(lengths_of):
    lengths = torch.tensor(sizes)
    text = torch.repeat_interleave(torch.arange(len(sizes)), lengths)
    position = torch.cat([torch.arange(size) for size in sizes])
    packed = Packed(torch.randn(len(text), 4), text, position, lengths, max(sizes))
    for dtype, eta, factor in ((torch.float32, 0.8, 0.7), (torch.bfloat16, 1.0, 1e-3), (torch.float32, 1e-9, 30.0)):
        # Of equal logits a score may be the threshold itself.
        logits = torch.zeros(len(text)) if number == 3 and eta == 1.0 else 2 * torch.randn(len(text))
        logits, eta, factor = logits.to(dtype), torch.tensor(eta, dtype=dtype), torch.tensor(factor, dtype=dtype)
        wanted = removal.decide(logits, factor, eta, packed)
        found = gpu_removal.decide(logits, factor, removal.threshold(eta, lengths), packed)
        assert torch.equal(found.contributions, wanted.contributions)
        assert torch.equal(found.kept, wanted.kept)
        torch.testing.assert_close(found.margins, wanted.margins.float(), rtol=1e-6, atol=0)
        left, made = removal.keep(packed, wanted.kept), gpu_removal.keep(packed, found.kept, found.counts)
        for name in ("hidden", "text", "position", "lengths", "longest", "bounds"):
            one, other = getattr(made, name), getattr(left, name)
            assert one == other if name == "longest" else torch.equal(one, other) and one.dtype == other.dtype, name
print("equal")
"""


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
def test_kernels_are_the_functions() -> None:
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.stdout == "equal\n", ended.stderr


@pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
@pytest.mark.parametrize(("backend", "chip", "warp"), [("cuda", 80, 32), ("cuda", 90, 32), ("hip", "gfx942", 64)])
def test_kernels_compile(backend: str, chip: int | str, warp: int) -> None:
    """For chips that are not here."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    from adapler_explain import gpu_removal

    integers = {"position": "*i64", "kept": "*u8", "counts": "*i64", "first": "*i32", "BLOCK": "constexpr"}
    floats = {"factor": "*fp32", "delta": "*fp32", "contributions": "*fp32", "margins": "*fp32"}
    signatures = {
        gpu_removal._decide: {"logits": "*bf16"} | integers | floats,
        gpu_removal._keep: integers | {"rows": "*i64", "first_left": "*i32", "total": "i32"},
    }
    for kernel, types in signatures.items():
        signature = {name: types[name] for name in kernel.arg_names}
        source = ASTSource(kernel, signature, constexprs={"BLOCK": gpu_removal.BLOCK})
        made = compile(source, target=GPUTarget(backend, chip, warp))
        assert made.asm["cubin" if backend == "cuda" else "hsaco"]
