"""Layers of an ONNX graph: matrix products with weights of their own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper


@dataclass(frozen=True, eq=False)
class Layer:
    """One product.

    name: of the module, as in the checkpoint; index: of the node in the graph; activation: the
    tensor that is multiplied; weight: the initializer's name; channels: its axis of outputs.
    """

    name: str
    index: int
    activation: str
    weight: str
    channels: int


def layers_of(model: onnx.ModelProto) -> tuple[Layer, ...]:
    """All of a graph, in order. Attention's products have no weights and are none of them."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    found = []
    for index, node in enumerate(model.graph.node):
        if node.op_type not in ("MatMul", "Gemm") or node.input[1] not in constants:
            continue
        if len(constants[node.input[1]].dims) != 2 or node.input[0] in constants:
            continue
        turned = any(a.name == "transB" and a.i for a in node.attribute)
        found.append(
            Layer(module_of(node), index, node.input[0], node.input[1], 0 if turned else 1)
        )
    return tuple(found)


def module_of(node: onnx.NodeProto) -> str:
    """The module that a node comes from, by its name in the checkpoint."""
    return node.name.rpartition("/")[0] or node.name


def weight_of(model: onnx.ModelProto, name: str) -> NDArray[np.float32]:
    """An initializer as an array."""
    (tensor,) = (t for t in model.graph.initializer if t.name == name)
    return numpy_helper.to_array(tensor)
