"""Other runtimes that the stock model is timed with: ONNX Runtime and OpenVINO, where they are installed."""

from __future__ import annotations

import importlib
import logging
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from adapler_explain import backbones
from adapler_explain.bench.subjects import Inputs

Call = Callable[[Inputs], Any]
_exported: dict[nn.Module, Path] = {}


class UnavailableError(Exception):
    """This variant cannot run here; the message says why and what would help."""


class _Logits(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        logits: Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask, **types).logits
        return logits


def names_of(model: Any) -> list[str]:
    """The inputs of ``model``, in the order of its exported form."""
    return ["input_ids", "attention_mask", *(["token_type_ids"] if backbones.segments(model) else [])]


def needs(*packages: str) -> None:
    """Raise UnavailableError unless all of ``packages`` can be imported."""
    # Both runtimes report home and leave identifiers in the user's folder unless told before they are imported.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    for package in packages:
        try:
            importlib.import_module(package)
        except ImportError:
            raise UnavailableError(f"needs {package}: pip install 'adapler-explain[bench]'") from None


def exported(model: Any) -> Path:
    """The ONNX file of ``model``, for any batch and length, until :func:`clear_exported`."""
    needs("onnx", "onnxscript")
    if model.device.type != "cpu" or model.dtype != torch.float32:
        raise UnavailableError("is timed on CPU, from float32 weights")
    if model in _exported:
        return _exported[model]
    folder = tempfile.mkdtemp(prefix="adapler-bench-")
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length", max=backbones.longest(model))
    names = names_of(model)
    # Tensors of their own: the exporter takes one object given twice for one input.
    example = tuple(torch.full((2, 8), value) for value in (1, 1, 0)[: len(names)])
    path = Path(folder) / "model.onnx"
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Logits(model),
            example,
            str(path),
            input_names=names,
            output_names=["logits"],
            dynamic_shapes=tuple({0: batch, 1: length} for _ in names),
            dynamo=True,
            verbose=False,
        )
    _exported[model] = path
    return path


def clear_exported() -> None:
    """Delete the files of :func:`exported`; sessions that were made from them go on."""
    while _exported:
        _, path = _exported.popitem()
        shutil.rmtree(path.parent, ignore_errors=True)


def onnx_runtime(int8: bool) -> Callable[[Any], Call]:
    """What prepares a model for ONNX Runtime on CPU, its linear maps dynamically quantised or not."""

    def prepare(model: Any) -> Call:
        needs("onnxruntime")
        import onnxruntime

        path = exported(model)
        if int8:
            from onnxruntime.quantization import QuantType, quantize_dynamic

            smaller = path.with_name("int8.onnx")
            root = logging.getLogger()
            level = root.level
            root.setLevel(logging.ERROR)
            try:
                quantize_dynamic(path, smaller, weight_type=QuantType.QInt8)
            finally:
                root.setLevel(level)
            path = smaller
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        names = names_of(model)
        return lambda inputs: torch.from_numpy(session.run(None, {name: inputs[name].numpy() for name in names})[0])

    return prepare


def openvino(precision: str) -> Callable[[Any], Call]:
    """What prepares a model for OpenVINO on CPU, in ``precision`` (OpenVINO's names: ``f32``, ``bf16``)."""

    def prepare(model: Any) -> Call:
        needs("openvino")
        import openvino as runtime

        settings = {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "PERFORMANCE_HINT": "LATENCY",
        }
        compiled = runtime.Core().compile_model(runtime.convert_model(str(exported(model))), "CPU", settings)
        names = names_of(model)
        return lambda inputs: torch.from_numpy(compiled({name: inputs[name].numpy() for name in names})[0])

    return prepare
