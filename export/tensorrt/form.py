"""A subgraph in the form that a TensorRT version takes.

*inlined*: our functions are replaced by the standard operators that they consist of; every version
takes it. *plugin*: each MaskedAttention becomes a node for the plugin of that name, which takes the
tokens' codes instead of a mask (`kernels/cuda/masked_attention.cuh`); no function is left, since
TensorRT before 10.7 would prefer it to the plugin (`docs/tensorrt.md`).
"""

from __future__ import annotations

import shutil
from pathlib import Path

import onnx
from onnx import TensorProto, helper
from onnx.external_data_helper import ExternalDataInfo, uses_external_data
from onnx.inliner import inline_local_functions

from dreamvla_edge.kernels.masked_attention import CODES
from dreamvla_edge.kernels.plugin import NAME as PLUGIN
from dreamvla_edge.kernels.plugin import NAMESPACE, VERSION

DOMAIN = NAMESPACE
"""Of our operators (`export/operators.py`, which needs torch; this runs on the Jetson too)."""


def inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without functions; the weights stay where they are."""
    found = inline_local_functions(model)
    kept = [opset for opset in found.opset_import if opset.domain != DOMAIN]
    del found.opset_import[:]
    found.opset_import.extend(kept)
    return found


def write_with_plugin(path: Path, slots: int, folder: Path) -> Path:
    """Write the file's plugin form into another folder, with a copy of its weights: its path.

    Weights are read from the model's own folder, and a link there is refused by who fears what it
    might point to.
    """
    model = onnx.load(path, load_external_data=False)
    tensors = (tensor for tensor in model.graph.initializer if uses_external_data(tensor))
    for name in {ExternalDataInfo(tensor).location for tensor in tensors}:
        if not (folder / name).exists():
            part = folder / f"{name}.part"
            shutil.copyfile(path.parent / name, part)
            part.replace(folder / name)
    out = folder / path.name
    out.write_bytes(with_plugin(model, slots).SerializeToString())
    return out


def with_plugin(model: onnx.ModelProto, slots: int) -> onnx.ModelProto:
    """The model with plugin nodes, and without what made masks for them.

    A plugin node's inputs are q, past_k, past_v, k, v in halves, then kind and slot of the rows
    and of the keys, which lie in slots 0 … slots-1; its attributes are scale, table, slots, and
    what TensorRT looks a plugin up by. Raises ValueError if the kernel has too few codes for the
    mask, or a row might find nothing to read.
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
        picks = [step for step in way if step.op_type != "Cast"]
        nodes += _plugin_nodes(node, block_mask, picks, slots)
    del found.graph.node[:]
    found.graph.node.extend(_without_unread(nodes, spent))
    del found.functions[:]
    return found


def _checked(table: list[int], slots: int) -> list[int]:
    """A mask's table that the kernel can take."""
    rules = [table[i : i + 4] for i in range(0, len(table), 4)]
    kinds = 1 + max(kind for rule in rules for kind in rule[:2])
    if kinds * slots > CODES:
        raise ValueError(
            f"a mask of {kinds} kinds of tokens in {slots} slots; the kernel tells {CODES} pairs"
            " apart, so leave attention to TensorRT"
        )
    for reader in {rule[0] for rule in rules}:
        if not any(rule[0] == reader and rule[2] <= 0 <= rule[3] for rule in rules):
            raise ValueError(
                f"tokens of kind {reader} read nothing of their own slot, so one may find nothing"
                " at all to read; leave attention to TensorRT"
            )
    return table


def _plugin_nodes(
    node: onnx.NodeProto, block_mask: onnx.NodeProto, picks: list[onnx.NodeProto], slots: int
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
            table=_checked(list(table.ints), slots),
            slots=slots,
            plugin_version=VERSION,
            plugin_namespace=NAMESPACE,
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
