"""TensorRT on the GPU of this machine, with engines that `dreamvla build` made.

Buffers are made once, at their greatest shapes, so addresses never change; a use of a subgraph
whose shapes were seen before is one launch of a CUDA graph. The backbone's engine is tuned for two
uses (`shapes.py`), each with a context of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dreamvla_edge.runtime.errors import BackendError
from dreamvla_edge.runtime.manifest import SubgraphSpec, TensorSpec

from . import Array, Layer
from .engine import engine_folder, engine_key

if TYPE_CHECKING:
    from dreamvla_edge.kernels.cuda_device import CudaDevice, Memory

Shape = tuple[int, ...]


class TensorRt:
    """Loads engines. Raises BackendError without TensorRT; threads: of the CPU, not used."""

    def __init__(self, threads: int | None = None) -> None:
        import tensorrt

        from dreamvla_edge.kernels.cuda_device import CudaDevice

        del threads
        self._trt = tensorrt
        self._device = CudaDevice()
        self._runtime = tensorrt.Runtime(tensorrt.Logger(tensorrt.Logger.WARNING))

    def load(self, model: Path, spec: SubgraphSpec) -> TensorRtSession:
        """Load the engine of one subgraph.

        Raises BackendError if none was built for this bundle, TensorRT, GPU and power mode, or
        TensorRT refuses it.
        """
        device = self._device
        key = engine_key(
            model.parent, self._trt.__version__, device.architecture, device.multiprocessors
        )
        path = engine_folder(key) / f"{model.stem}.engine"
        if not path.exists():
            raise BackendError(
                f"no engine for {model.stem} at {path}",
                f"one for TensorRT {key.tensorrt}, {key.architecture} with {key.multiprocessors}"
                f" multiprocessors, power mode {key.power_mode or '-'}",
                f"build it here: dreamvla build {model.parent}",
            )
        engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
        if engine is None:
            raise BackendError(
                f"TensorRT {key.tensorrt} cannot load {path}",
                "an engine that was built on this machine",
                f"build it again: dreamvla build {model.parent} --force",
            )
        return TensorRtSession(engine, spec, device)

    def load_layered(self, model: Path, spec: SubgraphSpec) -> TensorRtSession:
        """As `load`, with TensorRT's own profiler on, and so without CUDA graphs."""
        session = self.load(model, spec)
        session.time_layers(self._trt.IProfiler)
        return session


class TensorRtSession:
    """One engine with its buffers."""

    def __init__(self, engine: Any, spec: SubgraphSpec, device: CudaDevice) -> None:
        self._spec, self._device = spec, device
        uses = range(engine.num_optimization_profiles)
        self._contexts = [engine.create_execution_context() for _ in uses]
        self._bounds = [
            {t.name: self._bound(engine, t.name, use) for t in spec.inputs} for use in uses
        ]
        for use, context in enumerate(self._contexts):
            context.set_optimization_profile_async(use, int(device.stream))
        self._inputs = {t.name: device.zeros(self._most(t), np.dtype(t.dtype)) for t in spec.inputs}
        self._outputs = self._made_outputs()
        for context in self._contexts:
            for name, buffer in {**self._inputs, **self._outputs}.items():
                context.set_tensor_address(name, buffer.address)
        self._graphs: dict[tuple[Any, ...], Any] = {}
        self._seen: set[tuple[Any, ...]] = set()
        self._layers: list[list[Layer]] | None = None

    def time_layers(self, profiler: Any) -> None:
        """From now on every run tells how long its layers took; profiler: TensorRT's IProfiler."""
        layers = self._layers = []

        class Profiler(profiler):  # type: ignore[misc]
            def report_layer_time(self, layer_name: str, ms: float) -> None:
                layers[-1].append(Layer(layer_name, "", ms / 1e3))

        self._profiler = Profiler()  # the contexts do not keep it alive
        for context in self._contexts:
            context.profiler = self._profiler

    def layers(self) -> list[list[Layer]]:
        """See `LayeredSession`; a layer of an engine may stand for several nodes."""
        return self._layers or []

    def run(
        self, inputs: Mapping[str, Array], into: Mapping[str, Array] | None = None
    ) -> dict[str, Array]:
        """Outputs by name; those named in `into` are written to the arrays given there."""
        if set(inputs) != {tensor.name for tensor in self._spec.inputs}:
            raise ValueError(f"inputs {sorted(inputs)}, expected those of the manifest")
        self._device.use()
        use = self._use(inputs)
        context = self._contexts[use]
        for name, array in inputs.items():
            context.set_input_shape(name, array.shape)
            self._device.write(self._inputs[name], array)
        self._execute(context, (use, *(array.shape for array in inputs.values())))
        found = {}
        for tensor in self._spec.outputs:
            shape = tuple(context.get_tensor_shape(tensor.name))
            array = self._device.download(self._outputs[tensor.name], shape, np.dtype(tensor.dtype))
            if into and tensor.name in into:
                into[tensor.name][...] = array
                array = into[tensor.name]
            found[tensor.name] = array
        return found

    def _execute(self, context: Any, shapes: tuple[Any, ...]) -> None:
        """Once as it is, which settles everything that a capture may not do, then as a graph."""
        stream = int(self._device.stream)
        if self._layers is not None:  # a graph's launch would tell nothing
            self._layers.append([])
            done = context.execute_async_v3(stream)
        elif shapes in self._graphs:
            self._device.replay(self._graphs[shapes])
            return
        elif shapes in self._seen:
            with self._device.captured() as graph:
                done = context.execute_async_v3(stream)
            self._graphs[shapes] = graph.executable
            self._device.replay(graph.executable)
        else:
            done = context.execute_async_v3(stream)
            self._seen.add(shapes)
        if not done:
            raise BackendError(
                "TensorRT could not run a subgraph",
                "a GPU with free memory",
                "look at what TensorRT wrote above, and at `dreamvla inspect --tensorrt`",
            )

    def _use(self, inputs: Mapping[str, Array]) -> int:
        """The first use that these shapes belong to. Raises BackendError if none does."""
        for use, bounds in enumerate(self._bounds):
            if all(
                low <= length <= high
                for name, array in inputs.items()
                for length, low, high in zip(array.shape, *bounds[name], strict=True)
            ):
                return use
        shapes = ", ".join(f"{name} {array.shape}" for name, array in inputs.items())
        raise BackendError(
            f"inputs of shapes {shapes[:200]}",
            "shapes that the engine was built for",
            "build the engine again with this version: dreamvla build",
        )

    def _made_outputs(self) -> dict[str, Memory]:
        """Buffers for the greatest outputs of any use."""
        sizes: dict[str, int] = {}
        for use, context in enumerate(self._contexts):
            for tensor in self._spec.inputs:
                context.set_input_shape(tensor.name, self._bounds[use][tensor.name][1])
            for tensor in self._spec.outputs:
                size = int(np.prod(tuple(context.get_tensor_shape(tensor.name))))
                sizes[tensor.name] = max(size, sizes.get(tensor.name, 0))
        return {
            t.name: self._device.zeros((sizes[t.name],), np.dtype(t.dtype))
            for t in self._spec.outputs
        }

    def _most(self, tensor: TensorSpec) -> Shape:
        """The greatest shape that any use gives an input."""
        shapes = [bounds[tensor.name][1] for bounds in self._bounds]
        return max(shapes, key=lambda shape: int(np.prod(shape)))

    @staticmethod
    def _bound(engine: Any, name: str, use: int) -> tuple[Shape, Shape]:
        least, _, most = engine.get_tensor_profile_shape(name, use)
        return tuple(least), tuple(most)
