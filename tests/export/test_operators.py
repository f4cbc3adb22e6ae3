"""The two operators of our own mean the same in PyTorch, in ONNX and in plain loops."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from dreamvla_edge.export.operators import (
    DOMAIN,
    IR_VERSION,
    OPSET,
    block_mask,
    functions,
    masked_attention,
)
from dreamvla_edge.runtime.bundle import Bundle
from golden_cases import Golden

TOLERANCE = 1e-6
"""Of the values' largest magnitude: a few roundings of float32, whose unit is 1.2e-7."""

RANKS = {"BlockMask": 2, "MaskedAttention": 3}
"""Of each operator's output."""


def model_of(op: str, inputs: dict[str, Any], **attributes: Any) -> onnx.ModelProto:
    """A model of one node; the ranks and types of its inputs are those of the given arrays."""
    values = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(array.dtype), [None] * array.ndim
        )
        for name, array in inputs.items()
    ]
    output = helper.make_tensor_value_info("out", TensorProto.FLOAT, [None] * RANKS[op])
    node = helper.make_node(op, list(inputs), ["out"], domain=DOMAIN, **attributes)
    imports = [helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, 1)]
    graph = helper.make_graph([node], op, values, [output])
    used = [function for function in functions() if function.name == op]
    model = helper.make_model(graph, opset_imports=imports, functions=used, ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return model


def by_onnx(op: str, inputs: dict[str, np.ndarray], **attributes: Any) -> list[np.ndarray]:
    """What ONNX's reference and ONNX Runtime make of the node."""
    model = model_of(op, inputs, **attributes)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return [*ReferenceEvaluator(model).run(None, inputs), *session.run(None, inputs)]


# The mask

codes = st.integers(1, 9).flatmap(
    lambda count: st.tuples(
        arrays.arrays(np.int32, count, elements=st.integers(0, 4)),
        arrays.arrays(np.int32, count, elements=st.integers(-2, 12)),
    )
)
offsets = st.integers(-9, 9)
tables = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), offsets, offsets), min_size=1)


@settings(max_examples=40, deadline=None)
@given(reader=codes, read=codes, table=tables)
def test_block_mask(
    reader: tuple[np.ndarray, np.ndarray],
    read: tuple[np.ndarray, np.ndarray],
    table: list[tuple[int, int, int, int]],
) -> None:
    """Row (a, b, from, to): kind a in slot i reads kind b in slots i+from … i+to."""
    expected = np.full((len(reader[0]), len(read[0])), -np.inf, np.float32)
    for i, (kind, slot) in enumerate(zip(*reader, strict=True)):
        for j, (other, there) in enumerate(zip(*read, strict=True)):
            if any(
                kind == a and other == b and slot + first <= there <= slot + last
                for a, b, first, last in table
            ):
                expected[i, j] = 0
    flat = [value for row in table for value in row]
    names = ("reader_kind", "reader_slot", "read_kind", "read_slot")
    inputs = dict(zip(names, (*reader, *read), strict=True))
    torch_mask = block_mask(*map(torch.from_numpy, inputs.values()), flat).numpy()
    for found in (torch_mask, *by_onnx("BlockMask", inputs, table=flat)):
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected)


def written_table(path: Path) -> list[int]:
    """The table in a backbone's file."""
    model = onnx.load(path, load_external_data=False)
    (node,) = [node for node in model.graph.node if node.op_type == "BlockMask"]
    (table,) = [attribute for attribute in node.attribute if attribute.name == "table"]
    return list(table.ints)


def test_the_table_of_a_bundle_gives_the_released_mask(
    small_case: str, golden: Golden, bundle: Callable[[str], Bundle]
) -> None:
    """Bit by bit for the whole window, as the file's own function computes it."""
    opened = bundle(small_case)
    spec, table = opened.manifest.network, written_table(opened.model("backbone"))
    assert table == [value for row in spec.mask for value in row]
    kind = np.tile(np.array(spec.step_kinds, np.int32), spec.window)
    slot = np.repeat(np.arange(spec.window, dtype=np.int32), len(spec.step_kinds))
    inputs = {"reader_kind": kind, "reader_slot": slot, "read_kind": kind, "read_slot": slot}
    released = golden.attention_mask(small_case)
    for found in by_onnx("BlockMask", inputs, table=table):
        np.testing.assert_array_equal(found, released)


# Attention


@settings(max_examples=40, deadline=None)
@given(
    heads=st.integers(1, 3),
    readers=st.integers(0, 5),
    past=st.integers(0, 6),
    new=st.integers(1, 5),
    width=st.integers(1, 8),
    seed=st.integers(0, 2**31),
)
def test_masked_attention(
    heads: int, readers: int, past: int, new: int, width: int, seed: int
) -> None:
    """softmax(scale·q·[past_k; k]ᵀ + mask)·[past_v; v], also with no past and with no reader."""
    rng = np.random.default_rng(seed)
    shapes = {"q": readers, "past_k": past, "past_v": past, "k": new, "v": new}
    inputs = {
        name: rng.standard_normal((heads, rows, width), np.float32) for name, rows in shapes.items()
    }
    open_ = rng.random((readers, past + new)) < 0.5
    open_[:, rng.integers(past + new)] = True  # a row that reads nothing has no meaning
    inputs["mask"] = np.where(open_, 0, -np.inf).astype(np.float32)
    scale = float(rng.uniform(0.1, 2))
    expected = plain_attention(scale=scale, open_=open_, **{n: inputs[n] for n in shapes})
    tensors = map(torch.from_numpy, inputs.values())
    found = [masked_attention(*tensors, scale).numpy()]
    for ours in found + by_onnx("MaskedAttention", inputs, scale=scale):
        assert ours.shape == (heads, readers, width) and ours.dtype == np.float32
        largest = max(np.abs(inputs["v"]).max(), np.abs(inputs["past_v"]).max(initial=0))
        assert np.all(np.abs(ours - expected) <= TOLERANCE * largest)


def plain_attention(
    q: np.ndarray,
    past_k: np.ndarray,
    past_v: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    scale: float,
    open_: np.ndarray,
) -> np.ndarray:
    """In float64, reading only what is open instead of adding a mask."""
    out = np.zeros(q.shape)
    keys, values = np.concatenate([past_k, k], 1), np.concatenate([past_v, v], 1)
    for head in range(len(q)):
        for row, columns in enumerate(open_):
            scores = scale * keys[head, columns].astype(float) @ q[head, row].astype(float)
            weights = np.exp(scores - scores.max())
            out[head, row] = weights / weights.sum() @ values[head, columns]
    return out


def test_names_are_unique_across_functions() -> None:
    """TensorRT before 10.8 mixes up equal names; no operator is newer than the opset."""
    first, second = (
        {name for node in function.node for name in (*node.input, *node.output)}
        for function in functions()
    )
    assert not first & second
    for function in functions():
        assert [(entry.domain, entry.version) for entry in function.opset_import] == [("", OPSET)]


@pytest.mark.parametrize("shape", [(2, 3), (1, 1)])
def test_shapes_are_known_before_anything_is_computed(shape: tuple[int, int]) -> None:
    """The exporter traces with them."""
    with torch._subclasses.FakeTensorMode():
        codes = [torch.zeros(n, dtype=torch.int32) for n in (shape[0],) * 2 + (shape[1],) * 2]
        assert block_mask(*codes, [0, 0, 0, 0]).shape == shape
        q, k = torch.zeros(2, shape[0], 4), torch.zeros(2, shape[1], 4)
        past = torch.zeros(2, 0, 4)
        mask = torch.zeros(*shape)
        assert masked_attention(q, past, past, k, k, mask, 0.5).shape == q.shape
