"""The denoiser's weights out of its ONNX file, for the sampler's kernel (`kernels/denoise.py`)."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from dreamvla_edge.calibrate.weights import load_with_weights

Array = NDArray[np.generic]

PREFIX = "net."
"""Before the released names, in our graphs."""
_LAYER = re.compile(re.escape(PREFIX) + r"([\w.]+)/(MatMul|Gemm)_\d+")
_HEADS = re.compile(re.escape(PREFIX) + r"blocks\.0\.attn/Reshape_\d+")


def write_denoiser(model: Path, output: Path) -> None:
    """Weights of one file of `denoise` as arrays that NumPy reads by itself."""
    with output.open("wb") as file:
        np.savez(file, allow_pickle=False, **denoiser_arrays(load_with_weights(model)))


def denoiser_arrays(model: onnx.ModelProto) -> dict[str, Array]:
    """By the released names, linear layers as (outputs, inputs), and the number of `heads`.

    The blocks' weights stay in 8-bit integers, with `.scale` of each output, if all of them are;
    everything else is in float32. Raises ValueError for a graph that is no denoiser of ours.
    """
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    made = {output: node for node in model.graph.node for output in node.output}

    def value(name: str) -> Array:
        """A tensor that depends on no input."""
        if name in constants:
            return numpy_helper.to_array(constants[name])
        node = made[name]
        if node.op_type not in ("Cast", "Constant"):
            raise ValueError(f"{name} comes from {node.op_type}, so it is no weight")
        if node.op_type == "Constant":
            return numpy_helper.to_array(node.attribute[0].t)
        return value(node.input[0])

    def weight(name: str) -> tuple[Array, Array | None]:
        """A layer's weights and, where they are integers, their scales."""
        node = made.get(name)
        while node is not None and node.op_type == "Cast" and node.input[0] in made:
            node = made[node.input[0]]
        if node is None or node.op_type != "DequantizeLinear":
            return value(name), None
        stored, scale = value(node.input[0]), value(node.input[1])
        if stored.dtype != np.int8 or scale.ndim != 1:
            raise ValueError(f"{name} has weights of {stored.dtype} with scales {scale.shape}")
        return stored, scale

    found: dict[str, Array] = {}
    scales: dict[str, Array] = {}
    for node in model.graph.node:
        layer = _LAYER.fullmatch(node.name)
        if layer and node.op_type in ("MatMul", "Gemm") and _is_weight(node, made, constants):
            stored, scale = weight(node.input[1])
            rows_are_inputs = node.op_type == "MatMul" or not _transposed(node)
            found[f"{layer[1]}.weight"] = stored.T if rows_are_inputs else stored
            if scale is not None:
                scales[layer[1]] = scale
        if _HEADS.fullmatch(node.name) and len(shape := value(node.input[1])) == 4:
            found.setdefault("heads", np.array(shape[2]))
    for name in constants:
        own = name.removeprefix(PREFIX)
        if own != name and own.endswith(("bias", "positional_embedding", "uncondition")):
            found[own] = value(name)
    blocks = {name.removesuffix(".weight") for name in found if name.startswith("blocks.")}
    blocks = {name for name in blocks if f"{name}.weight" in found}
    integers = blocks <= set(scales)
    for name, scale in scales.items():
        if integers and name in blocks:
            found[f"{name}.scale"] = scale
        else:
            found[f"{name}.weight"] = found[f"{name}.weight"] * scale[:, None].astype(np.float32)
    kept = {f"{name}.weight" for name in blocks} if integers and blocks else set()
    kept.add("heads")
    return {
        name: np.ascontiguousarray(array if name in kept else array.astype(np.float32))
        for name, array in found.items()
    }


def _is_weight(
    node: onnx.NodeProto, made: dict[str, onnx.NodeProto], constants: dict[str, onnx.TensorProto]
) -> bool:
    """Whether a product's second factor is stored."""
    name = node.input[1]
    while name in made and made[name].op_type in ("Cast", "DequantizeLinear"):
        name = made[name].input[0]
    return name in constants


def _transposed(node: onnx.NodeProto) -> bool:
    return any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
