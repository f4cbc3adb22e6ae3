"""A subgraph in the form that a TensorRT version takes.

*inlined*: our functions are replaced by the standard operators that they consist of; every version
takes it. *plugin*: each MaskedAttention becomes a node for the plugin of that name, which takes the
tokens' codes instead of a mask (`kernels/cuda/masked_attention.cuh`); no function is left, since
TensorRT before 10.7 would prefer it to the plugin (`docs/tensorrt.md`).
"""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper
from onnx.inliner import inline_local_functions

from dreamvla_edge.export.operators import DOMAIN

PLUGIN, PLUGIN_VERSION = "MaskedAttention", "1"


def inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without functions; the weights stay where they are."""
    found = inline_local_functions(model)
    kept = [opset for opset in found.opset_import if opset.domain != DOMAIN]
    del found.opset_import[:]
    found.opset_import.extend(kept)
    return found


def with_plugin(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with plugin nodes, and without what made masks for them.

    A plugin node's inputs are q, past_k, past_v, k, v in halves, then kind and slot of the rows
    and of the keys; its attributes are scale, table, and what TensorRT looks a plugin up by.
    """
    found = onnx.ModelProto()
    found.CopyFrom(model)
    made = {output: node for node in found.graph.node for output in node.output}
    nodes: list[onnx.NodeProto] = []
    spent = set()
    for node in found.graph.node:
        if node.op_type != PLUGIN or node.domain != DOMAIN:
            nodes.append(node)
            continue
        block_mask, way = _traced(made, node.input[-1])
        spent |= {block_mask.name, *(step.name for step in way)}
        nodes += _plugin_nodes(node, block_mask, [s for s in way if s.op_type != "Cast"])
    del found.graph.node[:]
    found.graph.node.extend(_without_unread(nodes, spent))
    del found.functions[:]
    return found


def _plugin_nodes(
    node: onnx.NodeProto, block_mask: onnx.NodeProto, picks: list[onnx.NodeProto]
) -> list[onnx.NodeProto]:
    """What stands in the place of a MaskedAttention."""
    codes, nodes = _codes(block_mask, picks, node.name)
    tensors = []
    for tensor in node.input[:-1]:
        tensors.append(f"{node.name}_{tensor}_half")
        nodes.append(
            helper.make_node("Cast", [tensor], tensors[-1:], tensors[-1], to=TensorProto.FLOAT16)
        )
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    table = next(a for a in block_mask.attribute if a.name == "table")
    out = f"{node.name}_half"
    nodes.append(
        helper.make_node(
            PLUGIN,
            [*tensors, *codes],
            [out],
            node.name,
            domain=DOMAIN,
            scale=attributes["scale"],
            table=list(table.ints),
            plugin_version=PLUGIN_VERSION,
            plugin_namespace=DOMAIN,
        )
    )
    nodes.append(helper.make_node("CastLike", [out, node.input[0]], node.output, f"{out}_back"))
    return nodes


def _without_unread(nodes: list[onnx.NodeProto], spent: set[str]) -> list[onnx.NodeProto]:
    """Without those of `spent` that nothing reads any more."""
    while True:
        read = {name for node in nodes for name in node.input}
        kept = [n for n in nodes if n.name not in spent or any(out in read for out in n.output)]
        if len(kept) == len(nodes):
            return kept
        nodes = kept


def _traced(
    made: dict[str, onnx.NodeProto], mask: str
) -> tuple[onnx.NodeProto, list[onnx.NodeProto]]:
    """The node that makes a mask, and those that pick rows of it or cast it, the last one first."""
    way = []
    node = made[mask]
    while node.op_type != "BlockMask":
        if node.op_type not in ("Cast", "Gather", "GatherND"):
            raise ValueError(f"the mask {mask} passes {node.op_type}, which no plugin form knows")
        way.append(node)
        node = made[node.input[0]]
    return node, way


def _codes(
    block_mask: onnx.NodeProto, picks: list[onnx.NodeProto], name: str
) -> tuple[list[str], list[onnx.NodeProto]]:
    """Names of the codes of rows and keys; the rows' are picked as the mask's rows are."""
    gathers, rows = [], list(block_mask.input[:2])
    for pick in reversed(picks):
        for i, code in enumerate(rows):
            rows[i] = f"{name}_{pick.name}_{i}"
            copy = onnx.NodeProto()
            copy.CopyFrom(pick)
            copy.name = copy.output[0] = rows[i]
            copy.input[0] = code
            gathers.append(copy)
    return [*rows, *block_mask.input[2:]], gathers
