"""The kernels' references against other implementations: SDPA, ONNX Runtime, Pillow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dreamvla_edge.kernels.denoiser import denoiser_weights
from dreamvla_edge.kernels.preprocess import normalised, resampling
from dreamvla_edge.kernels.references.denoise import denoise, predict_noise
from dreamvla_edge.kernels.references.masked_attention import masked_attention
from dreamvla_edge.kernels.references.preprocess import preprocess
from dreamvla_edge.runtime.backends import make_backend
from dreamvla_edge.runtime.preprocess import Preprocessing
from dreamvla_edge.runtime.preprocess import preprocess as with_pillow
from dreamvla_edge.runtime.samplers import sample
from dreamvla_edge.runtime.samplers.named import named
from dreamvla_edge.runtime.specification import CameraSpecification
from golden_cases import SMALL, Golden
from kernel_cases import random_weights, table_of

if TYPE_CHECKING:
    from bundles import Bundles


@pytest.mark.parametrize("name", SMALL)
def test_attention_equals_sdpa_under_the_golden_masks(
    name: str, golden: Golden, bundles: Bundles
) -> None:
    spec = bundles.bundle(name).manifest.network
    kind = np.tile(spec.step_kinds, spec.window).astype(np.int32)
    slot = np.repeat(np.arange(spec.window), len(spec.step_kinds)).astype(np.int32)
    q, k, v = np.random.default_rng(0).standard_normal((3, 2, len(kind), 16))
    past = 20
    found = masked_attention(
        *(q, k[:, :past], v[:, :past], k[:, past:], v[:, past:]),
        *(kind, slot, kind, slot, np.array(spec.mask, np.int32), 0.25),
    )
    mask = torch.from_numpy(golden.attention_mask(name).astype(float))
    wanted = torch.nn.functional.scaled_dot_product_attention(
        *(torch.from_numpy(part)[None] for part in (q, k, v)), attn_mask=mask, scale=0.25
    )
    np.testing.assert_allclose(found, wanted[0].numpy(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in SMALL if "mlp" not in name])
def test_the_sampler_equals_onnx_runtime_over_ddim_10(name: str, bundles: Bundles) -> None:
    bundle = bundles.bundle(name)
    manifest = bundle.manifest
    spec = manifest.sampler
    assert spec is not None
    subgraph = manifest.subgraphs["denoise"]
    session = make_backend("onnxruntime", 1).load(bundle.path / subgraph.files[0], subgraph)
    random = np.random.default_rng(1)
    features = random.standard_normal((3, manifest.network.width), np.float32)
    noise = random.standard_normal((3, 7), np.float32)
    guidance = np.array([spec.guidance], np.float32)

    def predict(x: np.ndarray, t: np.ndarray) -> np.ndarray:
        inputs = {"x": x, "t": t, "features": features, "guidance": guidance}
        return session.run(inputs)["noise"]

    wanted = sample(noise, predict, spec).actions
    network = bundles.network(name)
    arrays = {n: w.numpy() for n, w in network.action_model.net.state_dict().items()}
    assert network.config.denoiser is not None
    weights = denoiser_weights(arrays, network.config.denoiser.heads, spec.timesteps)
    table, _ = table_of("ddim-10", spec.guidance)
    found = denoise(weights, table, features.astype(float), noise)
    # float32 in ONNX Runtime: ten steps, of which the first amplifies an error sevenfold
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("name", ["ddim-10", "ddim-3", "dpm-5", "parallel-4", "parallel-9"])
def test_a_table_samples_as_the_runtime_does(name: str) -> None:
    random = np.random.default_rng(2)
    table, times = table_of(name, 1.5)
    weights = random_weights(random, times)
    features = random.standard_normal((3, weights.condition.weight.shape[1]))
    noise = random.standard_normal((3, 7)).astype(np.float32)

    def predict(x: np.ndarray, t: np.ndarray) -> np.ndarray:
        points = np.array([times.index(int(time)) for time in t])
        return predict_noise(weights, table, features, x.astype(float), points)

    wanted = sample(noise, predict, named(name, 1.5)).actions
    found = denoise(weights, table, features, noise)
    # The runtime keeps its states in float32.
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


@given(
    size=st.integers(4, 40),
    height=st.integers(21, 90),
    width=st.integers(21, 90),
    flip=st.sampled_from(["none", "vertical", "horizontal", "both"]),
    crop=st.one_of(st.none(), st.just((3, 2, 17, 19))),
    seed=st.integers(0, 2**32 - 1),
)
def test_preprocessing_equals_pillow(
    size: int,
    height: int,
    width: int,
    flip: str,
    crop: tuple[int, int, int, int] | None,
    seed: int,
) -> None:
    random = np.random.default_rng(seed)
    frame = random.integers(0, 256, (height, width, 3), np.uint8)
    camera = CameraSpecification(
        role="primary",
        height=height,
        width=width,
        flip=flip,
        crop=crop,  # type: ignore[arg-type]
    )
    preprocessing = Preprocessing(size=size)
    wanted = with_pillow(frame, camera, preprocessing)
    seen = (height, width) if crop is None else crop[2:]
    short = min(seen)
    lengths = [size * length // short for length in seen] if short != size else list(seen)
    axes = tuple(
        resampling(
            frame.shape[i],
            None if crop is None else (crop[i], crop[i + 2]),
            flip in ("both", ("vertical", "horizontal")[i]),
            *(lengths[i], size),
        )
        for i in range(2)
    )
    normal = normalised(np.array(preprocessing.mean), np.array(preprocessing.std))
    found = preprocess((frame, frame), (axes, axes), normal)  # type: ignore[arg-type]
    np.testing.assert_array_equal(found[0], wanted)
    np.testing.assert_array_equal(found[1], wanted)
