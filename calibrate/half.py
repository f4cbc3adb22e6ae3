"""A graph in half precision, with inputs and outputs in float32 as they were."""

from __future__ import annotations

import logging

import onnx
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from .layers import module_of
from .plan import Choice

_OWN_DOMAIN = "dreamvla"
_EXACT = ("Cos", "Sin")
"""Angles of diffusion times go up to 99 rad, where half precision tells 0.06 rad apart."""


def halved(model: onnx.ModelProto, choice: Choice) -> onnx.ModelProto:
    """A copy with weights and products in float16, by ONNX Runtime's converter.

    What the plan keeps, our own operators and what leads to angles stay in float32.
    """
    nodes = model.graph.node
    producers = {name: node for node in nodes for name in node.output}
    stays = {n.name for n in nodes if n.domain == _OWN_DOMAIN or choice.keeps(module_of(n))}
    waiting = [node for node in nodes if node.op_type in _EXACT]
    while waiting:
        node = waiting.pop()
        if node.name not in stays:
            stays.add(node.name)
            waiting += [producers[name] for name in node.input if name in producers]
    logging.getLogger("onnxruntime.transformers.float16").setLevel(logging.ERROR)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    made: onnx.ModelProto = convert_float_to_float16(
        copy,
        keep_io_types=True,
        op_block_list=DEFAULT_OP_BLOCK_LIST,
        node_block_list=sorted(stays),
        disable_shape_infer=True,
    )
    OnnxModel.graph_topological_sort(made.graph)  # the converter puts its casts at the end
    del made.graph.value_info[:]  # of before
    return made
