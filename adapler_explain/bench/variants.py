"""The ways to run a classifier that are timed: AdapLeR, and what a user would run instead."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from adapler_explain import backbones, linear, packed_encoder, removal
from adapler_explain.bench import runtimes
from adapler_explain.bench.runtimes import Call, UnavailableError
from adapler_explain.bench.subjects import Inputs

# torch.compile makes a graph for each; beyond this many it would run without one.
MOST_SIZES = 64


@dataclass(frozen=True)
class Variant:
    """A way to run a classifier.

    Attributes:
        title: its name for people.
        prepare: from the model, AdapLeR's for variants that prune and else the stock one, to what maps a batch to
            logits; raises :class:`UnavailableError`.
        prunes: whether it removes pieces.
        dtype: of the matrix products; None: the one of the model.
        default: timed unless variants are named.
        cls_only: whether it computes the last layer for [CLS] alone without removing anything.
        same_model: whether its logits are those of the model, but for rounding.
        in_torch: whether PyTorch's profiler sees what it does.
    """

    title: str
    prepare: Callable[[Any], Call]
    prunes: bool = False
    dtype: str | None = None
    default: bool = True
    cls_only: bool = False
    same_model: bool = True
    in_torch: bool = True


def _stock(model: Any) -> Call:
    return lambda inputs: model(**inputs).logits


def _eager(model: Any) -> Call:
    eager = deepcopy(model)
    eager.set_attn_implementation("eager")
    return _stock(eager)


def _compiled(mode: str | None) -> Callable[[Any], Call]:
    def prepare(model: Any) -> Call:
        if mode and model.device.type != "cuda":
            raise UnavailableError("CUDA graphs need a GPU")
        if model.device.type == "cpu" and not any(map(shutil.which, ("c++", "g++", "clang++"))):
            raise UnavailableError("torch.compile needs a C++ compiler")
        torch._dynamo.config.recompile_limit = MOST_SIZES
        torch._dynamo.config.fail_on_recompile_limit_hit = True
        compiled = torch.compile(deepcopy(model), mode=mode, dynamic=False)

        def call(inputs: Inputs) -> Any:
            try:
                return compiled(**inputs).logits
            except torch._dynamo.exc.TorchDynamoException as error:
                reason = str(error).strip().splitlines()[0]
                raise UnavailableError(f"torch.compile fails: {reason}") from None

        return call

    return prepare


def _half(model: Any) -> Call:
    return _stock(deepcopy(model).to(torch.bfloat16))


def _torch_int8(model: Any) -> Call:
    if model.device.type != "cpu":
        raise UnavailableError("torch's dynamic quantisation runs on CPU")
    try:
        from torch.ao.quantization import quantize_dynamic
    except ImportError as error:
        raise UnavailableError("this torch has no torch.ao.quantization.quantize_dynamic") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantized = quantize_dynamic(deepcopy(model).float(), {nn.Linear}, dtype=torch.qint8)

    def call(inputs: Inputs) -> Any:
        with warnings.catch_warnings():
            # Deprecated, and still what users have.
            warnings.simplefilter("ignore")
            return quantized(**inputs).logits

    return call


def _half_depth(model: Any) -> Call:
    if model.config.num_hidden_layers < 2:
        raise UnavailableError("one layer cannot be halved")
    shallow = deepcopy(model)
    kept = backbones.layers(shallow)[: model.config.num_hidden_layers // 2]
    backbones.set_layers(shallow, kept)
    return _stock(shallow)


def _unpruned(quantized: bool) -> Callable[[Any], Call]:
    def prepare(model: Any) -> Call:
        ours = deepcopy(model)
        ours.quantized = quantized
        _check_int8(ours)
        return lambda inputs: packed_encoder.dense_logits(ours, **inputs)

    return prepare


def _adapler(dtype: torch.dtype | None = None, quantized: bool = False) -> Callable[[Any], Call]:
    def prepare(model: Any) -> Call:
        ours = model if dtype is None and not quantized else deepcopy(model).to(dtype or model.dtype)
        ours.quantized = quantized
        _check_int8(ours)
        return lambda inputs: ours(**inputs, prune=True).logits

    return prepare


def _check_int8(model: Any) -> None:
    if model.quantized:
        if None in map(backbones.parts, backbones.layers(model)):
            raise UnavailableError("is for layers whose norms come last")
        try:
            linear.kind_for(next(model.parameters()), True)
        except ValueError as error:
            raise UnavailableError(str(error)) from None


def _one_at_a_time(model: Any) -> Call:
    def call(inputs: Inputs) -> Tensor:
        rows = [int(length) for length in inputs["attention_mask"].sum(-1)]
        texts = ({k: v[i : i + 1, :length] for k, v in inputs.items()} for i, length in enumerate(rows))
        return torch.cat([model(**text, prune=True).logits for text in texts])

    return call


def _padded(model: Any) -> Call:
    """Removal as TR-BERT does it: after each layer's, the batch is padded to the longest text that is left."""

    def call(inputs: Inputs) -> Tensor:
        packed, eta = packed_encoder.enter(model, **inputs), model.thresholds()
        for index, layer in enumerate(backbones.layers(model)):
            packed = removal.keep(packed, model.decide(index, packed, eta).kept)
            mask = torch.arange(int(packed.lengths.max()), device=packed.text.device) < packed.lengths[:, None]
            padded = packed.hidden.new_zeros(*mask.shape, packed.hidden.shape[-1])
            padded[mask] = packed.hidden
            packed = replace(packed, hidden=layer(padded, mask[:, None, None, :])[mask])
        return backbones.classify(model, packed.hidden[packed.is_cls])

    if None in map(backbones.parts, backbones.layers(model)):
        raise UnavailableError("is for layers whose norms come last")
    return call


BASELINE = "stock-sdpa"
VARIANTS = {
    BASELINE: Variant("stock, SDPA", _stock),
    "stock-eager": Variant("stock, eager attention", _eager),
    "stock-compile": Variant("stock, torch.compile", _compiled(None)),
    "stock-cuda-graphs": Variant("stock, CUDA graphs", _compiled("reduce-overhead"), default=False),
    "stock-bf16": Variant("stock, bfloat16", _half, dtype="bfloat16"),
    "stock-int8": Variant("stock, torch dynamic int8", _torch_int8, dtype="int8"),
    "onnxruntime": Variant("ONNX Runtime", runtimes.onnx_runtime(False), in_torch=False),
    "onnxruntime-int8": Variant(
        "ONNX Runtime, dynamic int8", runtimes.onnx_runtime(True), dtype="int8", in_torch=False
    ),
    "openvino": Variant("OpenVINO", runtimes.openvino("f32"), in_torch=False),
    "openvino-bf16": Variant("OpenVINO, bfloat16", runtimes.openvino("bf16"), dtype="bfloat16", in_torch=False),
    "half-depth": Variant("stock, half the layers", _half_depth, same_model=False),
    "unpruned": Variant("ours, nothing removed", _unpruned(False), cls_only=True),
    "unpruned-int8": Variant("ours, nothing removed, int8", _unpruned(True), dtype="int8", cls_only=True),
    "adapler": Variant("AdapLeR", _adapler(), prunes=True),
    "adapler-padded": Variant("AdapLeR, padded to the longest left", _padded, prunes=True),
    "adapler-one-at-a-time": Variant("AdapLeR, one text at a time", _one_at_a_time, prunes=True),
    "adapler-bf16": Variant("AdapLeR, bfloat16", _adapler(torch.bfloat16), prunes=True, dtype="bfloat16"),
    "adapler-int8": Variant("AdapLeR, int8", _adapler(quantized=True), prunes=True, dtype="int8"),
}
