"""A back end that remembers what the activations of quantizable layers were."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from dreamvla_edge.runtime.backends import Array
from dreamvla_edge.runtime.manifest import SubgraphSpec

from .histogram import Histogram
from .layers import layers_of
from .weights import load_with_weights


class Watching:
    """Loads subgraphs into ONNX Runtime with the activations before all layers as outputs.

    A policy on it meets what a policy meets: all frames, all denoising times and both branches of
    the guidance, fills, prefills and steps. seen: by subgraph and tensor.
    """

    def __init__(self, subgraphs: tuple[str, ...]) -> None:
        self.seen: dict[str, defaultdict[str, Histogram]] = {
            name: defaultdict(Histogram) for name in subgraphs
        }

    def load(self, model: Path, spec: SubgraphSpec) -> _Session:
        """See `Backend.load`."""
        name = model.name.removesuffix(".onnx")
        return _Session(model, self.seen.get(name))


class _Session:
    def __init__(self, path: Path, seen: defaultdict[str, Histogram] | None) -> None:
        model = load_with_weights(path)
        self._own = [output.name for output in model.graph.output]
        self._seen, self._watched = seen, []
        if seen is not None:
            self._watched = sorted({layer.activation for layer in layers_of(model)})
            inputs = {entry.name for entry in model.graph.input} | {*self._own}
            model.graph.output.extend(
                onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
                for name in self._watched
                if name not in inputs
            )
        self._session = ort.InferenceSession(
            model.SerializeToString(), providers=["CPUExecutionProvider"]
        )

    def run(
        self, inputs: Mapping[str, Array], into: Mapping[str, Array] | None = None
    ) -> dict[str, Array]:
        """See `Session.run`."""
        names = [output.name for output in self._session.get_outputs()]
        found: dict[str, NDArray[Any]] = dict(
            zip(names, self._session.run(names, dict(inputs)), strict=True)
        )
        if self._seen is not None:
            for name in self._watched:
                self._seen[name].add(found[name] if name in found else inputs[name])
        for name, array in (into or {}).items():
            np.copyto(array, found[name])
            found[name] = array
        return {name: found[name] for name in self._own}
