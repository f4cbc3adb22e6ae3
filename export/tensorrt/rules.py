"""What each TensorRT version refuses in a graph, before a Jetson has to say it.

Sources: NVIDIA/TensorRT CHANGELOG.md, onnx-tensorrt's docs/operators.md, NvInfer.h on
IQuantizeLayer, and what parsers of the 10.x and 11.x lines were seen to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from dreamvla_edge.kernels.plugin import NAME as PLUGIN


class Version(NamedTuple):
    """A TensorRT version that a JetPack has: its number, and the opsets that it parses."""

    number: tuple[int, int]
    jetpack: str
    opsets: range


VERSIONS: Mapping[str, Version] = {
    "10.3": Version((10, 3), "JetPack 6.1 to 6.2 on Orin", range(9, 21)),
    "10.13": Version((10, 13), "JetPack 7.0 and 7.1 on Thor", range(9, 24)),
    "10.16": Version((10, 16), "JetPack 7.2 on Orin and Thor", range(9, 25)),
    "11.4": Version((11, 4), "JetPack 7.2.2 and later", range(9, 25)),
}
"""By the name that users say."""


@dataclass(frozen=True)
class Finding:
    """One node against one rule: where, what was found, and what to do."""

    rule: str
    node: str
    found: str
    cure: str


_SINCE: Mapping[str, tuple[int, int]] = {
    "Attention": (10, 14),
    "RotaryEmbedding": (10, 15),
    "RMSNormalization": (10, 15),
    "TensorScatter": (10, 15),
}
"""Operators that came within the 10.x line."""
_ALWAYS = frozenset(
    "Abs Add And ArgMax ArgMin Cast CastLike Ceil Clip Concat Constant ConstantOfShape Conv Cos"
    " CumSum DequantizeLinear Div Einsum Elu Equal Erf Exp Expand Flatten Floor Gather"
    " GatherElements GatherND Gelu Gemm Greater GreaterOrEqual HardSigmoid Identity If"
    " InstanceNormalization IsNaN LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax Loop"
    " MatMul Max Mean Min Mod Mul Neg Not Or Pad Pow QuantizeLinear Range Reciprocal ReduceL2"
    " ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum Relu Reshape Resize Round ScatterElements"
    " ScatterND Shape Sigmoid Sign Sin Size Slice Softmax Softplus Split Sqrt Squeeze Sub Sum Tanh"
    " Tile TopK Transpose Trilu Unsqueeze Where Xor".split()
)
"""Operators that every version here parses, of those that networks like these are made of."""
_TYPES = {
    TensorProto.FLOAT,
    TensorProto.FLOAT16,
    TensorProto.BFLOAT16,
    TensorProto.INT8,
    TensorProto.INT32,
    TensorProto.INT64,
    TensorProto.BOOL,
    TensorProto.FLOAT8E4M3FN,
    TensorProto.INT4,
}
_PLUGIN_FORM = "take the form that `inlined` or `with_plugin` of export/tensorrt/form.py makes"


def findings(model: onnx.ModelProto, version: str) -> list[Finding]:
    """All that a version of VERSIONS would refuse; nothing if it takes the model."""
    known = VERSIONS[version]
    return [finding for rule in RULES for finding in rule(model, known)]


def _opset(model: onnx.ModelProto, version: Version) -> Iterator[Finding]:
    for opset in model.opset_import:
        if opset.domain in ("", "ai.onnx") and opset.version not in version.opsets:
            yield Finding(
                "opset",
                model.graph.name,
                f"opset {opset.version}; it parses {version.opsets.start} to"
                f" {version.opsets.stop - 1}",
                "quantize with another precision than w4, or export again",
            )


def _operators(model: onnx.ModelProto, version: Version) -> Iterator[Finding]:
    functions = {(function.domain, function.name) for function in model.functions}
    for node in _nodes(model):
        name = node.op_type
        if (node.domain, name) in functions or name == PLUGIN:
            continue
        if node.domain not in ("", "ai.onnx"):
            yield Finding(
                "operator",
                node.name,
                f"{node.domain}::{name}, which is neither an operator nor a function of the file",
                "leave it to ONNX Runtime, or " + _PLUGIN_FORM,
            )
        elif name in _SINCE and version.number < _SINCE[name]:
            major, minor = _SINCE[name]
            yield Finding(
                "operator",
                node.name,
                f"{name}, which came with {major}.{minor}",
                "write it with the operators that it consists of",
            )
        elif name not in _ALWAYS and name not in _SINCE:
            yield Finding(
                "operator",
                node.name,
                f"{name}, which it does not parse",
                "write it with operators that it does",
            )


def _types(model: onnx.ModelProto, version: Version) -> Iterator[Finding]:
    for tensor in model.graph.initializer:
        kind = TensorProto.DataType.Name(tensor.data_type)
        if tensor.data_type not in _TYPES:
            yield Finding("type", tensor.name, f"weights of type {kind}", "use int8 or float16")
        elif tensor.data_type == TensorProto.FLOAT8E4M3FN and version.number < (10, 13):
            yield Finding(
                "type", tensor.name, f"weights of type {kind}, which Orin has not", "use int8"
            )
    for node in _nodes(model):
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i not in _TYPES:
                kind = TensorProto.DataType.Name(attribute.i)
                yield Finding("type", node.name, f"a cast to {kind}", "stay with float32 or int32")


def _quantization(model: onnx.ModelProto, version: Version) -> Iterator[Finding]:
    """Symmetric alone; one scale for an activation; float scales as wide as what they scale."""
    del version
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in _nodes(model):
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        if len(node.input) > 2:
            zero = constants.get(node.input[2])
            if zero is None:
                yield Finding(
                    "zero point",
                    node.name,
                    "a zero point that is computed",
                    "store it: zeros of the quantized type",
                )
            elif zero.data_type == TensorProto.UINT8 or np.any(
                numpy_helper.to_array(zero).astype(np.float32)
            ):
                yield Finding(
                    "zero point",
                    node.name,
                    "a zero point that is not zero, or unsigned",
                    "quantize with int8 (preset orin); uint8 (preset cpu) is for CPUs",
                )
        scale = constants.get(node.input[1])
        if scale is None:
            yield Finding("scale", node.name, "a scale that is computed", "store it")
        elif np.prod(scale.dims) > 1 and (
            node.op_type == "QuantizeLinear" or node.input[0] not in constants
        ):
            yield Finding(
                "scale",
                node.name,
                f"{np.prod(scale.dims):.0f} scales for an activation",
                "one scale for all of it; only weights have one per output",
            )


def _names(model: onnx.ModelProto, version: Version) -> Iterator[Finding]:
    """Plugins and functions are looked up by names that some versions mix up."""
    operators = {schema.name for schema in onnx.defs.get_all_schemas()}
    for node in _nodes(model):
        if "." in node.domain and node.domain != "ai.onnx":
            yield Finding(
                "name",
                node.name,
                f"the domain {node.domain!r} with a dot",
                "a domain without one: plugins refuse it",
            )
        if node.domain not in ("", "ai.onnx") and node.op_type in operators:
            yield Finding(
                "name",
                node.name,
                f"{node.domain}::{node.op_type}, which is parsed as ONNX's {node.op_type}",
                "another name: TensorRT looks at no domain",
            )
    names = [function.name for function in model.functions]
    for name in {name for name in names if names.count(name) > 1}:
        yield Finding("name", name, "two functions of this name", "a name of its own for each")
    if version.number < (10, 8):
        yield from _shared_names(model)


def _shared_names(model: onnx.ModelProto) -> Iterator[Finding]:
    """Before 10.8 a function's tensor was taken for one of the same name outside."""
    outside = {name for node in model.graph.node for name in (*node.input, *node.output) if name}
    for function in model.functions:
        own = {name for node in function.node for name in node.output}
        for name in sorted(own & outside):
            yield Finding(
                "name",
                function.name,
                f"the tensor {name!r}, a name that the graph uses too",
                "names of its own inside each function",
            )


def _plugins(model: onnx.ModelProto, version: Version) -> Iterator[Finding]:
    """A node for our plugin must say so, and no function may stand in its way."""
    functions = {function.name for function in model.functions}
    for node in _nodes(model):
        if node.op_type != PLUGIN:
            continue
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        plugin = "plugin_version" in attributes
        if not plugin and PLUGIN not in functions:
            yield Finding("plugin", node.name, f"{PLUGIN} without function", _PLUGIN_FORM)
        if plugin and PLUGIN in functions and version.number < (10, 7):
            yield Finding(
                "plugin",
                node.name,
                "a function of the plugin's name, which it would take",
                _PLUGIN_FORM,
            )


def _nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Of the graph, its functions and all graphs in attributes."""
    open_ = [*model.graph.node, *(node for f in model.functions for node in f.node)]
    while open_:
        node = open_.pop(0)
        yield node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                open_ += attribute.g.node


RULES: tuple[Callable[[onnx.ModelProto, Version], Iterator[Finding]], ...] = (
    _opset,
    _operators,
    _types,
    _quantization,
    _names,
    _plugins,
)
