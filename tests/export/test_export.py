"""What an export writes, and that it writes the same every time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from bundles import Bundles, data_set_of
from dreamvla_edge.runtime.bundle import Bundle, open_bundle, sha256
from dreamvla_edge.runtime.policy import Policy
from dreamvla_edge.runtime.verify import verify
from golden_cases import Golden

DREAMS = ("image", "depth", "dino", "sam", "trajectory")


def test_every_case_has_its_subgraphs(
    small_case: str, golden: Golden, bundle: Callable[[str], Bundle]
) -> None:
    """In the order of a step; a dream head for every dream that the released code has."""
    head = "denoise" if golden.case(small_case)["use_dit_head"] else "head"
    dreams = [f"dream_{n}" for n in DREAMS if f"dream_{n}_last" in golden.outputs(small_case)]
    found = list(bundle(small_case).manifest.subgraphs)
    assert found == ["text", "vision", "embed", "backbone", head, *dreams]


def test_what_the_manifest_says(
    bundle: Callable[[str], Bundle], bundles: Bundles, golden: Golden
) -> None:
    """Data set, sampler, network and source, in numbers that were not taken from the code."""
    opened = bundle("libero_small")
    manifest, network = opened.manifest, opened.manifest.network
    assert manifest.name == "libero"
    assert manifest.specification == data_set_of(golden, "libero_small").specification
    assert manifest.source_sha256 == sha256(bundles.checkpoint("libero_small"))
    assert (network.window, network.layers, network.heads, network.head_width) == (7, 2, 4, 32)
    assert (network.context_rows, network.query_rows, network.action_steps) == (36, 39, 3)
    sampler = manifest.sampler
    assert sampler is not None and sampler.guidance == 1.5
    assert sampler.timesteps == (90, 80, 70, 60, 50, 40, 30, 20, 10, 0)
    # The cosine schedule to 1 - β capped at 0.999: ᾱ(t) is nearly cos² away from the end.
    cosine = [np.cos((t + 1 + 0.8) / 100.8 * np.pi / 2) ** 2 for t in sampler.timesteps]
    np.testing.assert_allclose(sampler.alpha_bar, cosine / np.cos(0.8 / 100.8 * np.pi / 2) ** 2)
    for name in ("dreamvla-edge", "torch", "onnx", "onnxscript", "onnxruntime", "numpy"):
        assert manifest.versions[name][0].isdigit()


@pytest.mark.parametrize("name", ["calvin_small", "mlp_head_small"])
def test_the_files_are_what_the_manifest_says(name: str, bundle: Callable[[str], Bundle]) -> None:
    """Inputs, outputs, types and shapes; no newer than Jetson's TensorRT and ONNX Runtime read."""
    types = {"float32": "tensor(float)", "int32": "tensor(int32)"}
    for subgraph, spec in bundle(name).manifest.subgraphs.items():
        path = bundle(name).model(subgraph)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        for tensors, specs in (
            (session.get_inputs(), spec.inputs),
            (session.get_outputs(), spec.outputs),
        ):
            found = [(tensor.name, tensor.type, tuple(tensor.shape)) for tensor in tensors]
            assert found == [(s.name, types[s.dtype], s.shape) for s in specs]
        model = onnx.load(path, load_external_data=False)
        assert model.ir_version <= 10
        assert {entry.domain: entry.version for entry in model.opset_import}[""] <= 20
        assert path.stat().st_size < 200_000  # the weights are beside it
        assert spec.precision == "fp32" and spec.tolerance == 1e-5
        assert all(work > 0 for work in spec.gflop.values())


def test_the_design_names_the_tensors(bundle: Callable[[str], Bundle]) -> None:
    """A contract that other back ends rely on."""
    specs = bundle("calvin_small").manifest.subgraphs
    assert {
        name: ([s.name for s in spec.inputs], [s.name for s in spec.outputs])
        for name, spec in specs.items()
    } == {
        "text": (["tokens"], ["text"]),
        "vision": (["images"], ["vision"]),
        "embed": (["text", "states", "vision", "slots", "query_slot"], ["context", "queries"]),
        "backbone": (
            [
                *("rows", "kind", "slot", "read", "past_kind", "past_slot"),
                *("past_k0", "past_v0", "past_k1", "past_v1"),
            ],
            ["k0", "v0", "k1", "v1", "features"],
        ),
        "denoise": (["x", "t", "features", "guidance"], ["noise"]),
        **{f"dream_{head}": (["features"], ["prediction"]) for head in ("image", "depth", "sam")},
    }
    shapes = {s.name: s.shape for s in (*specs["backbone"].inputs, *specs["backbone"].outputs)}
    assert shapes["rows"] == ("T", 128) and shapes["read"] == ("M",)
    assert shapes["past_k1"] == (4, "N", 32) and shapes["past_slot"] == ("N",)
    assert shapes["v0"] == (4, "T", 32) and shapes["features"] == ("M", 128)
    assert specs["denoise"].inputs[0].shape == ("B", 3, 7)


def test_weights_stand_in_one_place_each(bundle: Callable[[str], Bundle]) -> None:
    """`backbone` serves prefill, step and fill with one copy; files hold little but weights."""
    opened = bundle("calvin_small")
    with np.load(opened.file("golden.npz")) as golden:
        assert golden["features"].dtype == np.float32
    backbone = opened.file("backbone.onnx.data").stat().st_size
    matrices = 2 * (128 * 3 * 128 + 128 * 128 + 2 * 128 * 512) * 4
    assert matrices < backbone < 1.02 * matrices


def test_nothing_of_this_machine_is_in_a_file(tiny: Bundle) -> None:
    """No path, no name of a user: a bundle is given away."""
    for file in tiny.path.iterdir():
        content = file.read_bytes()
        for word in (str(Path(__file__).parents[2]), str(Path.home()) + "/", str(tiny.path.parent)):
            assert word.encode() not in content, file.name


AGAIN = """
import sys
from pathlib import Path
import msgspec
from dreamvla_edge.export.data_set import load_data_set
from dreamvla_edge.export.export import export
calvin = load_data_set("calvin")
data_set = msgspec.structs.replace(calvin, model=msgspec.structs.replace(calvin.model, heads=2))
export(Path(sys.argv[1]), Path(sys.argv[2]), data_set)
"""


@pytest.mark.slow
def test_the_same_checkpoint_gives_the_same_bytes(
    checkpoint: Path, tiny: Bundle, tmp_path: Path
) -> None:
    """In another process and another folder: every file, the manifest included."""
    again = tmp_path / "another" / "name"
    again.parent.mkdir()
    command = [sys.executable, "-c", AGAIN, str(checkpoint), str(again)]
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path, timeout=600)
    assert {f.name for f in again.iterdir()} == {f.name for f in tiny.path.iterdir()}
    differ = [f.name for f in again.iterdir() if f.read_bytes() != tiny.file(f.name).read_bytes()]
    assert differ == []


def test_a_bundle_can_be_moved(tiny: Bundle, tmp_path: Path) -> None:
    """Nothing in it knows where it lies."""
    moved = tmp_path / "moved"
    moved.mkdir()
    for file in tiny.path.iterdir():
        (moved / file.name).write_bytes(file.read_bytes())
    assert all(stage.passed for stage in verify(open_bundle(moved)))


def test_images_of_another_size(tiny: Bundle) -> None:
    """The size is the network's, not a constant."""
    assert tiny.manifest.preprocessing.size == 32
    with Policy(tiny) as policy:
        frames = [np.zeros((side, side, 3), np.uint8) for side in (200, 84)]
        assert policy.images(*frames).shape == (2, 3, 32, 32)
