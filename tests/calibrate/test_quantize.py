"""From the shipped bundle to a smaller one that acts the same, or to none."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import onnx
import pytest

from commands import document, dreamvla
from dreamvla_edge.calibrate import observe
from dreamvla_edge.calibrate.accept import compared
from dreamvla_edge.calibrate.data import episodes, moments
from dreamvla_edge.calibrate.layers import layers_of
from dreamvla_edge.calibrate.plan import Choice, QuantPlan, load_plan
from dreamvla_edge.calibrate.quantize import RANGES, quantize
from dreamvla_edge.calibrate.rewrite import FORMS, rewritten
from dreamvla_edge.calibrate.weights import load_with_weights
from dreamvla_edge.cli.exit_codes import EXIT_CODES
from dreamvla_edge.runtime.bundle import Bundle, open_bundle
from dreamvla_edge.runtime.errors import PlanError
from dreamvla_edge.runtime.manifest import MANIFEST_NAME
from dreamvla_edge.runtime.policy import Policy
from dreamvla_edge.runtime.verify import verify

FRAMES = 60


@pytest.fixture(scope="module")
def made(shipped: Bundle, recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """By the command, with the preset for CPUs."""
    output = tmp_path_factory.mktemp("made") / "small"
    asked = ["quantize", "demo", recordings, "-o", output, "--preset", "cpu", "--json"]
    done = dreamvla(*asked, "--frames", FRAMES, "--accept", "none")
    assert done.returncode == 0, done.stderr
    told = document(done)
    assert told["bytes"] < 0.75 * told["source_bytes"]
    return open_bundle(output)


def test_it_says_what_it_is(made: Bundle, shipped: Bundle) -> None:
    """Precision by subgraph, the plan, from which bundle; all else is as it was."""
    precisions = {name: spec.precision for name, spec in made.manifest.subgraphs.items()}
    changed = {"vision", "backbone", "denoise"}
    assert {name for name, p in precisions.items() if p == "fp32"} == {"embed"}
    assert {name for name, p in precisions.items() if p == "uint8"} == changed
    assert made.manifest.quantization is not None and made.manifest.quantization.plan == "cpu"
    for name, spec in shipped.manifest.subgraphs.items():
        if name == "embed":
            assert made.manifest.subgraphs[name] == spec
    assert made.manifest.sampler == shipped.manifest.sampler


def test_the_same_command_makes_the_same_bundle(
    made: Bundle, shipped: Bundle, tmp_path: Path
) -> None:
    """To the last byte of its manifest, so that trials of it are gone on with."""
    again = quantize(shipped, load_plan("cpu"), observe.load(made.file(RANGES)), tmp_path / "again")
    assert again.file(MANIFEST_NAME).read_bytes() == made.file(MANIFEST_NAME).read_bytes()


def test_it_is_within_its_own_tolerances(made: Bundle) -> None:
    """Which are not those of float32, and not anything."""
    stages = verify(made)
    assert all(stage.passed for stage in stages)
    for name in ("vision", "backbone", "denoise"):
        assert 1e-4 < made.manifest.subgraphs[name].tolerance < 0.5
    assert made.manifest.subgraphs["embed"].tolerance == 1e-5


def test_layers_are_bytes(made: Bundle, shipped: Bundle) -> None:
    """All but those that the plan keeps."""
    for name, kept in (("backbone", 0), ("denoise", 5)):
        before = len(layers_of(load_with_weights(shipped.model(name))))
        model = load_with_weights(made.model(name))
        quantized = [t for t in model.graph.initializer if t.data_type == onnx.TensorProto.INT8]
        weights = [t for t in quantized if len(t.dims) == 2]
        assert len(weights) == before - kept
        assert max(abs(onnx.numpy_helper.to_array(t).astype(int)).max() for t in weights) == 63
        was, now = shipped.manifest.subgraphs[name].work, made.manifest.subgraphs[name].work
        for use, work in now.items():
            assert work.gflop == was[use].gflop and work.weight_mb < 0.35 * was[use].weight_mb
            # Attention's products have no weights and stay.
            assert {p.format for p in work.products if p.weights is None} == {"fp32"}
            assert work.operations["int8"] > 0.7 * sum(work.operations.values())


def test_what_was_seen_is_kept(made: Bundle, shipped: Bundle, recordings: Path) -> None:
    """Histograms of all activations, the same as when they are observed anew."""
    kept = observe.load(made.file(RANGES))
    shown = episodes(recordings, shipped.manifest.specification)[1:]
    data = moments(shown, recordings, shipped.manifest.specification)
    found = observe.observe(shipped, ("denoise",), data, FRAMES)
    assert {*kept} == {"vision", "backbone", "denoise"}
    for tensor, histogram in found["denoise"].items():
        np.testing.assert_array_equal(histogram.counts, kept["denoise"][tensor].counts)
        assert histogram.width == kept["denoise"][tensor].width
    # Every frame, both branches of the guidance, ten times: the condition's rows are 3 of 6.
    rows = kept["denoise"]["layer_norm"].counts.sum() / found["denoise"]["layer_norm"].highs.size
    assert rows == FRAMES * 10 * 2 * 6


def test_every_precision(shipped: Bundle, made: Bundle, recordings: Path, tmp_path: Path) -> None:
    """The less is rounded, the less the actions differ; all from what was seen before."""
    seen, found = observe.load(made.file(RANGES)), {}
    specification = shipped.manifest.specification
    shown = episodes(recordings, specification)[:2]
    data = list(moments(shown, recordings, specification))[:40]
    for precision in ("fp16", *FORMS):
        choices = {"denoise": Choice(precision=precision, keep=("*embedder*", "*final_layer*"))}
        bundle = quantize(shipped, QuantPlan(1, precision, choices), seen, tmp_path / precision)
        found[precision] = compared(bundle, shipped, data)
    assert 0 < found["fp16"].error < found["w8"].error < found["int8"].error < 0.1
    assert found["w8"].error < found["uint8"].error < 0.1
    assert found["w8"].error < found["w4"].error < 0.3
    assert found["w8"].error < found["fp8"].error < 0.3


def test_a_quantized_bundle_is_not_quantized_again(made: Bundle, tmp_path: Path) -> None:
    """Its weights are gone."""
    with pytest.raises(PlanError, match="is quantized already"):
        quantize(made, QuantPlan(1, "own", {}), {}, tmp_path / "again")


def test_another_sampler_goes_into_the_bundle(
    shipped: Bundle, recordings: Path, tmp_path: Path
) -> None:
    """With a plan that changes nothing else."""
    plan = tmp_path / "plan.toml"
    plan.write_text('version = 1\nname = "same"\n[subgraphs]\n')
    output = tmp_path / "made"
    asked = ["quantize", "demo", recordings, "-o", output, "--preset", plan]
    done = dreamvla(*asked, "--sampler", "parallel-9", "--frames", 20, "--no-dream")
    assert done.returncode == 0, done.stderr
    made = open_bundle(output)
    assert {*shipped.manifest.subgraphs} - {*made.manifest.subgraphs} == {
        f"dream_{dream.name}" for dream in shipped.manifest.network.dreams
    }
    assert made.manifest.sampler is not None
    assert (made.manifest.sampler.kind, made.manifest.sampler.sweeps) == ("parallel_ddim", 9)
    assert made.manifest.quantization is not None
    passed = made.manifest.quantization.acceptance
    assert passed is not None and passed["kind"] == "data" and passed["flips"] == 0
    with Policy(made) as policy:
        assert policy.sampler == made.manifest.sampler
    assert all(stage.passed for stage in verify(made))


def test_one_that_acts_otherwise_is_not_written(recordings: Path, tmp_path: Path) -> None:
    """One step of denoising is not what ten are; the exit code says so."""
    plan = tmp_path / "plan.toml"
    plan.write_text('version = 1\nname = "same"\n[subgraphs]\n')
    asked = ["quantize", "demo", recordings, "-o", tmp_path / "made", "--preset", plan]
    done = dreamvla(*asked, "--sampler", "ddim-1", "--frames", 20, "--json")
    assert done.returncode == EXIT_CODES["AcceptanceError"]
    assert "of what another noise seed changes" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["plan.toml"]
    told = dreamvla(*asked, "--sampler", "ddim-1", "--frames", 20, "--accept", "none")
    assert told.returncode == 0
    manifest = json.loads((tmp_path / "made" / "bundle.json").read_text())
    assert "acceptance" not in manifest["quantization"]


@pytest.mark.slow
def test_why_the_plan_is_what_it_is(recordings: Path, tmp_path: Path) -> None:
    """A bar for each group of layers, and a plan that passes with no more kept than it takes."""
    plan = tmp_path / "plan.toml"
    plan.write_text('version = 1\nname = "own"\n[subgraphs.denoise]\nprecision = "uint8"\n')
    asked = ["quantize", "demo", recordings, "-o", tmp_path / "made", "--preset", plan, "--search"]
    done = dreamvla(*asked, "--report", tmp_path / "why.svg", "--frames", 30, "--json")
    assert done.returncode in (0, EXIT_CODES["AcceptanceError"]), done.stderr
    drawn = ElementTree.parse(tmp_path / "why.svg").getroot()
    bars = [r for r in drawn.iter() if r.tag.endswith("rect") and r.get("x")]
    lengths = [float(bar.get("width", "nan")) for bar in bars]
    assert len(bars) >= 8 + 5 and lengths == sorted(lengths, reverse=True)
    assert "net.blocks.0.mlp" in (tmp_path / "why.svg").read_text()


@pytest.mark.parametrize("name", ["vision", "backbone", "denoise", "embed", "dream_image"])
def test_half_precision(name: str, shipped: Bundle) -> None:
    """Weights are halved; inputs and outputs are not, nor what leads to angles."""
    model = load_with_weights(shipped.model(name))
    made = rewritten(model, Choice(precision="fp16"), {})
    assert [*model.graph.input, *model.graph.output] == [*made.graph.input, *made.graph.output]
    kinds = {t.name: t.data_type for t in made.graph.initializer if len(t.dims) == 2}
    halves = [kind for kind in kinds.values() if kind == onnx.TensorProto.FLOAT16]
    assert len(halves) >= len(layers_of(model)) - 2
    inferred = onnx.shape_inference.infer_shapes(made, strict_mode=name != "backbone")
    types = {v.name: v.type.tensor_type.elem_type for v in inferred.graph.value_info}
    for node in made.graph.node:
        if node.op_type in ("Cos", "Sin"):
            assert types[node.input[0]] == onnx.TensorProto.FLOAT
