"""The sampler's kernel beside TensorRT's engines: in emulation, against the runtime's samplers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dreamvla_edge.calibrate.plan import Choice, QuantPlan, load_plan
from dreamvla_edge.calibrate.quantize import quantize
from dreamvla_edge.calibrate.weights import load_with_weights
from dreamvla_edge.demo import BUNDLE
from dreamvla_edge.export.tensorrt.denoiser import denoiser_arrays, write_denoiser
from dreamvla_edge.kernels.denoiser import DenoiserWeights, denoiser_weights
from dreamvla_edge.kernels.emulation.emulation import Emulation
from dreamvla_edge.kernels.references.denoise import predict_noise
from dreamvla_edge.kernels.tolerance import FACTORS, error
from dreamvla_edge.runtime.backends.onnxruntime import OnnxRuntime
from dreamvla_edge.runtime.backends.tensorrt_sampler import KernelSampler, table_of
from dreamvla_edge.runtime.bundle import Bundle, open_bundle
from dreamvla_edge.runtime.errors import BackendError
from dreamvla_edge.runtime.manifest import SamplerSpec
from dreamvla_edge.runtime.policy import Policy
from dreamvla_edge.runtime.samplers import Sampled, sample
from dreamvla_edge.runtime.samplers.named import named

PLANS = {
    "fp16": QuantPlan(1, "half", {"denoise": Choice("fp16")}),
    "w8": QuantPlan(1, "orin's", {"denoise": load_plan("orin").subgraphs["denoise"]}),
}
SAMPLERS = ("ddim-5", "ddim-5-warm-45", "dpm-4", "parallel-3", "parallel-3-warm-2")
MULTIPROCESSORS = 2


@pytest.fixture(scope="module")
def shipped() -> Bundle:
    """The demo's."""
    return open_bundle(BUNDLE)


@pytest.fixture(scope="module")
def quantized(shipped: Bundle, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    """The demo with its denoiser in a precision that the kernel takes."""
    place = tmp_path_factory.mktemp("quantized")
    return {name: quantize(shipped, plan, {}, place / name) for name, plan in PLANS.items()}


def sampler_of(bundle: Bundle, folder: Path) -> KernelSampler:
    """As `dreamvla build` and the back end make it."""
    write_denoiser(bundle.model("denoise"), folder / "denoise.npz")
    return KernelSampler(Emulation(MULTIPROCESSORS), folder / "denoise.npz")


def reference(
    arrays: dict[str, Any], spec: SamplerSpec, kind: Any, features: Any, noise: Any, before: Any
) -> Sampled:
    """The runtime's sampler over the reference network, in one precision."""
    named_arrays = {name: array for name, array in arrays.items() if name != "heads"}
    weights: DenoiserWeights = denoiser_weights(
        named_arrays, int(arrays["heads"].item()), spec.timesteps
    )
    table = table_of(spec)

    def predict(x: Any, times: Any) -> Any:
        points = np.array([spec.timesteps.index(t) for t in times])
        epsilon = predict_noise(weights, table, features.astype(kind), x.astype(kind), points)
        return epsilon.astype(np.float32)

    return sample(noise, predict, spec, before)


def small_denoiser(random: np.random.Generator) -> dict[str, Any]:
    """One block of 32 numbers, under the released names."""
    width, steps = 32, 3
    arrays: dict[str, Any] = {
        "heads": np.array([2]),
        "positional_embedding": 0.3 * random.standard_normal((2 * steps, width)),
        "z_embedder.uncondition": random.standard_normal((1, width)),
    }
    layers = {"z_embedder.linear": (width, width), "x_embedder.linear": (width, 7)}
    layers |= {"t_embedder.mlp.0": (width, 16), "t_embedder.mlp.2": (width, width)}
    layers |= {"final_layer.linear": (7, width), "blocks.0.attn.qkv": (3 * width, width)}
    layers |= {"blocks.0.attn.proj": (width, width), "blocks.0.mlp.fc1": (64, width)}
    for name, shape in (layers | {"blocks.0.mlp.fc2": (width, 64)}).items():
        arrays[f"{name}.weight"] = random.standard_normal(shape) / np.sqrt(shape[1])
        arrays[f"{name}.bias"] = 0.1 * random.standard_normal(shape[0])
    return {n: a if n == "heads" else a.astype(np.float32) for n, a in arrays.items()}


@pytest.mark.parametrize("name", SAMPLERS)
def test_it_samples_what_the_runtime_samples(name: str, tmp_path: Path) -> None:
    """Three control steps in a row, so that warm starts begin somewhere; and all that is told."""
    random = np.random.default_rng(5)
    arrays = small_denoiser(random)
    np.savez(tmp_path / "denoise.npz", **arrays)
    kernel = KernelSampler(Emulation(MULTIPROCESSORS), tmp_path / "denoise.npz")
    spec = named(name, 1.5)
    noise = random.standard_normal((3, 7), np.float32)
    before: Sampled | None = None
    for _ in range(3):
        features = random.standard_normal((3, 32), np.float32)
        if spec.warm_sweeps is None:
            noise = random.standard_normal((3, 7), np.float32)
        found = kernel.sample(features, noise, spec, before)
        assert found is not None
        wanted, halves = (
            reference(arrays, spec, kind, features, noise, before)
            for kind in (np.float64, np.float16)
        )
        allowed = FACTORS["denoise_half"] * error(halves.actions, wanted.actions)
        assert error(found.actions, wanted.actions) <= allowed
        assert error(found.starts, wanted.starts) <= max(
            FACTORS["denoise_half"] * error(halves.starts, wanted.starts), allowed
        )
        assert found.streams == wanted.streams
        assert abs(found.residual - wanted.residual) <= 2 * allowed * np.abs(wanted.actions).max()
        np.testing.assert_array_equal(found.noise, noise)
        before = wanted


class WithKernel(OnnxRuntime):
    """ONNX Runtime, but for the sampler."""

    sampler: KernelSampler

    @staticmethod
    def never(*_: Any) -> Any:
        raise AssertionError("a step of the sampler ran in its engine")

    def load(self, model: Path, spec: Any) -> Any:
        session = super().load(model, spec)
        if model.stem == "denoise":
            session.sample = self.sampler.sample  # type: ignore[attr-defined]
            session.run = self.never  # type: ignore[method-assign]
        return session


@pytest.mark.parametrize("plan", PLANS)
def test_a_whole_policy_acts_as_on_onnx_runtime(
    plan: str, quantized: dict[str, Bundle], tmp_path: Path
) -> None:
    """Every action within the kernel's tolerance and what ONNX Runtime's own halves err."""
    bundle, random = quantized[plan], np.random.default_rng(0)
    backend = WithKernel(1)
    backend.sampler = sampler_of(bundle, tmp_path)
    arrays = denoiser_arrays(load_with_weights(bundle.model("denoise")))
    cameras = bundle.manifest.specification.cameras
    size = bundle.manifest.specification.state.size
    assert (arrays["blocks.0.mlp.fc1.weight"].dtype == np.int8) == (plan == "w8")
    spec = named("ddim-3", 1.5)
    with (
        Policy(bundle, backend, sampler=spec) as found,
        Policy(bundle, threads=1, sampler=spec) as wanted,
    ):
        for policy in (found, wanted):
            policy.reset("pick up the red block")
        for _ in range(2):
            frames = [random.integers(0, 256, (c.height, c.width, 3), np.uint8) for c in cameras]
            state, noise = random.normal(size=size), random.standard_normal((3, 7), np.float32)
            one, other = (p.act(*frames, state, noise) for p in (found, wanted))
            exact, halves = (
                reference(arrays, spec, kind, one.features, noise, None).actions
                for kind in (np.float64, np.float16)
            )
            allowed = FACTORS["denoise_half"] * error(halves, exact)
            assert error(one.actions, exact) <= allowed
            assert error(one.actions, other.actions) <= allowed + error(other.actions, exact)


def test_what_the_kernel_does_not_take(
    quantized: dict[str, Bundle], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A sampler with too many points at once is left to the engine; NaN is nobody's."""
    kernel = sampler_of(quantized["fp16"], tmp_path)
    spec = named("parallel-3", 1.5)
    long = SamplerSpec(
        kind="parallel_ddim",
        timesteps=tuple(range(40, 0, -2)),
        alpha_bar=tuple(np.linspace(0.1, 0.9, 20)),
        guidance=1.5,
        sweeps=2,
    )
    features, noise = np.zeros((3, 128), np.float32), np.zeros((3, 7), np.float32)
    assert kernel.sample(features, noise, long, None) is None
    assert "step by step" in caplog.text
    assert kernel.sample(features, noise, spec, None) is not None
    features[0, 0] = np.nan
    with pytest.raises(BackendError, match="not finite"):
        kernel.sample(features, noise, spec, None)


def test_a_graph_that_is_no_denoiser(shipped: Bundle) -> None:
    with pytest.raises((KeyError, ValueError)):
        denoiser_weights(denoiser_arrays(load_with_weights(shipped.model("vision"))), 2, (0,))
