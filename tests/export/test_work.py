"""Work counted from the ONNX files is that of the closed formulas."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from bundles import data_set_of
from dreamvla_edge.calibrate.work import count
from dreamvla_edge.export.closed_form import closed_form
from dreamvla_edge.export.export import hints
from dreamvla_edge.model.config import ModelConfig
from dreamvla_edge.model.sizes import sizes_of
from dreamvla_edge.runtime.bundle import Bundle
from dreamvla_edge.runtime.work import Product, Work
from golden_cases import FULL, SMALL, Golden

SHARE = 0.01


def config_of(golden: Golden, name: str) -> ModelConfig:
    """A golden case's network, read off its checkpoint's shapes."""
    return sizes_of(golden.shapes(name), hints(data_set_of(golden, name)))


def shapes_of(work: Work) -> Counter[tuple[int, int, int, bool]]:
    """How many products there are of each shape."""
    found: Counter[tuple[int, int, int, bool]] = Counter()
    for p in work.products:
        found[p.rows, p.inner, p.columns, p.weights is not None] += p.count
    return found


def agree(bundle: Bundle, config: ModelConfig) -> None:
    """Every use of every subgraph: arithmetic, bytes, and each product by its shape."""
    wanted = closed_form(config)
    assert bundle.manifest.subgraphs.keys() == wanted.keys()
    for name, spec in bundle.manifest.subgraphs.items():
        assert spec.work.keys() == wanted[name].keys() == spec.gflop.keys()
        for use, found in spec.work.items():
            expected = wanted[name][use]
            assert found.gflop == pytest.approx(expected.gflop, rel=SHARE), (name, use)
            assert shapes_of(found) == shapes_of(expected), (name, use)
            # The formulas leave out biases, norms and positions, which small networks have more of.
            assert expected.weight_mb <= found.weight_mb <= 1.15 * expected.weight_mb, (name, use)
            assert found.cache_mb == pytest.approx(expected.cache_mb, rel=SHARE), (name, use)
            assert spec.gflop[use] == found.gflop


@pytest.mark.parametrize("name", SMALL)
def test_small(name: str, bundle: Callable[[str], Bundle], golden: Golden) -> None:
    """The seven small configurations."""
    agree(bundle(name), config_of(golden, name))


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", FULL)
def test_full(name: str, bundle: Callable[[str], Bundle], golden: Golden) -> None:
    """The two released configurations."""
    agree(bundle(name), config_of(golden, name))


def model(*nodes: onnx.NodeProto, **constants: TensorProto) -> onnx.ModelProto:
    """A graph from x (n, 8) to y with these constants."""
    for name, tensor in constants.items():
        tensor.name = name
    graph = helper.make_graph(
        [*nodes],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [*constants.values()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def zeros(*shape: int, type: int = TensorProto.FLOAT) -> TensorProto:
    """A constant."""
    dtype = helper.tensor_dtype_to_np_dtype(type)
    return numpy_helper.from_array(np.zeros(shape, dtype))


def test_a_product_by_hand() -> None:
    """Two times rows, inner and columns; its weights once, what goes in and out."""
    made = count(model(helper.make_node("MatMul", ["x", "w"], ["y"]), w=zeros(8, 5)), {"n": 3})
    assert made.products == (Product(3, 8, 5, 1, "fp32", "fp32"),)
    assert made.gflop == pytest.approx(2e-9 * 3 * 8 * 5)
    assert made.weight_mb == pytest.approx(160e-6)
    assert made.activation_mb == pytest.approx((3 * 8 + 3 * 5) * 4e-6)
    assert (made.kernels, made.cache_mb) == (1, 0)


def test_a_table_costs_the_rows_that_are_looked_up() -> None:
    """Not the whole table."""
    nodes = (
        helper.make_node("ArgMax", ["x"], ["index"], axis=1, keepdims=0),
        helper.make_node("Gather", ["table", "index"], ["y"]),
    )
    made = count(model(*nodes, table=zeros(1000, 4)), {"n": 3})
    assert made.weight_mb == pytest.approx(3 * 4 * 4e-6)


def test_what_constants_decide_costs_nothing() -> None:
    """A product of two constants is done before the first run; its result is a constant."""
    nodes = (
        helper.make_node("MatMul", ["a", "b"], ["c"]),
        helper.make_node("MatMul", ["x", "c"], ["y"]),
    )
    made = count(model(*nodes, a=zeros(8, 2), b=zeros(2, 6)), {"n": 1})
    assert [(p.rows, p.inner, p.columns) for p in made.products] == [(1, 8, 6)]


@pytest.mark.parametrize(
    ("activation", "weight", "format", "stored"),
    [
        (TensorProto.INT8, TensorProto.INT8, "int8", "int8"),
        (TensorProto.UINT8, TensorProto.INT8, "int8", "int8"),
        (None, TensorProto.INT8, "fp32", "int8"),
        (TensorProto.FLOAT8E4M3FN, TensorProto.FLOAT8E4M3FN, "fp8", "fp8"),
    ],
)
def test_number_formats(activation: int | None, weight: int, format: str, stored: str) -> None:
    """As quantized bundles have them: QuantizeLinear and DequantizeLinear around a product."""
    scale = numpy_helper.from_array(np.float32(0.5))
    constants = {"w": zeros(8, 5, type=weight), "s": scale, "zw": zeros(type=weight)}
    nodes = [helper.make_node("DequantizeLinear", ["w", "s", "zw"], ["wd"])]
    left = "x"
    if activation is not None:
        constants["za"], left = zeros(type=activation), "xd"
        nodes.append(helper.make_node("QuantizeLinear", ["x", "s", "za"], ["xq"]))
        nodes.append(helper.make_node("DequantizeLinear", ["xq", "s", "za"], ["xd"]))
    nodes.append(helper.make_node("MatMul", [left, "wd"], ["y"]))
    made = count(model(*nodes, **constants), {"n": 3})
    assert made.products == (Product(3, 8, 5, 1, format, stored),)  # type: ignore[arg-type]
    assert made.weight_mb == pytest.approx(40e-6, rel=0.2)  # and scales


def test_a_shape_that_does_not_follow_is_said() -> None:
    """Rather than counted as nothing."""
    nodes = (
        helper.make_node("NonZero", ["x"], ["where"]),
        helper.make_node("Cast", ["where"], ["z"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["x", "z"], ["y"]),
    )
    with pytest.raises(ValueError, match="shape of"):
        count(model(*nodes), {"n": 8})
