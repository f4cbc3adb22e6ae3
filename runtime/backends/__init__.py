"""Programs that run ONNX subgraphs, by name."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy.typing as npt

from dreamvla_edge.runtime.errors import BackendError
from dreamvla_edge.runtime.keys_and_values import KeysAndValues
from dreamvla_edge.runtime.manifest import SamplerSpec, SubgraphSpec
from dreamvla_edge.runtime.samplers import FloatArray, Sampled

Array = npt.NDArray[Any]

BACKENDS = {
    "onnxruntime": ("dreamvla_edge.runtime.backends.onnxruntime", "OnnxRuntime"),
    "tensorrt": ("dreamvla_edge.runtime.backends.tensorrt", "TensorRt"),
    "tensorrt-plugin": ("dreamvla_edge.runtime.backends.tensorrt", "TensorRtWithPlugin"),
}
"""Name → (module, class); a module is imported when its back end is asked for."""


class Session(Protocol):
    """One loaded subgraph."""

    def run(
        self, inputs: Mapping[str, Array], into: Mapping[str, Array] | None = None
    ) -> dict[str, Array]:
        """Outputs by name; those named in `into` are written to the arrays given there."""
        ...


@runtime_checkable
class KeepingSession(Session, Protocol):
    """A session of the backbone that keeps keys and values where it computes."""

    def keep(self, names: Sequence[str]) -> KeysAndValues:
        """Where these outputs, and the inputs `past_` with their names, shall stay from now on."""
        ...


@runtime_checkable
class SamplingSession(Session, Protocol):
    """A session of the denoiser that can run a whole sampler by itself."""

    def sample(
        self, features: FloatArray, noise: FloatArray, spec: SamplerSpec, before: Sampled | None
    ) -> Sampled | None:
        """As `samplers.sample`; None for a sampler that it has no way to run."""
        ...


class Backend(Protocol):
    """Loads subgraphs; made with the number of threads it may use."""

    def load(self, model: Path, spec: SubgraphSpec) -> Session:
        """Load one ONNX file, whose tensors must be those of `spec`."""
        ...


class Layer(NamedTuple):
    """One layer of one run: its name, its operator if that is known, how long it took [s]."""

    name: str
    operator: str
    seconds: float


class LayeredSession(Session, Protocol):
    """A session that times its layers, which takes time itself."""

    def layers(self) -> list[list[Layer]]:
        """Of every run so far, in their order; to be asked once, after the last run."""
        ...


@runtime_checkable
class LayeredBackend(Backend, Protocol):
    """A back end that can time layers."""

    def load_layered(self, model: Path, spec: SubgraphSpec) -> LayeredSession:
        """As `load`, to time layers."""
        ...


def make_backend(name: str, threads: int | None = None) -> Backend:
    """The back end `name`, or `module:Class`, with `threads` threads (None: all cores).

    Raises BackendError when the name is unknown or the module cannot be imported.
    """
    module, _, kind = name.partition(":")
    if not (module and kind):
        if name not in BACKENDS:
            raise BackendError(
                f"back end {name!r}",
                "one of " + ", ".join(BACKENDS) + ", or module:Class",
                "name one of them",
            )
        module, kind = BACKENDS[name]
    try:
        made: Backend = getattr(importlib.import_module(module), kind)(threads)
    except (ImportError, AttributeError) as error:
        raise BackendError(
            f"back end {name!r} cannot be loaded ({error})",
            f"{kind} in {module}",
            "install the package it needs, or choose another back end",
        ) from error
    return made
