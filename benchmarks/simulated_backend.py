"""ONNX Runtime without its integer kernels: what a quantized bundle is meant to compute."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime as ort

from dreamvla_edge.runtime.backends import Array
from dreamvla_edge.runtime.manifest import SubgraphSpec


class SimulatedBackend:
    """Loads subgraphs without ONNX Runtime's optimizations.

    Every pair of QuantizeLinear and DequantizeLinear then rounds, and all products are of float32,
    which cannot saturate.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads

    def load(self, model: Path, spec: SubgraphSpec) -> _Session:
        """See `Backend.load`."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 3
        return _Session(
            ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        )


class _Session:
    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session
        self._names = [output.name for output in session.get_outputs()]

    def run(
        self, inputs: Mapping[str, Array], into: Mapping[str, Array] | None = None
    ) -> dict[str, Array]:
        """See `Session.run`."""
        found = dict(zip(self._names, self._session.run(self._names, dict(inputs)), strict=True))
        for name, array in (into or {}).items():
            np.copyto(array, found[name])
            found[name] = array
        return found
