"""TensorRT on the GPU of this machine, with engines that `dreamvla build` made.

Buffers are made once, at their greatest shapes, so addresses hardly change; a use of a subgraph
whose shapes and addresses were seen before is one launch of a CUDA graph. The backbone's engine is
tuned for two uses (`shapes.py`), each with a context of its own; its keys and values stay on the
GPU (`tensorrt_memory.py`). A denoiser in halves or 8-bit weights is sampled by our kernel
(`tensorrt_sampler.py`). All of it follows each other in one stream.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from dreamvla_edge.kernels.device import Device, KernelError
from dreamvla_edge.kernels.plugin import plugin_key, register
from dreamvla_edge.runtime.errors import BackendError
from dreamvla_edge.runtime.manifest import SamplerSpec, SubgraphSpec, TensorSpec
from dreamvla_edge.runtime.samplers import FloatArray, Sampled

from . import Array, Layer
from .engine import DENOISER, PLUGIN_LIBRARY, engine_folder, engine_key
from .tensorrt_memory import DeviceKeysAndValues, DeviceTensor
from .tensorrt_sampler import PRECISIONS, KernelSampler

if TYPE_CHECKING:
    from tensorrt import ICudaEngine, IExecutionContext

    from dreamvla_edge.kernels.cuda_device import CudaDevice, Memory

Shape = tuple[int, ...]


class TensorRt:
    """Loads engines. Raises BackendError without TensorRT; threads: of the CPU, not used."""

    _with_plugin = False

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
            model.parent,
            self._trt.__version__,
            device.architecture,
            device.multiprocessors,
            plugin_key() if self._with_plugin else "",
        )
        path = engine_folder(key) / f"{model.stem}.engine"
        command = f"dreamvla build {model.parent}" + " --plugin" * self._with_plugin
        if not path.exists():
            raise BackendError(
                f"no engine for {model.stem} at {path}",
                f"one for TensorRT {key.tensorrt}, {key.architecture} with {key.multiprocessors}"
                f" multiprocessors, power mode {key.power_mode or '-'}",
                f"build it here: {command}",
            )
        if self._with_plugin:
            try:
                register(self._trt.get_plugin_registry(), path.with_name(PLUGIN_LIBRARY))
            except KernelError as error:
                raise BackendError(
                    f"no plugin for masked attention ({error})",
                    "the library beside the engines",
                    f"build both again: {command} --force",
                ) from error
        engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
        if engine is None:
            raise BackendError(
                f"TensorRT {key.tensorrt} cannot load {path}",
                "an engine that was built on this machine",
                f"build it again: {command} --force",
            )
        if model.stem == "backbone":
            return TensorRtBackbone(engine, spec, device)
        weights = path.with_name(DENOISER)
        if model.stem == "denoise" and spec.precision in PRECISIONS and weights.exists():
            sampler = KernelSampler(cast(Device, device), weights)  # its buffers are its own kind
            return TensorRtDenoiser(engine, spec, device, sampler)
        return TensorRtSession(engine, spec, device)

    def load_layered(self, model: Path, spec: SubgraphSpec) -> TensorRtSession:
        """As `load`, with TensorRT's own profiler on, and so without CUDA graphs."""
        session = self.load(model, spec)
        session.time_layers(self._trt.IProfiler)
        return session


class TensorRtWithPlugin(TensorRt):
    """With the engines of `dreamvla build --plugin`, whose attention is our kernel."""

    _with_plugin = True


class TensorRtSession:
    """One engine with its buffers."""

    def __init__(self, engine: ICudaEngine, spec: SubgraphSpec, device: CudaDevice) -> None:
        self._spec, self._device = spec, device
        uses = range(engine.num_optimization_profiles)
        self._contexts = [engine.create_execution_context() for _ in uses]
        self._bounds = [
            {t.name: self._bound(engine, t.name, use) for t in spec.inputs} for use in uses
        ]
        for use, context in enumerate(self._contexts):
            context.set_optimization_profile_async(use, int(device.stream))
        self._inputs: dict[str, Memory] = {}
        self._outputs = self._made_outputs()
        self._kept = frozenset[str]()
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
        addresses = {}
        for name, array in inputs.items():
            context.set_input_shape(name, array.shape)
            addresses[name] = self._input(name, array).address
        targets = {**self._outputs}
        for name, target in (into or {}).items():
            if isinstance(target, DeviceTensor):
                targets[name] = target.buffer
        addresses |= {name: buffer.address for name, buffer in targets.items()}
        for name, address in addresses.items():
            context.set_tensor_address(name, address)
        shapes = (array.shape for array in inputs.values())
        self._execute(context, (use, *shapes, *addresses.values()))
        found: dict[str, Any] = {}
        for tensor in self._spec.outputs:
            name, shape = tensor.name, tuple(context.get_tensor_shape(tensor.name))
            if name in self._kept:
                found[name] = DeviceTensor(self._device, targets[name], shape)
                continue
            found[name] = self._device.download(targets[name], shape, np.dtype(tensor.dtype))
            if into and name in into:
                into[name][...] = found[name]
                found[name] = into[name]
        return found

    def _input(self, name: str, array: Array | DeviceTensor) -> Memory:
        """Memory with these numbers: the tensor's own, or this session's, made at first use."""
        if isinstance(array, DeviceTensor):
            return array.buffer
        if name not in self._inputs:
            (tensor,) = (t for t in self._spec.inputs if t.name == name)
            self._inputs[name] = self._device.zeros(self._most(tensor), np.dtype(tensor.dtype))
        self._device.write(self._inputs[name], array)
        return self._inputs[name]

    def _execute(self, context: IExecutionContext, shapes: tuple[Any, ...]) -> None:
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
    def _bound(engine: ICudaEngine, name: str, use: int) -> tuple[Shape, Shape]:
        least, _, most = engine.get_tensor_profile_shape(name, use)
        return tuple(least), tuple(most)


class TensorRtBackbone(TensorRtSession):
    """The backbone's, whose keys and values never leave the GPU."""

    def keep(self, names: Sequence[str]) -> DeviceKeysAndValues:
        """As `backends.KeepingSession`; outputs of these names then hold until the next run."""
        self._kept = frozenset(names)
        (past,) = (t for t in self._spec.inputs if t.name == f"past_{names[0]}")
        heads, rows, width = self._most(past)
        return DeviceKeysAndValues(self._device, names, heads, width, rows)


class TensorRtDenoiser(TensorRtSession):
    """The denoiser's, with our kernel for whole samplers."""

    def __init__(
        self, engine: ICudaEngine, spec: SubgraphSpec, device: CudaDevice, sampler: KernelSampler
    ) -> None:
        super().__init__(engine, spec, device)
        self._sampler = sampler

    def sample(
        self, features: FloatArray, noise: FloatArray, spec: SamplerSpec, before: Sampled | None
    ) -> Sampled | None:
        """As `backends.SamplingSession`."""
        self._device.use()
        return self._sampler.sample(features, noise, spec, before)
