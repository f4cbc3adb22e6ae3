"""A graph in half precision, with inputs and outputs in float32 as they were."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from fnmatch import fnmatchcase

import onnx
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from .layers import module_of

_MASK = "BlockMask"
"""Our operator whose result is float32 by definition; attention takes it as it is."""
_EXACT = ("Cos", "Sin")
"""Angles of diffusion times go up to 99 rad, where half precision tells 0.06 rad apart."""


def halved(model: onnx.ModelProto, keep: Sequence[str] = ()) -> onnx.ModelProto:
    """A copy with weights and products in float16, by ONNX Runtime's converter.

    keep: layers that stay in float32, by names in which * stands for anything; so do the mask and
    what leads to angles.
    """
    nodes = model.graph.node
    producers = {name: node for node in nodes for name in node.output}
    kept = {n.name for n in nodes if any(fnmatchcase(module_of(n), name) for name in keep)}
    stays = kept | {node.name for node in nodes if node.op_type == _MASK}
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
