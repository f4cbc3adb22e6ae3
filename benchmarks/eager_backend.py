"""The exact graph in PyTorch: the wrappers that export traces, run as they stand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from dreamvla_edge.export.subgraphs import Subgraph, subgraphs
from dreamvla_edge.model.network import DreamVLA
from dreamvla_edge.runtime.manifest import SubgraphSpec

Array = npt.NDArray[Any]


class EagerBackend:
    """A `runtime.backends.Backend` that takes subgraphs from the network, not from their files."""

    def __init__(self, network: DreamVLA) -> None:
        self._subgraphs = {subgraph.name: subgraph for subgraph in subgraphs(network)}

    def load(self, model: Path, spec: SubgraphSpec) -> EagerSession:
        """The wrapper of the same name as the file."""
        return EagerSession(self._subgraphs[model.stem])


class EagerSession:
    """One wrapper in eager mode; see `runtime.backends.Session`."""

    def __init__(self, subgraph: Subgraph) -> None:
        self._subgraph = subgraph

    @torch.inference_mode()
    def run(
        self, inputs: Mapping[str, Array], into: Mapping[str, Array] | None = None
    ) -> dict[str, Array]:
        """Outputs by name; those named in `into` are copied to the arrays given there."""
        names = self._subgraph.inputs
        if set(inputs) != set(names):
            raise ValueError(f"inputs {sorted(inputs)}, expected {sorted(names)}")
        tensors = [torch.from_numpy(np.ascontiguousarray(inputs[name])) for name in names]
        alone = sum(isinstance(example, torch.Tensor) for example in self._subgraph.example)
        arguments = tensors if alone == len(names) else [*tensors[:alone], tuple(tensors[alone:])]
        found = self._subgraph.module(*arguments)
        found = (found,) if isinstance(found, torch.Tensor) else found
        outputs = {
            name: tensor.numpy() for name, tensor in zip(self._subgraph.outputs, found, strict=True)
        }
        for name, array in (into or {}).items():
            np.copyto(array, outputs[name])
            outputs[name] = array
        return outputs
