"""Quantized subgraphs as TensorRT takes them."""

from __future__ import annotations

import platform
from itertools import islice
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from commands import dreamvla
from dreamvla_edge.calibrate.data import episodes, moments
from dreamvla_edge.calibrate.observe import Seen
from dreamvla_edge.calibrate.plan import Choice, QuantPlan, load_plan
from dreamvla_edge.calibrate.quantize import quantize
from dreamvla_edge.calibrate.watching import Watching
from dreamvla_edge.calibrate.weights import load_with_weights
from dreamvla_edge.cli.exit_codes import EXIT_CODES
from dreamvla_edge.demo import BUNDLE
from dreamvla_edge.export.tensorrt import rtx
from dreamvla_edge.export.tensorrt.form import inlined
from dreamvla_edge.export.tensorrt.rules import VERSIONS, findings
from dreamvla_edge.runtime.backends.shapes import shapes
from dreamvla_edge.runtime.bundle import Bundle, open_bundle
from dreamvla_edge.runtime.policy import Policy

NAMES = tuple(open_bundle(BUNDLE).manifest.subgraphs)
PLANS = {
    **{
        precision: QuantPlan(1, precision, {n: Choice(precision, rest="fp16") for n in NAMES})
        for precision in ("fp16", "int8", "w8")
    },
    "orin": load_plan("orin"),
    "thor": load_plan("thor"),
}


@pytest.fixture(scope="module")
def seen(shipped: Bundle, recordings: Path) -> Seen:
    """Activations of a few frames, dreams included."""
    specification = shipped.manifest.specification
    shown = episodes(recordings, specification)[:1]
    watching = Watching(NAMES)
    with Policy(shipped, watching, seed=0) as policy:
        for moment in islice(moments(shown, recordings, specification), 20):
            if moment.first:
                policy.reset(moment.instruction)
            policy.act(moment.primary, moment.wrist, moment.state)
        policy.dream()
    return watching.seen


@pytest.fixture(scope="module")
def quantized(
    shipped: Bundle, seen: Seen, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Bundle]:
    """By plan."""
    place = tmp_path_factory.mktemp("quantized")
    return {name: quantize(shipped, plan, seen, place / name) for name, plan in PLANS.items()}


@pytest.mark.parametrize("plan", PLANS)
def test_no_rule_is_broken(plan: str, quantized: dict[str, Bundle]) -> None:
    """But by fp8 where TensorRT is Orin's."""
    bundle = quantized[plan]
    for name, spec in bundle.manifest.subgraphs.items():
        model = inlined(load_with_weights(bundle.model(name)))
        for version in VERSIONS:
            broken = {finding.rule for finding in findings(model, version)}
            assert broken == ({"type"} if (spec.precision, version) == ("fp8", "10.3") else set())


@pytest.mark.parametrize("plan", ["fp16", "int8", "w8", "thor"])
def test_tensorrt_parses_and_builds(
    plan: str, quantized: dict[str, Bundle], tmp_path: Path
) -> None:
    """Every subgraph in int8, w8 and fp16 for Orin's stand-in; those that are fp8 for Thor's."""
    bundle = quantized[plan]
    assert bundle.manifest.quantization is not None
    planned = bundle.manifest.quantization.choices
    left = {"embed"} if plan == "thor" else set()
    assert set(planned) == set(bundle.manifest.subgraphs) - left
    for name in planned:
        spec = bundle.manifest.subgraphs[name]
        onnx.save(inlined(load_with_weights(bundle.model(name))), tmp_path / name)
        uses = shapes(bundle.manifest.network, name, spec)
        size, refused = rtx.build(str(tmp_path / name), uses, rtx.stand_in(spec.precision))
        assert size and not refused, (name, refused)


if platform.machine() != "x86_64":  # the only machine that TensorRT-RTX has wheels for
    del test_tensorrt_parses_and_builds


def test_everything_else_is_in_halves(quantized: dict[str, Bundle]) -> None:
    """TensorRT takes types literally: one scale in float32 would make its layer float32."""
    for name in ("vision", "backbone", "denoise"):
        model = load_with_weights(quantized["orin"].model(name))
        kinds = {t.data_type for t in model.graph.initializer if len(t.dims) == 2}
        assert kinds == {TensorProto.INT8, TensorProto.FLOAT16} or kinds == {TensorProto.INT8}
        scales = {
            node.input[1] for node in model.graph.node if node.op_type.endswith("quantizeLinear")
        } | {node.input[1] for node in model.graph.node if node.op_type == "QuantizeLinear"}
        for tensor in model.graph.initializer:
            if tensor.name in scales:
                assert tensor.data_type == TensorProto.FLOAT16
                values = onnx.numpy_helper.to_array(tensor)
                assert (values >= np.finfo(np.float16).tiny).all()


def test_the_command_says_it(quantized: dict[str, Bundle]) -> None:
    """Exit 0, or the rule that is broken."""
    done = dreamvla("inspect", quantized["orin"].path, "--tensorrt", "10.3")
    assert done.returncode == 0, done.stderr
    assert "TensorRT 10.3 (JetPack 6.1" in done.stdout
    refused = dreamvla("inspect", quantized["thor"].path, "--tensorrt", "10.3")
    assert refused.returncode == EXIT_CODES["BackendError"]
    assert "(type); use int8" in refused.stderr
