"""The TensorRT back end and its builds, against the interface of every version."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from click.testing import CliRunner

from commands import cure_of, dreamvla
from dreamvla_edge.calibrate.plan import Choice, QuantPlan
from dreamvla_edge.calibrate.quantize import quantize
from dreamvla_edge.cli.build import command as build_command
from dreamvla_edge.cli.exit_codes import EXIT_CODES
from dreamvla_edge.cli.report import Report
from dreamvla_edge.demo import BUNDLE
from dreamvla_edge.deploy import engine
from dreamvla_edge.deploy.engine import build_engines, trtexec_line
from dreamvla_edge.kernels import cuda_device
from dreamvla_edge.kernels.emulation.emulation import Emulation, Memory
from dreamvla_edge.kernels.plugin import plugin_key
from dreamvla_edge.runtime.backends import make_backend
from dreamvla_edge.runtime.backends.engine import (
    DENOISER,
    PLUGIN_LIBRARY,
    engine_folder,
    engine_key,
    power_mode_of,
)
from dreamvla_edge.runtime.backends.shapes import shapes
from dreamvla_edge.runtime.bundle import Bundle, open_bundle
from dreamvla_edge.runtime.errors import BackendError
from dreamvla_edge.runtime.policy import Policy
from dreamvla_edge.runtime.profiler.layers import time_layers
from golden_cases import Golden
from recorded_tensorrt import VERSIONS, Recorded

if TYPE_CHECKING:
    from bundles import Bundles


class Host(Emulation):
    """A device whose memory is the host's and whose kernels are emulated, as CudaDevice is used.

    downloads: shapes of all that was copied to the host.
    """

    architecture, stream = "sm_87", 1
    api: Recorded
    replays = 0
    multiprocessors = 8
    downloads: list[tuple[int, ...]] = []

    def __init__(self) -> None:
        super().__init__(Host.multiprocessors)
        Host.downloads.clear()

    def use(self) -> None:
        """Nothing to make current."""

    def copy_rows(
        self, to: int, to_pitch: int, source: int, source_pitch: int, width: int, rows: int
    ) -> None:
        for row in range(rows):
            ctypes.memmove(to + row * to_pitch, source + row * source_pitch, width)

    def upload(self, array: np.ndarray) -> Memory:
        return Memory(np.array(array, order="C").reshape(-1))

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Memory:
        return Memory(np.zeros(max(1, int(np.prod(shape))), dtype))

    def write(self, buffer: Memory, array: np.ndarray) -> None:
        flat = np.ascontiguousarray(array).reshape(-1)
        buffer.array[: len(flat)] = flat

    def download(self, buffer: Memory, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        Host.downloads.append(shape)
        return buffer.array[: int(np.prod(shape))].reshape(shape).copy()

    @contextmanager
    def captured(self) -> Iterator[Any]:
        """As a stream in capture: nothing is done, and the graph does it later."""

        class Graph:
            executable: Any = None

        graph = Graph()
        Host.api.capturing = True
        yield graph
        Host.api.capturing = False
        graph.executable = Host.api.launched.pop()

    def replay(self, executable: Any) -> None:
        Host.replays += 1
        executable()


@pytest.fixture(params=VERSIONS)
def trt(
    request: pytest.FixtureRequest, bundles: Bundles, tmp_path: Path, monkeypatch: Any
) -> Recorded:
    """TensorRT of one version, and a device without GPU."""
    return recorded(request.param, bundles.bundle("calvin_small"), tmp_path, monkeypatch)


def recorded(version: str, bundle: Bundle, tmp_path: Path, monkeypatch: Any) -> Recorded:
    """TensorRT of a version for one bundle."""
    specs = bundle.manifest.subgraphs
    uses = {name: shapes(bundle.manifest.network, name, specs[name]) for name in specs}
    api = Recorded(version, uses)
    monkeypatch.setitem(sys.modules, "tensorrt", api)
    monkeypatch.setattr(cuda_device, "CudaDevice", Host)
    monkeypatch.setattr(Host, "api", api, raising=False)
    monkeypatch.setattr(Host, "replays", 0)
    monkeypatch.setenv("DREAMVLA_ENGINES", str(tmp_path / "engines"))
    return api


def built(bundle: Bundle, trt: Recorded, free: int = 10**12, **more: Any) -> Any:
    """Engines for the device of this test."""
    key = engine_key(bundle.path, trt.__version__, Host.architecture, Host.multiprocessors)
    return build_engines(bundle, key, lambda: free, **more)


def test_a_policy_on_engines_acts_as_one_on_onnx_runtime(
    trt: Recorded, bundles: Bundles, golden: Golden
) -> None:
    """Fixed buffers, two uses of the backbone, an episode with a reset in it."""
    bundle = bundles.bundle("calvin_small")
    done = built(bundle, trt)
    assert {b.name for b in done} == set(bundle.manifest.subgraphs)
    random = np.random.default_rng(0)
    cameras = bundle.manifest.specification.cameras
    size = bundle.manifest.specification.state.size
    with Policy(bundle, "tensorrt") as found, Policy(bundle) as wanted:
        for steps in (bundle.manifest.network.window + 3, 3):  # it slides, and begins anew
            for policy in (found, wanted):
                policy.reset("open the drawer")
            for _ in range(steps):
                frames = [
                    random.integers(0, 256, (c.height, c.width, 3), np.uint8) for c in cameras
                ]
                state, noise = random.normal(size=size), random.standard_normal((3, 7), np.float32)
                one, other = (p.act(*frames, state, noise) for p in (found, wanted))
                np.testing.assert_allclose(one.actions, other.actions, rtol=0, atol=1e-4)
            for name, dreamt in found.dream().items():  # of the same frame, so from fewer keys
                np.testing.assert_allclose(dreamt, wanted.dream()[name], rtol=0, atol=1e-4)
    heads = bundle.manifest.network.heads
    assert not [s for s in Host.downloads if s[0] == heads and len(s) == 3]  # keys and values
    assert Host.replays > 10 * bundle.manifest.network.window  # the denoiser's steps at least


def test_a_policy_whose_attention_and_sampler_are_kernels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`dreamvla build --plugin`: the library is registered first, and no engine does a step."""
    plan = QuantPlan(1, "half", {"denoise": Choice("fp16")})
    bundle = quantize(open_bundle(BUNDLE), plan, {}, tmp_path / "half", dreams=False)
    trt = recorded("10.3", bundle, tmp_path, monkeypatch)
    monkeypatch.setattr(engine, "compiled_plugin", lambda architecture: architecture.encode())
    with pytest.raises(BackendError, match=r"dreamvla build .* --plugin"):
        Policy(bundle, "tensorrt-plugin")
    report = Report()
    done = CliRunner().invoke(build_command, [str(bundle.path), "--plugin", "-q"], obj=report)
    assert done.exception is None and done.exit_code == 0, done.exception
    key = engine_key(bundle.path, trt.__version__, Host.architecture, 8, plugin_key())
    library = engine_folder(key) / PLUGIN_LIBRARY
    assert library.read_bytes() == b"sm_87" and trt.libraries == [str(library)]
    assert {path.name for path in library.parent.glob("*.npz")} == {DENOISER}
    trt.libraries.clear()  # as in another process
    random = np.random.default_rng(0)
    cameras = bundle.manifest.specification.cameras
    size = bundle.manifest.specification.state.size
    with Policy(bundle, "tensorrt-plugin") as found, Policy(bundle) as wanted:
        assert trt.libraries == [str(library)]
        monkeypatch.setattr(type(found._head), "run", lambda *_: pytest.fail("its engine ran"))
        for policy in (found, wanted):
            policy.reset("pick up the red block")
        for _ in range(2):
            frames = [random.integers(0, 256, (c.height, c.width, 3), np.uint8) for c in cameras]
            state, noise = random.normal(size=size), random.standard_normal((3, 7), np.float32)
            one, other = (p.act(*frames, state, noise) for p in (found, wanted))
            # Halves inside attention, 2^-11 of a number each, over a few layers.
            away = np.abs(one.features - other.features).max()
            assert 0 < away <= 5e-3 * np.abs(other.features).max()
            # test_sampler_kernel.py holds the sampler to its reference on equal features.
            np.testing.assert_allclose(one.actions, other.actions, rtol=0, atol=2e-2)
    library.write_bytes(b"damaged")
    trt.libraries.clear()
    with pytest.raises(BackendError, match="--plugin --force"):
        Policy(bundle, "tensorrt-plugin")


def test_weights_that_the_sampler_cannot_take(trt: Recorded, bundles: Bundles) -> None:
    """The engine does the steps then, and the build says so."""
    told: list[str] = []

    def refusing(model: Path, output: Path) -> None:
        output.write_bytes(b"half of it")
        raise ValueError("weights of float64")

    bundle = bundles.bundle("calvin_small")
    built(bundle, trt, write_denoiser=refusing, progress=told.append)
    assert any("step by step: weights of float64" in line for line in told)
    key = engine_key(bundle.path, trt.__version__, Host.architecture, Host.multiprocessors)
    assert not [p for p in engine_folder(key).iterdir() if p.suffix in (".npz", ".part")]


def test_what_is_built_and_how(trt: Recorded, bundles: Bundles) -> None:
    """Strongly typed, a profile for each use, a timing cache, the equal command; only once."""
    bundle = bundles.bundle("calvin_small")
    done = {b.name: b for b in built(bundle, trt)}
    profiles = [call for call in trt.calls if call[1] == "add_optimization_profile"]
    assert len(profiles) == len(done) + 1
    assert all(flags == (2,) for _, name, flags in trt.calls if name == "create_network")
    line = done["backbone"].trtexec
    assert "--stronglyTyped" in line and "--profile=1" in line and "--minShapes=rows:" in line
    line = trtexec_line(Path("m.onnx"), ({},), Path("m.engine"), Path("p.so"))
    assert "--dynamicPlugins=p.so" in line.split()
    before = len(trt.calls)
    built(bundle, trt)
    assert len(trt.calls) == before
    built(bundle, trt, force=True)
    assert len(trt.calls) > before


def test_too_little_memory_and_a_refusal(trt: Recorded, bundles: Bundles) -> None:
    """Nothing is built then, and the error names the subgraph and the cure."""
    bundle = bundles.bundle("calvin_small")
    with pytest.raises(BackendError, match=r"building text takes(.|\n)*stop other programs"):
        built(bundle, trt, free=1000)
    trt.refuses = "no such operator"
    with pytest.raises(BackendError, match="no such operator"):
        built(bundle, trt)
    key = engine_key(bundle.path, trt.__version__, Host.architecture, Host.multiprocessors)
    assert not list(engine_folder(key).glob("*.engine"))


def test_an_engine_that_is_missing_or_of_another_machine(
    trt: Recorded, bundles: Bundles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another number of multiprocessors is another power mode: that engine is not taken."""
    bundle = bundles.bundle("calvin_small")
    spec = bundle.manifest.subgraphs["text"]
    with pytest.raises(BackendError, match=r"no engine for text(.|\n)*dreamvla build"):
        make_backend("tensorrt").load(bundle.model("text"), spec)
    (text, *_) = built(bundle, trt)
    make_backend("tensorrt").load(bundle.model("text"), spec)
    text.path.write_bytes(b"damaged")
    with pytest.raises(BackendError, match=r"cannot load(.|\n)*--force"):
        make_backend("tensorrt").load(bundle.model("text"), spec)
    monkeypatch.setattr(Host, "multiprocessors", 4)
    with pytest.raises(BackendError, match="with 4 multiprocessors"):
        make_backend("tensorrt").load(bundle.model("text"), spec)


def test_layers_are_timed_by_its_own_profiler(trt: Recorded, bundles: Bundles) -> None:
    """Run by run, and without CUDA graphs, which would tell nothing."""
    bundle = bundles.bundle("calvin_small")
    built(bundle, trt)
    assert trt.classes["IProfiler"]["report_layer_time"]  # what this version calls
    found = time_layers(bundle, "tensorrt", None, 2)
    assert Host.replays == 0
    by_use = {(layer.subgraph, layer.use): layer for layer in found}
    assert by_use["denoise", "evaluation"].times == 10 and by_use["backbone", "prefill"].times == 1
    assert {layer.seconds for layer in found} == {1.5e-3}
    assert ("vision", "frame") in by_use and not any(name == "text" for name, _ in by_use)


def test_the_recorder_refuses_what_a_version_lacks() -> None:
    """Names and signatures that one version has and another has not."""
    old, new = Recorded("10.3", {}), Recorded("11.4", {})
    with pytest.raises(AttributeError):
        assert old.classes["Builder"]["platform_has_fast_fp16"]
        _ = new.Builder.platform_has_fast_fp16
    builder = new.Builder(new.Logger(new.Logger.WARNING))
    with pytest.raises(TypeError):
        builder.create_network("explicit")
    with pytest.raises(AttributeError):
        _ = builder.max_batch_size


def test_the_command_without_tensorrt(bundles: Bundles) -> None:
    """What is missing, and how a Jetson gets it."""
    done = dreamvla("build", bundles.bundle("calvin_small").path)
    assert done.returncode == EXIT_CODES["BackendError"]
    found, _, cure = cure_of(done.stderr)
    assert "no TensorRT here" in found and "python3-libnvinfer" in cure


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ("NV Power Mode: MAXN_SUPER\n2\n", "MAXN_SUPER"),
        ("NV Fan Mode:quiet\nNV Power Mode: 15W\n0\n", "15W"),
        ("no such thing", ""),
    ],
)
def test_power_modes(told: str, name: str) -> None:
    assert power_mode_of(told) == name
