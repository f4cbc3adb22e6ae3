"""ONNX Runtime on the CPU: the reference back end."""

from __future__ import annotations

import json
import os
from bisect import bisect_right
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, TypeVar

import numpy as np
import onnxruntime as ort

from dreamvla_edge.runtime.errors import BundleError
from dreamvla_edge.runtime.manifest import SubgraphSpec, TensorSpec
from dreamvla_edge.runtime.work import Work

from . import Array, Layer

_PROVIDERS = ["CPUExecutionProvider"]
_SPIN_US = "10"
_FLOPS, _BYTES_PER_S, _ALONE_S = 100e9, 10e9, 30e-6
"""Of one thread, roughly. A product that takes it less than `_ALONE_S` is done before a thread that
slept has come to help: shared by two, the demo's sampler took 7.8 ms of a step instead of 4.3 (AMD
EPYC VM with two cores, 2026-11-29)."""
_KERNEL = "_kernel_time"
_HIDES_QUANTIZED_PRODUCTS = ["MatMulAddFusion"]
"""A Gemm, made of a product and its bias, finds no integer kernel; in float32 it gains nothing."""
_OWN_KERNELS = ("uint8", "w4")
"""Precisions for which ONNX Runtime's kernels are right on every machine. Its sums of signed bytes
saturate without VNNI, so all others are computed in float32, as their nodes say."""


class OnnxRuntime:
    """Loads subgraphs into ONNX Runtime sessions.

    threads: of each session; None for one per core where products are large enough to share.
    """

    def __init__(self, threads: int | None = None) -> None:
        self._threads, self._cores = threads, len(os.sched_getaffinity(0))

    def load(self, model: Path, spec: SubgraphSpec) -> OnnxRuntimeSession:
        """Load one ONNX file.

        Raises BundleError if ONNX Runtime refuses it or its tensors are not those of `spec`.
        """
        return self._fitting(OnnxRuntimeSession(model, self._for(spec), spec), model, spec)

    def load_layered(self, model: Path, spec: SubgraphSpec) -> LayeredOnnxRuntimeSession:
        """As `load`, with ONNX Runtime's own profiler on."""
        return self._fitting(LayeredOnnxRuntimeSession(model, self._for(spec), spec), model, spec)

    def _for(self, spec: SubgraphSpec) -> int:
        """Threads of a subgraph."""
        shared = not spec.work or any(product_s(work) > _ALONE_S for work in spec.work.values())
        return self._threads or (self._cores if shared else 1)

    def _fitting(self, session: _Loaded, model: Path, spec: SubgraphSpec) -> _Loaded:
        if session.tensors != (spec.inputs, spec.outputs):
            raise BundleError(
                f"{model} has other inputs or outputs than the bundle's manifest names",
                ", ".join(f"{t.name} {t.shape}" for t in (*spec.inputs, *spec.outputs)[:8]) + " …",
                "export the checkpoint again, or copy the whole bundle again",
            )
        return session


def product_s(work: Work) -> float:
    """About how long a use's mean product takes on one thread [s]."""
    count = sum(product.count for product in work.products) or 1
    return max(1e9 * work.gflop / _FLOPS, 1e6 * work.weight_mb / _BYTES_PER_S) / count


class OnnxRuntimeSession:
    """One subgraph with its inputs and outputs bound to NumPy memory, so nothing is copied."""

    def __init__(self, model: Path, threads: int, spec: SubgraphSpec) -> None:
        options = self._options()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1  # the graphs are chains
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 3  # errors only
        # Threads wait for their next part of a run without sleeping, which saves 5 % of a step,
        # but not for long, since others may need the processor, nor after the run, since a policy
        # holds five sessions that take turns.
        options.add_session_config_entry("session.intra_op.spin_duration_us", _SPIN_US)
        options.add_session_config_entry("session.force_spinning_stop", "1")
        if spec.precision not in _OWN_KERNELS:
            options.add_session_config_entry("session.disable_quant_qdq", "1")
        try:
            self._session = ort.InferenceSession(
                *(str(model), options),
                providers=_PROVIDERS,
                disabled_optimizers=_HIDES_QUANTIZED_PRODUCTS,
            )
        except Exception as error:  # ONNX Runtime's errors share no base class of their own
            raise BundleError(
                f"ONNX Runtime cannot load {model} ({error})",
                "a subgraph that `dreamvla export` wrote",
                f"export again, or use onnxruntime {ort.__version__} or later",
            ) from error
        self._outputs = [output.name for output in self._session.get_outputs()]
        self._inputs = {entry.name for entry in self._session.get_inputs()}

    def _options(self) -> ort.SessionOptions:
        return ort.SessionOptions()

    @property
    def tensors(self) -> tuple[tuple[TensorSpec | None, ...], tuple[TensorSpec | None, ...]]:
        """Inputs and outputs as the file declares them; None for a type that no bundle uses."""
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        return tuple(map(_tensor_spec, inputs)), tuple(map(_tensor_spec, outputs))

    def run(
        self, inputs: Mapping[str, Array], into: Mapping[str, Array] | None = None
    ) -> dict[str, Array]:
        """Outputs by name; those named in `into` are written to the arrays given there."""
        if set(inputs) != self._inputs:
            raise ValueError(f"inputs {sorted(inputs)}, expected {sorted(self._inputs)}")
        into, binding = into or {}, self._session.io_binding()
        # The binding does not keep NumPy memory alive; this list does.
        inputs_bound = [_value(array) for array in inputs.values()]
        for name, value in zip(inputs, inputs_bound, strict=True):
            binding.bind_ortvalue_input(name, value)
        for name in self._outputs:
            if name in into:
                binding.bind_ortvalue_output(name, _view(into[name]))
            else:
                binding.bind_output(name)
        self._session.run_with_iobinding(binding)
        return {
            name: into[name] if name in into else value.numpy()
            for name, value in zip(self._outputs, binding.get_outputs(), strict=True)
        }


class LayeredOnnxRuntimeSession(OnnxRuntimeSession):
    """The same, with the time of every node in every run."""

    def _options(self) -> ort.SessionOptions:
        self._folder = TemporaryDirectory(prefix="dreamvla-layers-")
        options = ort.SessionOptions()
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(self._folder.name) / "layers")
        return options

    def layers(self) -> list[list[Layer]]:
        """Ends the profiler; see `LayeredSession`."""
        events = json.loads(Path(self._session.end_profiling()).read_bytes())
        self._folder.cleanup()
        return layers_of(events)


def layers_of(events: list[dict[str, Any]]) -> list[list[Layer]]:
    """By run the nodes in a file that ONNX Runtime's profiler wrote; its times are [µs].

    A node belongs to the run during which it began.
    """
    runs = sorted(event["ts"] for event in events if event["name"] == "model_run")
    found: list[list[Layer]] = [[] for _ in runs]
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(_KERNEL):
            run = bisect_right(runs, event["ts"]) - 1
            operator = event.get("args", {}).get("op_name", "")
            layer = Layer(event["name"].removesuffix(_KERNEL), operator, event["dur"] / 1e6)
            if run >= 0:
                found[run].append(layer)
    return found


_Loaded = TypeVar("_Loaded", bound=OnnxRuntimeSession)
_TYPES: dict[str, Literal["float32", "int32"]] = {
    "tensor(float)": "float32",
    "tensor(int32)": "int32",
}


def _tensor_spec(tensor: Any) -> TensorSpec | None:
    dtype = _TYPES.get(tensor.type)
    if dtype is None:
        return None
    return TensorSpec(name=tensor.name, dtype=dtype, shape=tuple(tensor.shape))


def _value(array: Array) -> Any:
    """An input in NumPy memory; ONNX Runtime needs it contiguous."""
    return ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array))


def _view(array: Array) -> Any:
    """An output in NumPy memory, which must be written in place."""
    if not array.flags.c_contiguous:
        raise ValueError("an output array must be contiguous")
    return ort.OrtValue.ortvalue_from_numpy(array)
