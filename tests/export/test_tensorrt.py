"""Subgraphs in TensorRT's forms: the same numbers, no rule broken, parsed and built by its code."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from dreamvla_edge.export.operators import DOMAIN
from dreamvla_edge.export.tensorrt import rtx
from dreamvla_edge.export.tensorrt.form import inlined, with_plugin, write_with_plugin
from dreamvla_edge.export.tensorrt.rules import VERSIONS, findings
from dreamvla_edge.kernels.plugin import NAME as PLUGIN
from dreamvla_edge.kernels.references.masked_attention import masked_attention
from dreamvla_edge.runtime.backends.shapes import shapes
from dreamvla_edge.runtime.bundle import Bundle
from golden_cases import SMALL

if TYPE_CHECKING:
    from bundles import Bundles


def model_of(bundle: Bundle, name: str) -> onnx.ModelProto:
    """One subgraph with its weights inside."""
    return onnx.load(str(bundle.model(name)))


def backbone_inputs(bundle: Bundle, past: int, seed: int = 0) -> dict[str, np.ndarray]:
    """A step behind so many slots that are known."""
    spec, random = bundle.manifest.network, np.random.default_rng(seed)
    kinds = np.array(spec.step_kinds, np.int32)
    known = np.tile(kinds[: spec.context_rows], past)
    inputs = {
        "rows": random.standard_normal((len(kinds), spec.width), np.float32),
        "kind": kinds,
        "slot": np.full(len(kinds), past, np.int32),
        "read": np.arange(len(kinds) - spec.action_steps, len(kinds), dtype=np.int32),
        "past_kind": known,
        "past_slot": np.repeat(np.arange(past, dtype=np.int32), spec.context_rows),
    }
    for layer in range(spec.layers):
        for part in "kv":
            shape = (spec.heads, len(known), spec.head_width)
            inputs[f"past_{part}{layer}"] = random.standard_normal(shape, np.float32)
    return inputs


def run(model: onnx.ModelProto, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    """All outputs, by ONNX Runtime."""
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, inputs)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("past", [0, 2])
def test_inlined_gives_the_same_numbers(name: str, past: int, bundles: Bundles) -> None:
    bundle = bundles.bundle(name)
    model, inputs = model_of(bundle, "backbone"), backbone_inputs(bundles.bundle(name), past)
    form = inlined(model)
    assert not form.functions
    assert {node.domain for node in form.graph.node} == {""}
    for found, wanted in zip(run(form, inputs), run(model, inputs), strict=True):
        # ONNX Runtime fuses other operators, so sums round in another order.
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


class MaskedAttention(OpRun):  # type: ignore[misc]
    """The plugin's node by the kernel's reference, in float64: what the form means."""

    op_domain = DOMAIN

    def _run(self, *inputs: Any, scale: float, table: list[int], **_: Any) -> tuple[np.ndarray]:
        tensors = (part.astype(float) for part in inputs[:5])
        codes = (part.astype(np.int32) for part in inputs[5:])
        rules = np.array(table, np.int32).reshape(-1, 4)
        return (masked_attention(*tensors, *codes, rules, scale).astype(np.float16),)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("past", [0, 2])
def test_plugin_nodes_mean_the_same(name: str, past: int, bundles: Bundles) -> None:
    bundle = bundles.bundle(name)
    model, inputs = model_of(bundle, "backbone"), backbone_inputs(bundles.bundle(name), past)
    form = with_plugin(model, bundle.manifest.network.window)
    plugins = [node for node in form.graph.node if node.op_type == PLUGIN]
    assert len(plugins) == bundle.manifest.network.layers
    for node in plugins:  # what kernels/cuda/masked_attention_plugin.cu takes
        assert len(node.input) == 9 and len(node.output) == 1
        kinds = {a.name: a.type for a in node.attribute}
        text = {"plugin_version", "plugin_namespace"}
        assert {kinds.pop(name) for name in text} == {onnx.AttributeProto.STRING}
        assert kinds == {
            "scale": onnx.AttributeProto.FLOAT,
            "table": onnx.AttributeProto.INTS,
            "slots": onnx.AttributeProto.INT,
        }
    assert "BlockMask" not in {node.op_type for node in form.graph.node}
    found = ReferenceEvaluator(form, new_ops=[MaskedAttention]).run(None, inputs)
    for one, other in zip(found, run(model, inputs), strict=True):
        # Halves between the layers: 2^-11 of each number that attention reads or gives.
        np.testing.assert_allclose(one, other, rtol=0, atol=5e-3 * np.abs(other).max())
        assert np.abs(one - other).max() < 5e-3 * np.abs(other).max()


def test_a_mask_that_the_kernel_cannot_take(bundles: Bundles) -> None:
    """Too many codes, and a row that may find nothing to read."""
    bundle = bundles.bundle("calvin_small")
    model = model_of(bundle, "backbone")
    with pytest.raises(ValueError, match="kinds of tokens in 60 slots"):
        with_plugin(model, 60)
    (mask,) = (node for node in model.graph.node if node.op_type == "BlockMask")
    table = next(a for a in mask.attribute if a.name == "table")
    for rule in range(0, len(table.ints), 4):
        table.ints[rule + 3] = -1  # up to the slot before one's own
    with pytest.raises(ValueError, match="nothing of their own slot"):
        with_plugin(model, 10)


def test_the_plugin_form_of_a_file_has_its_weights_beside_it(
    bundles: Bundles, tmp_path: Path
) -> None:
    """In another folder; written again it is the same."""
    bundle = bundles.bundle("calvin_small")
    for _ in range(2):
        path = write_with_plugin(bundle.model("backbone"), 10, tmp_path)
    written = onnx.load(path)
    wanted = with_plugin(model_of(bundle, "backbone"), 10)
    assert {t.name: t.raw_data for t in written.graph.initializer} == {
        t.name: t.raw_data for t in wanted.graph.initializer
    }
    assert [n.op_type for n in written.graph.node] == [n.op_type for n in wanted.graph.node]


@pytest.mark.parametrize("form", [lambda model: model, inlined, lambda m: with_plugin(m, 10)])
@pytest.mark.parametrize("case", ["calvin_small", "goal_small", "mlp_head_small"])
def test_what_is_exported_breaks_no_rule(case: str, form: Any, bundles: Bundles) -> None:
    bundle = bundles.bundle(case)
    for name in bundle.manifest.subgraphs:
        model = form(model_of(bundle, name))
        assert {version: findings(model, version) for version in VERSIONS} == dict.fromkeys(
            VERSIONS, []
        )


def one_node(op: str, domain: str = "", opset: int = 20, **attributes: Any) -> onnx.ModelProto:
    """A model of one node."""
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node(op, ["x"], ["y"], "blamed", domain=domain, **attributes)],
        "blamed",
        [value("x", TensorProto.FLOAT, [1, 4])],
        [value("y", TensorProto.FLOAT, [1, 4])],
    )
    imports = [helper.make_opsetid("", opset)]
    if domain:
        imports.append(helper.make_opsetid(domain, 1))
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


def quantized(zero: np.ndarray, scale: np.ndarray) -> onnx.ModelProto:
    """A model that quantizes its input."""
    model = one_node("QuantizeLinear")
    model.graph.node[0].input.extend(["scale", "zero"])
    model.graph.initializer.extend(
        numpy_helper.from_array(array, name) for name, array in (("scale", scale), ("zero", zero))
    )
    return model


STEP, MANY = np.array(0.1, np.float32), np.full(4, 0.1, np.float32)
BROKEN = {
    "unknown operator": (one_node("DynamicQuantizeLinear"), "operator", VERSIONS),
    "operator without function": (one_node("Nothing", "dreamvla"), "operator", VERSIONS),
    "operator of later": (one_node("Attention"), "operator", ("10.3", "10.13")),
    "opset of later": (one_node("Relu", opset=24), "opset", ("10.3", "10.13")),
    "uint8": (quantized(np.array(3, np.uint8), STEP), "zero point", VERSIONS),
    "zero point": (quantized(np.array(3, np.int8), STEP), "zero point", VERSIONS),
    "many scales": (quantized(np.zeros(4, np.int8), MANY), "scale", VERSIONS),
    "double": (one_node("Cast", to=TensorProto.DOUBLE), "type", VERSIONS),
    "dotted domain": (one_node("Own", "a.b"), "name", VERSIONS),
    "name of ONNX's": (one_node("Gelu", "vla"), "name", VERSIONS),
    "plugin without function": (one_node(PLUGIN, DOMAIN), "plugin", VERSIONS),
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_rule_is_named_with_its_node(name: str, version: str) -> None:
    model, rule, where = BROKEN[name]
    broken = [f for f in findings(model, version) if f.rule == rule]
    assert bool(broken) == (version in where)
    assert all(f.node == "blamed" and f.found and f.cure for f in broken)


@pytest.mark.parametrize("name", ["calvin_small", "goal_small"])
def test_tensorrt_parses_and_builds_every_subgraph(
    name: str, bundles: Bundles, tmp_path: Path
) -> None:
    bundle = bundles.bundle(name)
    for subgraph, spec in bundle.manifest.subgraphs.items():
        path = tmp_path / f"{subgraph}.onnx"
        onnx.save(inlined(model_of(bundle, subgraph)), str(path))
        size, refused = rtx.build(str(path), shapes(bundle.manifest.network, subgraph, spec))
        assert size and not refused, (subgraph, refused)


def test_tensorrt_refuses_what_the_rules_do(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(one_node("DynamicQuantizeLinear"), str(path))
    size, refused = rtx.build(str(path), ())
    assert size is None
    assert refused[0].node == "blamed"
    assert [f.rule for f in findings(onnx.load(str(path)), "10.3")] == ["operator"]


if platform.machine() != "x86_64":  # the only machine that TensorRT-RTX has wheels for
    del test_tensorrt_parses_and_builds_every_subgraph, test_tensorrt_refuses_what_the_rules_do
