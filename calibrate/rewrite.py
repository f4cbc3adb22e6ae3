"""A graph with its layers quantized as a plan says.

ONNX Runtime's own quantizer rewrites every operator around a product, wants ranges of outputs too
and knows no weight-only form of standard operators; here exactly what the plan names changes: the
activation before a layer, and its weights. All forms are QuantizeLinear and DequantizeLinear of
opset 20 with zero point 0 where signed, which TensorRT 10.3 parses and fuses.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from .histogram import OBSERVERS, Histogram, Range, step_of
from .layers import Layer, layers_of, weight_of
from .plan import Choice
from .smooth import smoothed

_WEIGHT_LEVELS = {"int8": 127, "w8": 127, "uint8": 63}
"""Largest weight. 63: two products of an unsigned byte with it, added, stay within 16 bits."""


def rewritten(
    model: onnx.ModelProto, choice: Choice, seen: Mapping[str, Histogram]
) -> onnx.ModelProto:
    """A copy of a model with weights inside it; seen: its activations (none needed for `w8`)."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    if choice.precision == "fp32":
        return changed
    layers = [layer for layer in layers_of(changed) if not choice.keeps(layer.name)]
    ranges: dict[str, Range] = {}
    if choice.smooth and choice.precision != "w8":
        ranges = smoothed(changed, layers, seen, choice.smooth)
    signed = choice.precision == "int8"
    before: dict[int, list[onnx.NodeProto]] = {}
    ready: dict[str, str] = {}
    for layer in layers:
        node, nodes = changed.graph.node[layer.index], before.setdefault(layer.index, [])
        node.input[1] = _weight(changed, layer, _WEIGHT_LEVELS[choice.precision], nodes)
        if choice.precision == "w8":
            continue
        name = layer.activation
        if name not in ready:
            look = OBSERVERS[choice.observer]
            span = ranges.get(name) or look(seen[name], choice.percentile, signed)
            ready[name] = _activation(changed, name, span, signed, nodes)
        node.input[0] = ready[name]
    own = onnx.GraphProto()
    own.CopyFrom(changed.graph)
    del changed.graph.node[:]
    for index, node in enumerate(own.node):
        changed.graph.node.extend([*before.get(index, []), node])
    _forget_unused(changed)
    return changed


def _weight(model: onnx.ModelProto, layer: Layer, levels: int, nodes: list[onnx.NodeProto]) -> str:
    """Stores a layer's weights as bytes, each output with a scale of its own; the tensor's name."""
    name = f"{layer.weight}.dequantized"
    if any(tensor.name == f"{layer.weight}.quantized" for tensor in model.graph.initializer):
        return name  # a weight that two layers share
    weight = weight_of(model, layer.weight)
    reach = np.abs(weight).max(1 - layer.channels)
    scale = np.maximum(reach / levels, 1e-12).astype(np.float32)
    steps = weight / np.expand_dims(scale, 1 - layer.channels)
    whole = np.clip(np.round(steps), -levels, levels).astype(np.int8)
    constants = {"quantized": whole, "scale": scale, "zero": np.zeros(scale.shape, np.int8)}
    _store(model, {f"{layer.weight}.{part}": array for part, array in constants.items()})
    nodes.append(
        helper.make_node(
            "DequantizeLinear",
            [f"{layer.weight}.{part}" for part in constants],
            [name],
            name=f"{layer.name}/weight/DequantizeLinear",
            axis=layer.channels,
        )
    )
    return name


def _activation(
    model: onnx.ModelProto, name: str, span: Range, signed: bool, nodes: list[onnx.NodeProto]
) -> str:
    """Quantizes a tensor and back; the name of what comes out."""
    step = step_of(span, signed)
    zero = np.array(0, np.int8) if signed else np.array(round(-span.low / step), np.uint8)
    _store(model, {f"{name}.scale": np.array(step, np.float32), f"{name}.zero": zero})
    constants = [f"{name}.scale", f"{name}.zero"]
    nodes += [
        helper.make_node(
            *("QuantizeLinear", [name, *constants], [f"{name}.quantized"]),
            name=f"{name}/QuantizeLinear",
        ),
        helper.make_node(
            *("DequantizeLinear", [f"{name}.quantized", *constants], [f"{name}.dequantized"]),
            name=f"{name}/DequantizeLinear",
        ),
    ]
    return f"{name}.dequantized"


def _store(model: onnx.ModelProto, arrays: Mapping[str, NDArray[np.generic]]) -> None:
    for name, array in arrays.items():
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))


def _forget_unused(model: onnx.ModelProto) -> None:
    """Takes out weights that nothing reads any more."""
    used = {name for node in model.graph.node for name in node.input}
    for index in reversed(range(len(model.graph.initializer))):
        if model.graph.initializer[index].name not in used:
            del model.graph.initializer[index]
