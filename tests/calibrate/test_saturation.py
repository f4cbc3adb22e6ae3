"""Integer products of the CPU's preset, on this processor and on one without VNNI."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from dreamvla_edge.calibrate import rewrite
from dreamvla_edge.calibrate.data import episodes, moments
from dreamvla_edge.calibrate.observe import Seen, observe
from dreamvla_edge.calibrate.plan import Choice, QuantPlan, load_plan
from dreamvla_edge.calibrate.quantize import quantize, watched
from dreamvla_edge.runtime.backends.onnxruntime import LayeredOnnxRuntimeSession, OnnxRuntime
from dreamvla_edge.runtime.bundle import Bundle
from dreamvla_edge.runtime.manifest import SubgraphSpec
from dreamvla_edge.runtime.policy import Policy

ROOT = Path(__file__).resolve().parents[2]
HASWELL = ["qemu-x86_64-static", "-cpu", "Haswell"]
"""AVX2 without VNNI, emulated."""
PROCESSORS: list[list[str]] = [[], HASWELL] if platform.machine() == "x86_64" else [[]]
FRAMES = 8


@pytest.fixture(scope="module")
def seen(shipped: Bundle, recordings: Path) -> Seen:
    """Activations of some frames."""
    specification = shipped.manifest.specification
    shown = episodes(recordings, specification)
    frames = islice(moments(shown, recordings, specification), FRAMES)
    return observe(shipped, watched(load_plan("cpu")), frames, FRAMES)


@pytest.fixture(scope="module")
def made(shipped: Bundle, seen: Seen, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """With the preset for CPUs."""
    return quantize(shipped, load_plan("cpu"), seen, tmp_path_factory.mktemp("made") / "cpu")


def checked(bundle: Bundle, processor: list[str]) -> tuple[int, dict[str, float]]:
    """Exit code of `benchmarks/saturation.py` on a processor, and what it found."""
    command = [*processor, sys.executable, ROOT / "benchmarks" / "saturation.py"]
    done = subprocess.run([*command, bundle.path, "--json"], capture_output=True, timeout=600)
    assert done.stdout, done.stderr.decode()
    found: dict[str, float] = json.loads(done.stdout)["errors"]
    return done.returncode, found


@pytest.mark.parametrize("processor", PROCESSORS, ids=lambda words: words[-1] if words else "this")
def test_no_sum_saturates(processor: list[str], made: Bundle) -> None:
    """Every quantized layer is looked at."""
    code, found = checked(made, processor)
    assert code == 0 and len(found) == 59
    assert max(found.values()) < 1e-6


@pytest.mark.parametrize("processor", PROCESSORS[-1:], ids=["oldest"])
def test_signed_bytes_are_simulated(
    processor: list[str], shipped: Bundle, seen: Seen, tmp_path: Path
) -> None:
    """What is meant for TensorRT is computed as it is written, on every processor."""
    plan = QuantPlan(1, "signed", {name: Choice("int8") for name in ("backbone", "denoise")})
    code, found = checked(quantize(shipped, plan, seen, tmp_path / "b"), processor)
    assert code == 0 and len(found) > 20


@pytest.mark.parametrize("processor", PROCESSORS[1:], ids=["Haswell"])
def test_weights_of_eight_bits_would(
    processor: list[str],
    shipped: Bundle,
    seen: Seen,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So the check can fail, and the preset's seven bits are needed."""
    eight = rewrite.Form(np.int8, 127, np.uint8)
    monkeypatch.setattr(rewrite, "FORMS", {**rewrite.FORMS, "uint8": eight})
    code, found = checked(quantize(shipped, load_plan("cpu"), seen, tmp_path / "b"), processor)
    assert code == 1
    assert max(found.values()) > 0.01


def test_layers_of_bytes_have_integer_kernels(made: Bundle, recordings: Path) -> None:
    """All of them: one that is multiplied in float32 costs more than it would unquantized."""
    sessions: dict[str, LayeredOnnxRuntimeSession] = {}

    class Layered(OnnxRuntime):
        def load(self, model: Path, spec: SubgraphSpec) -> LayeredOnnxRuntimeSession:
            sessions[model.stem] = self.load_layered(model, spec)
            return sessions[model.stem]

    specification = made.manifest.specification
    shown = episodes(recordings, specification)
    (moment,) = islice(moments(shown, recordings, specification), 1)
    with Policy(made, Layered(1)) as policy:
        policy.reset(moment.instruction)
        policy.act(moment.primary, moment.wrist, moment.state)
    found = {}
    for name in ("vision", "backbone", "denoise"):
        operators = [layer.operator for layer in sessions[name].layers()[-1]]
        found[name] = operators.count("MatMulIntegerToFloat")
        assert not {"DequantizeLinear", "DynamicQuantizeLinear"} & {*operators}
    assert sum(found.values()) == 59
