"""Counts what a subgraph does, from its graph alone: no weight is read, nothing is computed.

All axes that vary get the length that they have in one use, so that every shape is known.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, get_args

import onnx
from onnx import TensorProto
from onnx.inliner import inline_local_functions
from onnx.shape_inference import infer_shapes

from dreamvla_edge.runtime.manifest import NetworkSpec
from dreamvla_edge.runtime.work import BYTES, Format, Product, Stored, Work

_NAMES: Mapping[int, str] = {
    TensorProto.FLOAT: "fp32",
    TensorProto.FLOAT16: "fp16",
    TensorProto.INT8: "int8",
    TensorProto.UINT8: "int8",
    TensorProto.FLOAT8E4M3FN: "fp8",
    TensorProto.INT4: "int4",
}
_WIDTHS: Mapping[int, float] = {TensorProto.INT32: 4, TensorProto.INT64: 8, TensorProto.BOOL: 1}
_VIEWS = {"Constant", "Shape", "Reshape", "Squeeze", "Unsqueeze", "Identity", "Flatten"}
"""Nodes that only name the same numbers anew."""
_SAME = {"DequantizeLinear", "QuantizeLinear", "Cast", "Transpose", "Reshape", "Identity"}
"""Nodes behind which a product's number format is looked for."""
_LOOKUPS = {"Gather", "GatherND"}


def uses(network: NetworkSpec, name: str) -> dict[str, dict[str, int]]:
    """What a subgraph is used for, with the lengths that its varying axes then have.

    The backbone's *fill* stands for a window that is half full; *prefill* is left out where the
    window is one frame.
    """
    if name == "embed":
        return {"step": {"n": 1}}
    if name == "denoise":
        return {"evaluation": {"B": 1}}
    if name != "backbone":
        return {_USES.get(name, "request"): {}}
    a, slots, read = network.context_rows, network.window - 1, network.action_steps
    rows = a + network.query_rows
    found = {
        "fill": {"T": rows, "N": a * (slots // 2), "M": read},
        "prefill": {"T": a * slots, "N": 0, "M": 1},
        "step": {"T": rows, "N": a * slots, "M": read},
    }
    return found if slots else {"fill": found["fill"], "step": found["step"]}


_USES = {"text": "instruction", "vision": "frame", "head": "step"}


def counted(path: Path, network: NetworkSpec, name: str) -> dict[str, Work]:
    """Work of each use of a subgraph that lies in an ONNX file."""
    model = onnx.load(path, load_external_data=False)
    return {use: count(model, lengths) for use, lengths in uses(network, name).items()}


def count(model: onnx.ModelProto, lengths: Mapping[str, int]) -> Work:
    """Work of one run, with these lengths of the axes that vary."""
    graph = _Graph(_inferred(model, lengths))
    products = Counter(product for node in graph.running for product in graph.products(node))
    return Work(
        products=tuple(
            Product(*kind, count=count, format=format, weights=weights)  # type: ignore[arg-type]
            for (kind, format, weights), count in sorted(products.items(), key=str)
        ),
        weight_mb=graph.weight_bytes() / 1e6,
        cache_mb=sum(graph.bytes(t.name) for t in graph.inputs if t.name.startswith("past_")) / 1e6,
        activation_mb=sum(map(graph.moved_bytes, graph.running)) / 1e6,
        kernels=len(graph.running),
    )


class _Tensor(NamedTuple):
    type: int
    shape: tuple[int, ...]


_Kind = tuple[tuple[int, int, int], str, str | None]
"""Shape, format and form of the weights of a product."""


class _Graph:
    """A graph with all shapes, and which of its nodes run: those that constants do not decide."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._tensors = {
            t.name: _Tensor(t.data_type, tuple(t.dims)) for t in graph.initializer
        } | dict(map(_tensor, [*graph.value_info, *graph.input, *graph.output]))
        self._constants = {t.name for t in graph.initializer}
        self._made = {output: node for node in graph.node for output in node.output}
        self.inputs = graph.input
        self.running: list[onnx.NodeProto] = []
        fixed = set(self._constants)
        for node in graph.node:
            if node.op_type == "Shape" or all(name in fixed for name in node.input if name):
                fixed.update(node.output)
            elif node.op_type not in _VIEWS:
                self.running.append(node)
        self._fixed = fixed

    def bytes(self, name: str) -> float:
        """Of one tensor."""
        tensor = self._tensors[name]
        width = BYTES[_NAMES[tensor.type]] if tensor.type in _NAMES else _WIDTHS[tensor.type]
        return math.prod(tensor.shape) * width

    def moved_bytes(self, node: onnx.NodeProto) -> float:
        """In and out of a node, without constants."""
        moved = [name for name in node.input if name and name not in self._fixed]
        if node.op_type in _LOOKUPS:
            moved = [*node.output]
        return sum(map(self.bytes, [*moved, *filter(None, node.output)]))

    def weight_bytes(self) -> float:
        """Of the constants that the running nodes read; of a table only the rows looked up."""
        found, tables = set(), 0.0
        for node in self.running:
            for place, name in enumerate(node.input):
                if name not in self._fixed:
                    continue
                if node.op_type in _LOOKUPS and place == 0:
                    tables += self.bytes(node.output[0])
                else:
                    found |= self._origins(name)
        return sum(map(self.bytes, found)) + tables

    def products(self, node: onnx.NodeProto) -> Iterator[_Kind]:
        """The products that a node computes."""
        if node.op_type not in ("MatMul", "Gemm", "Conv"):
            return
        a, b = (self._tensors[name].shape for name in node.input[:2])
        out = self._tensors[node.output[0]].shape
        weights = self._stored(node.input[1])
        format = self._format(node.input[0], node.input[1])
        if node.op_type == "Conv":
            rows = math.prod(out) // out[1]
            yield (rows, math.prod(b[1:]), b[0]), format, weights
            return
        turned = node.op_type == "Gemm" and any(x.name == "transA" and x.i for x in node.attribute)
        inner = a[-2] if turned else a[-1]
        if len(b) == 2 or math.prod(b[:-2]) == 1:
            yield (math.prod(out) // out[-1], inner, out[-1]), format, weights
        else:
            for _ in range(math.prod(out[:-2])):
                yield (out[-2], inner, out[-1]), format, weights

    def _format(self, *operands: str) -> str:
        """The widest of the formats in which operands are known."""
        found = [self._origin_format(name) for name in operands]
        if all(name == found[0] for name in found) and found[0] in get_args(Format):
            return found[0]
        return _NAMES[self._tensors[operands[0]].type]

    def _origin_format(self, name: str) -> str:
        """The format of a tensor where it was last quantized, or its own."""
        node = self._made.get(name)
        while node is not None and node.op_type in _SAME:
            if node.op_type == "DequantizeLinear":
                return _NAMES[self._tensors[node.input[0]].type]
            node = self._made.get(node.input[0])
        return _NAMES[self._tensors[name].type]

    def _stored(self, name: str) -> str | None:
        """How a constant is stored, None for a tensor that is computed."""
        while name not in self._constants:
            node = self._made.get(name)
            if node is None or node.op_type not in _SAME:
                return None
            name = node.input[0]
        stored = _NAMES[self._tensors[name].type]
        assert stored in get_args(Stored)
        return stored

    def _origins(self, name: str) -> set[str]:
        """The stored tensors that a constant is made of."""
        if name in self._constants:
            return {name}
        node = self._made.get(name)
        if node is None or node.op_type == "Shape":
            return set()
        return set().union(*(self._origins(part) for part in node.input if part))


def _inferred(model: onnx.ModelProto, lengths: Mapping[str, int]) -> onnx.GraphProto:
    """The graph without functions and with all shapes."""
    plain: onnx.ModelProto = inline_local_functions(model)
    for tensor in plain.graph.input:
        for axis in tensor.type.tensor_type.shape.dim:
            if axis.dim_param:
                axis.dim_value = lengths[axis.dim_param]
    del plain.graph.value_info[:]
    for tensor in plain.graph.output:
        tensor.type.tensor_type.ClearField("shape")
    # Strict mode finds fault with products of half-precision graphs whose shapes it infers well.
    return infer_shapes(plain, data_prop=True).graph


def _tensor(value: onnx.ValueInfoProto) -> tuple[str, _Tensor]:
    tensor = value.type.tensor_type
    if not all(axis.HasField("dim_value") for axis in tensor.shape.dim):
        raise ValueError(f"the shape of {value.name} does not follow from those of the inputs")
    return value.name, _Tensor(tensor.elem_type, tuple(d.dim_value for d in tensor.shape.dim))
