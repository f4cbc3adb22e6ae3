"""Rewritten graphs compute in ONNX Runtime what NumPy says they should."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from dreamvla_edge.calibrate.histogram import Histogram, Range, step_of
from dreamvla_edge.calibrate.layers import layers_of
from dreamvla_edge.calibrate.plan import Choice
from dreamvla_edge.calibrate.rewrite import FORMS, rewritten
from dreamvla_edge.calibrate.smooth import smoothed

IN, HIDDEN, OUT = 24, 40, 16


@pytest.fixture
def random() -> np.random.Generator:
    """Of a test."""
    return np.random.default_rng(0)


@pytest.fixture
def model(random: np.random.Generator) -> onnx.ModelProto:
    """A norm with loud channels, a MatMul and a Gemm, as the exporter names them."""
    scale = np.exp(random.normal(0, 1, IN))
    arrays = {
        "scale": scale,
        "bias": random.normal(0, 0.5, IN),
        "w1": random.normal(0, 0.2, (IN, HIDDEN)),
        "w2": random.normal(0, 0.2, (OUT, HIDDEN)),
        "b2": random.normal(0, 0.2, OUT),
        "w3": random.normal(0, 0.2, (OUT, OUT)),
    }
    nodes = [
        helper.make_node(
            "LayerNormalization", ["x", "scale", "bias"], ["normal"], name="norm/N_0", axis=-1
        ),
        helper.make_node("MatMul", ["normal", "w1"], ["hidden"], name="mlp.fc1/MatMul_1"),
        helper.make_node("Relu", ["hidden"], ["bent"], name="Relu_2"),
        helper.make_node("Gemm", ["bent", "w2", "b2"], ["y0"], name="mlp.fc2/Gemm_3", transB=1),
        helper.make_node("MatMul", ["y0", "w3"], ["y"], name="last/MatMul_4"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", IN])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", OUT])],
        [numpy_helper.from_array(a.astype(np.float32), n) for n, a in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def run(model: onnx.ModelProto, x: NDArray[Any], *names: str) -> list[NDArray[Any]]:
    """Outputs, and tensors inside by name; without any optimization."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    for name in names:
        shown.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(shown.SerializeToString(), options)
    return list(session.run(None, {"x": x}))


def seen(model: onnx.ModelProto, x: NDArray[Any]) -> dict[str, Histogram]:
    """Of the activations before all layers."""
    found = {}
    for layer in layers_of(model):
        found[layer.activation] = Histogram()
        found[layer.activation].add(run(model, x, layer.activation)[-1])
    return found


def test_layers_are_found_with_their_names(model: onnx.ModelProto) -> None:
    """Of both operators, with the axis of their outputs."""
    found = [(la.name, la.activation, la.weight, la.channels) for la in layers_of(model)]
    assert found == [
        ("mlp.fc1", "normal", "w1", 1),
        ("mlp.fc2", "bent", "w2", 0),
        ("last", "y0", "w3", 1),
    ]


def _rounded(w: NDArray[Any], inputs: int, precision: str) -> NDArray[Any]:
    """Weights as they come back, by hand: for each output, or each 32 inputs of an output."""
    parts = np.moveaxis(w, inputs, 0)
    found = np.empty_like(parts)
    size = 32 if precision == "w4" else len(parts)
    largest = {"uint8": 63, "w4": 7, "fp8": 448}.get(precision, 127)
    for begin in range(0, len(parts), size):
        block = parts[begin : begin + size]
        step = (np.abs(block).max(0) / largest).astype(np.float32)
        scaled = block / step
        whole = scaled.astype(ml_dtypes.float8_e4m3fn) if precision == "fp8" else np.round(scaled)
        found[begin : begin + size] = whole.astype(float) * step
    return np.moveaxis(found, 0, inputs)


def _passed(a: NDArray[Any], span: Range, precision: str) -> NDArray[Any]:
    """Activations as they come back, by hand."""
    if precision in ("w8", "w4"):
        return a
    if precision == "fp8":
        step = max(span.high, -span.low) / 448
        return (a / step).astype(ml_dtypes.float8_e4m3fn).astype(float) * step
    signed = precision == "int8"
    step = step_of(span, signed)
    zero = 0 if signed else round(-span.low / step)
    ends = (-128, 127) if signed else (0, 255)
    return (np.clip(np.round(a / step) + zero, *ends) - zero) * step


@pytest.mark.parametrize("precision", [*FORMS])
def test_it_computes_what_rounding_gives(
    model: onnx.ModelProto, random: np.random.Generator, precision: Any
) -> None:
    """By hand in float64; layers that are kept stay exact."""
    x = random.normal(0, 1, (50, IN)).astype(np.float32)
    stats = seen(model, x)
    choice = Choice(precision=precision, keep=("last",), observer="min-max")
    changed = rewritten(model, choice, stats)
    onnx.checker.check_model(changed)
    weights = {t.name: numpy_helper.to_array(t).astype(float) for t in model.graph.initializer}
    (normal,) = run(model, x, "normal")[1:]
    first = _passed(normal, stats["normal"].whole, precision)
    hidden = np.maximum(first @ _rounded(weights["w1"], 0, precision), 0)
    second = _passed(hidden, stats["bent"].whole, precision)
    y0 = second @ _rounded(weights["w2"], 1, precision).T + weights["b2"]
    wanted = y0 @ weights["w3"]
    (found,) = run(changed, x)
    # Where float32 and float64 lie on two sides of a rounding the whole of a step shows, seldom.
    np.testing.assert_allclose(found, wanted, atol=3e-2 * np.abs(found).max())
    assert np.mean(np.abs(found - wanted)) < 3e-4 * np.abs(found).max()
    exact = run(model, x)[0]
    error = np.abs(found - exact).mean() / np.abs(exact).mean()
    assert 1e-4 < error < (0.2 if precision == "w4" else 0.06)
    kinds = {t.name: t.data_type for t in changed.graph.initializer}
    bits = {"w4": TensorProto.INT4, "fp8": TensorProto.FLOAT8E4M3FN}.get(
        precision, TensorProto.INT8
    )
    assert kinds["w1.quantized"] == kinds["w2.quantized"] == bits
    assert kinds["w3"] == TensorProto.FLOAT and "w1" not in kinds
    assert changed.opset_import[0].version == (21 if precision == "w4" else 20)


def test_nothing_is_changed_in_the_model_that_is_given(
    model: onnx.ModelProto, random: np.random.Generator
) -> None:
    """A plan for float32 changes nothing at all."""
    before = model.SerializeToString()
    x = random.normal(0, 1, (9, IN)).astype(np.float32)
    rewritten(model, Choice(precision="int8", smooth=0.5), seen(model, x))
    assert model.SerializeToString() == before
    assert rewritten(model, Choice(precision="fp32"), {}).SerializeToString() == before


@pytest.mark.parametrize("strength", [0.3, 0.5, 1.0])
def test_smoothing_changes_nothing_but_what_is_loud(
    model: onnx.ModelProto, random: np.random.Generator, strength: float
) -> None:
    """The same outputs; channels that are more alike; the range that it says is the range."""
    x = random.normal(0, 1, (200, IN)).astype(np.float32)
    stats, changed = seen(model, x), onnx.ModelProto()
    changed.CopyFrom(model)
    spans = smoothed(changed, layers_of(changed), stats, strength)
    np.testing.assert_allclose(run(changed, x)[0], run(model, x)[0], rtol=1e-3, atol=1e-4)
    assert {*spans} == {"normal"}
    before, after = run(model, x, "normal")[1], run(changed, x, "normal")[1]
    np.testing.assert_allclose(spans["normal"], (after.min(), after.max()), rtol=1e-4)

    def unlike(a: NDArray[Any]) -> float:
        reach = np.abs(a).max(0)
        return float(reach.max() / np.median(reach))

    assert unlike(after) < unlike(before)


def test_smoothing_makes_int8_better_where_channels_are_loud(
    model: onnx.ModelProto, random: np.random.Generator
) -> None:
    """With one channel a hundred times the others."""
    for tensor in model.graph.initializer:
        if tensor.name == "scale":
            loud = numpy_helper.to_array(tensor).copy()
            loud[3] *= 100
            tensor.CopyFrom(numpy_helper.from_array(loud, "scale"))
        if tensor.name == "w1":
            quiet = numpy_helper.to_array(tensor).copy()
            quiet[3] /= 100
            tensor.CopyFrom(numpy_helper.from_array(quiet, "w1"))
    x = random.normal(0, 1, (200, IN)).astype(np.float32)
    stats, exact = seen(model, x), run(model, x)[0]
    errors = [
        np.abs(
            run(rewritten(model, Choice(precision="int8", smooth=s), stats), x)[0] - exact
        ).mean()
        for s in (0.0, 0.5)
    ]
    assert errors[1] < 0.5 * errors[0]


def test_a_norm_that_others_read_is_left_alone(
    model: onnx.ModelProto, random: np.random.Generator
) -> None:
    """They would see what was not meant for them."""
    model.graph.node.append(helper.make_node("Identity", ["normal"], ["z"], name="z"))
    x = random.normal(0, 1, (20, IN)).astype(np.float32)
    assert smoothed(model, layers_of(model), seen(model, x), 0.5) == {}


def test_seven_bits_cannot_saturate() -> None:
    """The largest products that can meet, added in pairs as AVX2 does, stay within 16 bits."""
    assert 2 * 255 * 63 <= 2**15 - 1 < 2 * 255 * 127
    assert step_of(Range(-1, 3), signed=False) == pytest.approx(4 / 255)
