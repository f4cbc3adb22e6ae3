"""A graph with its layers quantized as a plan says.

ONNX Runtime's own quantizer rewrites every operator around a product, wants ranges of outputs too
and knows no weight-only form of standard operators; here exactly what the plan names changes: the
activation before a layer, and its weights. All forms are QuantizeLinear and DequantizeLinear with
zero point 0 where signed. All but `w4` are of opset 20, which TensorRT 10.3 parses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from .half import halved
from .histogram import OBSERVERS, Histogram, Range, step_of
from .layers import Layer, layers_of, weight_of
from .plan import Choice
from .smooth import smoothed


class Form(NamedTuple):
    """How weights and activations are stored.

    weights: their type; largest: of their values; activations: their type, None where they stay;
    block: so many inputs of an output share a scale, None for all.
    """

    weights: Any
    largest: float
    activations: Any = None
    block: int | None = None


FORMS: Mapping[str, Form] = {
    "int8": Form(np.int8, 127, np.int8),
    # 63: two products of an unsigned byte with it, added, stay within 16 bits.
    "uint8": Form(np.int8, 63, np.uint8),
    "fp8": Form(ml_dtypes.float8_e4m3fn, 448, ml_dtypes.float8_e4m3fn),
    "w8": Form(np.int8, 127),
    "w4": Form(ml_dtypes.int4, 7, block=32),
}
"""By `Choice.precision`."""
_LEAST_HALF = float(np.finfo(np.float16).tiny)
_BLOCKS_OPSET = 21
"""Scales of blocks came with it; the graphs that are written with it have no functions."""


def rewritten(
    model: onnx.ModelProto, choice: Choice, seen: Mapping[str, Histogram]
) -> onnx.ModelProto:
    """A copy of a model with weights inside it, as the plan wants it.

    seen: its activations; none are needed where they stay.
    """
    if choice.precision == "fp16":
        return halved(model, choice.keep)
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    if choice.precision == "fp32":
        return changed
    form = FORMS[choice.precision]
    layers = [layer for layer in layers_of(changed) if not choice.keeps(layer.name)]
    ranges: dict[str, Range] = {}
    if choice.smooth and form.activations:
        ranges = smoothed(changed, layers, seen, choice.smooth)
    before: dict[int, list[onnx.NodeProto]] = {}
    ready: dict[str, str] = {}
    for layer in layers:
        node, nodes = changed.graph.node[layer.index], before.setdefault(layer.index, [])
        node.input[1] = _weight(changed, layer, form, choice, nodes)
        name = layer.activation
        if form.activations and name not in ready:
            span = ranges.get(name) or _range(seen[name], choice, form)
            ready[name] = _activation(changed, name, span, form, choice, nodes)
        node.input[0] = ready.get(name, name)
    own = onnx.GraphProto()
    own.CopyFrom(changed.graph)
    del changed.graph.node[:]
    for index, node in enumerate(own.node):
        changed.graph.node.extend([*before.get(index, []), node])
    _forget_unused(changed)
    return halved(changed) if choice.rest == "fp16" else changed


def _weight(
    model: onnx.ModelProto, layer: Layer, form: Form, choice: Choice, nodes: list[onnx.NodeProto]
) -> str:
    """Stores a layer's weights in their form, each output with scales of its own; their name."""
    name = f"{layer.weight}.dequantized"
    if any(tensor.name == f"{layer.weight}.quantized" for tensor in model.graph.initializer):
        return name  # a weight that two layers share
    weight, inputs = weight_of(model, layer.weight), 1 - layer.channels
    parts = np.moveaxis(weight, inputs, 0)  # (inputs, outputs)
    size = form.block or len(parts)
    count = -(-len(parts) // size)
    padded = np.pad(parts, ((0, count * size - len(parts)), (0, 0))).reshape(count, size, -1)
    scale = _scale(np.abs(padded).max(1) / form.largest, choice)
    steps = (padded / scale[:, None]).reshape(-1, parts.shape[1])[: len(parts)]
    stored = _as(form.weights, np.moveaxis(steps, 0, inputs), form.largest)
    attributes: dict[str, Any] = {"axis": layer.channels}
    scales = scale[0]
    if form.block:
        scales = np.moveaxis(scale, 0, inputs)
        attributes = {"axis": inputs, "block_size": form.block}
        model.opset_import[0].version = _BLOCKS_OPSET
    zero = np.zeros(scales.shape, form.weights)
    constants = {"quantized": stored, "scale": scales, "zero": zero}
    _store(model, {f"{layer.weight}.{part}": array for part, array in constants.items()})
    nodes.append(
        helper.make_node(
            "DequantizeLinear",
            [f"{layer.weight}.{part}" for part in constants],
            [name],
            name=f"{layer.name}/weight/DequantizeLinear",
            **attributes,
        )
    )
    return name


def _scale(steps: NDArray[np.floating], choice: Choice) -> NDArray[np.float32]:
    """Scales above zero that the graph holds exactly: where the rest is fp16, those are too."""
    least, kind = (1e-12, np.float32) if choice.rest == "fp32" else (_LEAST_HALF, np.float16)
    found: NDArray[np.float32] = np.maximum(steps, least).astype(kind).astype(np.float32)
    return found


def _as(kind: Any, values: NDArray[np.floating], largest: float) -> NDArray[Any]:
    """Values in a type: whole numbers are rounded, small floats round by themselves."""
    cut = np.clip(values, -largest, largest)
    whole = kind is not ml_dtypes.float8_e4m3fn
    found: NDArray[Any] = (np.round(cut) if whole else cut).astype(kind)
    return found


def _range(seen: Histogram, choice: Choice, form: Form) -> Range:
    """What an observer says; a small float loses nothing by keeping everything."""
    if form.activations is ml_dtypes.float8_e4m3fn:
        return seen.whole
    return OBSERVERS[choice.observer](seen, choice.percentile, form.activations is np.int8)


def _activation(
    model: onnx.ModelProto,
    name: str,
    span: Range,
    form: Form,
    choice: Choice,
    nodes: list[onnx.NodeProto],
) -> str:
    """Quantizes a tensor and back; the name of what comes out."""
    if form.activations is np.uint8:
        step = _scale(np.array(step_of(span, signed=False)), choice)
        zero = round(-span.low / float(step))
    else:
        step, zero = _scale(np.array(max(span.high, -span.low) / form.largest), choice), 0
    arrays = {"scale": step, "zero": np.array(zero, form.activations)}
    _store(model, {f"{name}.{part}": array for part, array in arrays.items()})
    constants = [f"{name}.{part}" for part in arrays]
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
