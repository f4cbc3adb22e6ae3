"""Quantized subgraphs as TensorRT takes them."""

from __future__ import annotations

import platform
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from commands import dreamvla
from dreamvla_edge.calibrate.data import episodes, moments
from dreamvla_edge.calibrate.observe import Seen, observe
from dreamvla_edge.calibrate.plan import Choice, QuantPlan, load_plan
from dreamvla_edge.calibrate.quantize import quantize
from dreamvla_edge.cli.exit_codes import EXIT_CODES
from dreamvla_edge.export.tensorrt import rtx
from dreamvla_edge.export.tensorrt.form import inlined
from dreamvla_edge.export.tensorrt.rules import VERSIONS, findings
from dreamvla_edge.runtime.backends.shapes import shapes
from dreamvla_edge.runtime.bundle import Bundle

HALF = QuantPlan(1, "half", {n: Choice("fp16") for n in ("text", "vision", "backbone", "denoise")})
PLANS = {"fp16": HALF, "orin": load_plan("orin"), "thor": load_plan("thor")}


@pytest.fixture(scope="module")
def seen(shipped: Bundle, recordings: Path) -> Seen:
    """Activations of a few frames."""
    specification = shipped.manifest.specification
    shown = episodes(recordings, specification)[:1]
    data = moments(shown, recordings, specification)
    return observe(shipped, ("vision", "backbone", "denoise"), data, 20)


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
        model = inlined(onnx.load(bundle.model(name)))
        for version in VERSIONS:
            broken = {finding.rule for finding in findings(model, version)}
            assert broken == ({"type"} if (spec.precision, version) == ("fp8", "10.3") else set())


@pytest.mark.parametrize("plan", PLANS)
def test_tensorrt_parses_and_builds(
    plan: str, quantized: dict[str, Bundle], tmp_path: Path
) -> None:
    """int8, w8, fp16 for Orin's stand-in, fp8 for Thor's."""
    bundle = quantized[plan]
    for name, spec in bundle.manifest.subgraphs.items():
        onnx.save(inlined(onnx.load(bundle.model(name))), tmp_path / name)
        uses = shapes(bundle.manifest.network, name, spec)
        size, refused = rtx.build(str(tmp_path / name), uses, rtx.stand_in(spec.precision))
        assert size and not refused, (name, refused)


if platform.machine() != "x86_64":  # the only machine that TensorRT-RTX has wheels for
    del test_tensorrt_parses_and_builds


def test_everything_else_is_in_halves(quantized: dict[str, Bundle]) -> None:
    """TensorRT takes types literally: one scale in float32 would make its layer float32."""
    for name in ("vision", "backbone", "denoise"):
        model = onnx.load(quantized["orin"].model(name))
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
