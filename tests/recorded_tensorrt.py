"""TensorRT's Python interface as its bindings of one version have it, with ONNX Runtime inside.

`tests/tensorrt_api` holds the signatures of NVIDIA's own bindings (`tools/tensorrt_api.py`). Here a
name that a version lacks is an AttributeError and a call that fits no signature a TypeError, as
there; what is built or loaded is an ONNX file, which ONNX Runtime runs on the device's memory.
"""

from __future__ import annotations

import ctypes
import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from dreamvla_edge.kernels.emulation.emulation import Emulation
from dreamvla_edge.kernels.masked_attention import AttentionKernel
from dreamvla_edge.kernels.plugin import NAME, NAMESPACE
from dreamvla_edge.runtime.backends.engine import PLUGIN_LIBRARY
from dreamvla_edge.runtime.backends.shapes import Shapes

FOLDER = Path(__file__).parent / "tensorrt_api"
VERSIONS = tuple(sorted((path.stem for path in FOLDER.glob("*.json")), key=float))
_ALIASES = {"nvonnxparser::IParserError": "ParserError", "ILogger": "Logger"}
Answer = Callable[..., Any]


class Recorded:
    """One version's module; calls: every call so far as (class, method, arguments).

    uses: by the name of an ONNX file the shapes that its engine is tuned for; refuses: what the
    parser has against every model; libraries: of plugins that were loaded; launched: while
    `capturing`, what was not done but recorded.
    """

    def __init__(self, version: str, uses: Mapping[str, tuple[Shapes, ...]]) -> None:
        found = json.loads((FOLDER / f"{version}.json").read_text())
        self.__version__: str = found["version"]
        self.classes: dict[str, dict[str, Any]] = found["classes"]
        self.functions: dict[str, list[str]] = found["functions"]
        self.uses, self.calls = uses, list[tuple[str, str, tuple[Any, ...]]]()
        self.refuses: str | None = None
        self.libraries = list[str]()
        self.capturing, self.launched = False, list[Callable[[], bool]]()

    def __getattr__(self, name: str) -> Any:
        if name in self.functions:
            return FUNCTIONS[name](self)
        if name not in self.classes:
            raise AttributeError(f"module 'tensorrt' {self.__version__} has no {name}")
        return Class(self, name)


class Class:
    """A class of the module: may be called, and has its enumerators and nothing else."""

    def __init__(self, api: Recorded, name: str) -> None:
        self.api, self.name = api, name

    def __call__(self, *arguments: Any, **named: Any) -> Object:
        made = Object(self.api, self.name)
        made.call("__init__", arguments, named)
        return made

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        """As a base class: a subclass may write its methods anew, and no others are called."""
        methods = (name for name in self.api.classes[self.name] if name != "__init__")
        return (type(self.name, (), dict.fromkeys(methods)),)

    def __getattr__(self, name: str) -> Enumerator:
        if name not in self.api.classes[self.name]:
            raise AttributeError(f"{self.name} of {self.api.__version__} has no {name}")
        return Enumerator(name)


class Enumerator:
    """A number with a name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __int__(self) -> int:
        return 1


class Object:
    """An object of one of the classes."""

    def __init__(self, api: Recorded, kind: str, **state: Any) -> None:
        self.__dict__.update(api=api, kind=kind, state=state)

    def __getattr__(self, name: str) -> Any:
        entry = self.api.classes[self.kind].get(name)
        if entry is None:
            raise AttributeError(f"{self.kind} of {self.api.__version__} has no {name}")
        if entry == "property":
            answer = ANSWERS.get((self.kind, name))
            return self.state[name] if answer is None else answer(self)
        return lambda *arguments, **named: self.call(name, arguments, named)

    def __setattr__(self, name: str, value: Any) -> None:
        if self.api.classes[self.kind].get(name) != "property":
            raise AttributeError(f"{self.kind} of {self.api.__version__} has no property {name}")
        self.state[name] = value

    def call(self, name: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Checks a call against the signatures, and answers it."""
        signatures = self.api.classes[self.kind][name]
        fitting = [s for s in signatures if _fits(s, arguments, named)]
        if not fitting:
            raise TypeError(f"{self.kind}.{name}{arguments} fits none of {signatures}")
        self.api.calls.append((self.kind, name, arguments))
        answer = ANSWERS.get((self.kind, name))
        if answer is not None:
            return answer(self, *arguments, **named)
        returned = fitting[0].rpartition("-> ")[2].split(".")[-1]
        returned = _ALIASES.get(returned, returned)
        if returned in self.api.classes:
            return Object(self.api, returned)
        return {"None": None, "bool": True, "int": 0, "str": ""}[returned]


def _fits(signature: str, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> bool:
    inside = re.sub(r"<[^>]*>", "DEFAULT", signature[signature.index("(") + 1 :])
    inside = inside[: inside.rindex(") ->")]
    parameters = [part for part in re.split(r",\s*(?=\w+:)", inside) if part][1:]
    names = [part.split(":")[0].strip() for part in parameters]
    required = [n for n, part in zip(names, parameters, strict=True) if "=" not in part]
    given = names[: len(arguments)] + list(named)
    if len(arguments) > len(names) or set(named) - set(names) or set(required) - set(given):
        return False
    values = dict(zip(names, arguments, strict=False)) | dict(named)
    return all(
        _suits(part, values[n]) for n, part in zip(names, parameters, strict=True) if n in values
    )


def _suits(parameter: str, value: Any) -> bool:
    kind = parameter.partition(":")[2].partition("=")[0].strip().split(".")[-1]
    if kind in ("int", "SupportsInt"):
        return isinstance(value, int | np.integer)
    if kind == "str":
        return isinstance(value, str)
    if kind == "bool":
        return isinstance(value, bool)
    if kind == "Dims":
        return all(isinstance(length, int | np.integer) for length in value)
    if kind in ("buffer", "Buffer", "capsule"):
        return isinstance(value, bytes | bytearray | memoryview)
    kind = _ALIASES.get(kind, kind)
    return not isinstance(value, Object) or value.kind == kind or kind not in value.api.classes


def _parsed(parser: Object, model: str, *_: Any) -> bool:
    parser.api.state_model = model
    return parser.api.refuses is None


class WithPlugin:
    """A plugin form as a session of ONNX Runtime: the plugin's nodes by the kernel in emulation."""

    def __init__(self, model: Path) -> None:
        self._signature = onnx.load(model, load_external_data=False).graph
        self._run = ReferenceEvaluator(onnx.load(model), new_ops=[PluginNode])

    def get_inputs(self) -> list[Any]:
        """Name, shape and type of each."""
        return [_argument(value) for value in self._signature.input]

    def get_outputs(self) -> list[Any]:
        """As `get_inputs`."""
        return [_argument(value) for value in self._signature.output]

    def run(self, _: None, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        """All outputs."""
        return list(self._run.run(None, inputs))


class PluginNode(OpRun):  # type: ignore[misc]
    """What the plugin launches."""

    op_domain = NAMESPACE

    def _run(self, *inputs: Any, scale: float, table: list[int], **_: Any) -> tuple[np.ndarray]:
        rules = np.array(table, np.int32).reshape(-1, 4)
        return (AttentionKernel(Emulation(), *inputs, rules, scale)(),)


PluginNode.__name__ = NAME


def _argument(value: Any) -> Any:
    kind = value.type.tensor_type
    shape = [d.dim_param or d.dim_value for d in kind.shape.dim]
    names = {TensorProto.FLOAT: "tensor(float)", TensorProto.INT32: "tensor(int32)"}
    return SimpleNamespace(name=value.name, shape=shape, type=names[kind.elem_type])


def _engine(runtime: Object, plan: bytes) -> Object | None:
    model = Path(plan.decode())
    if not model.exists():
        return None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session: Any
    if any(n.op_type == NAME for n in onnx.load(model, load_external_data=False).graph.node) and (
        model.parent.joinpath(PLUGIN_LIBRARY).exists()
    ):
        assert runtime.api.libraries, "an engine with a plugin that TensorRT does not know"
        session = WithPlugin(model)
    else:
        session = onnxruntime.InferenceSession(str(model), options)
    uses = runtime.api.uses[model.stem]
    return Object(runtime.api, "ICudaEngine", session=session, uses=uses)


def _context(engine: Object, *_: Any) -> Object:
    state = {**engine.state, "use": 0, "shapes": {}, "addresses": {}}
    return Object(engine.api, "IExecutionContext", **state)


def _set_use(context: Object, use: int, _: int) -> bool:
    context.state["use"] = use
    return use < len(context.state["uses"])


def _set_shape(context: Object, name: str, shape: Any) -> bool:
    least, _, most = context.state["uses"][context.state["use"]][name]
    fits = all(a <= n <= b for a, n, b in zip(least, shape, most, strict=True))
    assert fits, f"{name} {tuple(shape)} is outside the profile"
    context.state["shapes"][name] = tuple(shape)
    return fits


def _set_address(context: Object, name: str, address: int) -> bool:
    context.state["addresses"][name] = address
    return True


def _tensor_shape(context: Object, name: str) -> tuple[int, ...]:
    state = context.state
    session, shapes = state["session"], state["shapes"]
    lengths = {
        symbol: length
        for tensor in session.get_inputs()
        for symbol, length in zip(tensor.shape, shapes[tensor.name], strict=True)
    }
    tensors = [*session.get_inputs(), *session.get_outputs()]
    (tensor,) = (t for t in tensors if t.name == name)
    return tuple(
        length
        if isinstance(length, int)
        else math.prod(int(lengths.get(part, part)) for part in length.split("*"))
        for length in tensor.shape
    )


def _execute(context: Object, stream: int) -> bool:
    if context.api.capturing:
        context.api.launched.append(lambda: _execute(context, stream))
        return True
    state = context.state
    session = state["session"]
    types = {"tensor(float)": np.float32, "tensor(int32)": np.int32}

    def memory(tensor: Any) -> np.ndarray:
        shape, kind = _tensor_shape(context, tensor.name), np.dtype(types[tensor.type])
        size = int(np.prod(shape)) * kind.itemsize
        raw = (ctypes.c_char * size).from_address(state["addresses"][tensor.name])
        return np.frombuffer(raw, kind).reshape(shape)

    found = session.run(None, {t.name: memory(t).copy() for t in session.get_inputs()})
    for tensor, array in zip(session.get_outputs(), found, strict=True):
        memory(tensor)[...] = array
    for tensor in session.get_outputs() if state.get("profiler") else ():
        state["profiler"].report_layer_time(tensor.name, 1.5)
    return True


def _load_library(registry: Object, plugin_path: str) -> object | None:
    if Path(plugin_path).read_bytes() == b"damaged":
        return None
    registry.api.libraries.append(plugin_path)
    return object()


FUNCTIONS: Mapping[str, Callable[[Recorded], Callable[..., Object]]] = {
    "get_plugin_registry": lambda api: lambda: Object(api, "IPluginRegistry"),
}
"""Functions of the module."""
ANSWERS: Mapping[tuple[str, str], Answer] = {
    ("Builder", "build_serialized_network"): lambda b, *_: b.api.state_model.encode(),
    ("OnnxParser", "parse_from_file"): _parsed,
    ("OnnxParser", "num_errors"): lambda parser: int(parser.api.refuses is not None),
    ("ParserError", "desc"): lambda error: error.api.refuses,
    ("ITimingCache", "serialize"): lambda cache: b"timing",
    ("IPluginRegistry", "get_creator"): lambda r, *_: object() if r.api.libraries else None,
    ("IPluginRegistry", "load_library"): _load_library,
    ("Runtime", "deserialize_cuda_engine"): _engine,
    ("ICudaEngine", "num_optimization_profiles"): lambda engine: len(engine.state["uses"]),
    ("ICudaEngine", "get_tensor_profile_shape"): lambda e, name, use: e.state["uses"][use][name],
    ("ICudaEngine", "create_execution_context"): _context,
    ("IExecutionContext", "set_optimization_profile_async"): _set_use,
    ("IExecutionContext", "set_input_shape"): _set_shape,
    ("IExecutionContext", "set_tensor_address"): _set_address,
    ("IExecutionContext", "get_tensor_shape"): _tensor_shape,
    ("IExecutionContext", "execute_async_v3"): _execute,
}
"""What calls give beside an object or nothing: (class, name) → a function of the object."""
