"""A policy with another sampler than its bundle's: the shipped network itself."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from commands import dreamvla
from dreamvla_edge.demo import BUNDLE
from dreamvla_edge.runtime.bundle import open_bundle
from dreamvla_edge.runtime.cameras import open_camera
from dreamvla_edge.runtime.cameras.source import CameraSource
from dreamvla_edge.runtime.errors import BundleError
from dreamvla_edge.runtime.policy import Policy
from dreamvla_edge.runtime.samplers.named import named, replacement
from dreamvla_edge.sim.evaluation.evaluation import Candidate, Log, evaluate, trials

STEPS = 6
GUIDANCE = 1.5


def chunks(sampler: str | None, seed: int = 0, resets: tuple[int, ...] = (0,)) -> list[NDArray]:
    """Actions of some steps of one stream of frames, with noise drawn by the policy."""
    bundle = open_bundle(BUNDLE)
    manifest = bundle.manifest
    eyes = [open_camera(CameraSource("simulated"), c) for c in manifest.specification.cameras]
    random, found = np.random.default_rng(1), []
    spec = replacement(manifest, sampler)
    with Policy(bundle, threads=1, seed=seed, sampler=spec) as policy:
        for step in range(STEPS):
            if step in resets:
                policy.reset("open the drawer")
            state = random.normal(0, 0.2, manifest.specification.state.size).astype(np.float32)
            found.append(policy.act(eyes[0].read().image, eyes[1].read().image, state).actions)
    return found


def test_its_own_is_ddim_10() -> None:
    """Bit for bit; another guidance is another policy."""
    own = chunks(None)
    np.testing.assert_array_equal(own, chunks("ddim-10"))
    assert named("ddim-10", GUIDANCE) == open_bundle(BUNDLE).manifest.sampler
    assert not np.array_equal(own, chunks("ddim-5"))


def test_all_times_at_once_are_the_same() -> None:
    """With as many sweeps as it takes, on the trained network, with guidance."""
    np.testing.assert_allclose(chunks("parallel-9"), chunks("ddim-10"), atol=2e-4)


def test_warm_sweeps_keep_the_noise_until_a_reset() -> None:
    """So each decision goes on from the one before; a reset begins anew with other noise."""
    bundle = open_bundle(BUNDLE)
    random = np.random.default_rng(0)
    spec = replacement(bundle.manifest, "parallel-9-warm-9")
    plain = chunks("parallel-9", seed=3)
    warm = chunks("parallel-9-warm-9", seed=3)
    np.testing.assert_allclose(warm[0], plain[0], atol=1e-6)
    assert np.abs(warm[1] - plain[1]).max() > 1e-4  # other noise, since it was kept
    with Policy(bundle, sampler=spec) as policy:
        policy.reset("open the drawer")
        assert not np.array_equal(policy.noise(random), policy.noise(random))
        size = bundle.manifest.specification.state.size
        eyes = [
            open_camera(CameraSource("simulated"), c).read().image
            for c in bundle.manifest.specification.cameras
        ]
        start = policy.noise(random)
        policy.act(eyes[0], eyes[1], np.zeros(size, np.float32), start)
        np.testing.assert_array_equal(policy.noise(random), start)
        policy.reset("open the drawer")
        assert not np.array_equal(policy.noise(random), start)


@pytest.mark.slow
def test_evaluation_with_another_sampler(tmp_path: Path) -> None:
    """Other actions than with its own, and the same whoever plays."""
    asked = trials(range(500_000, 500_002))
    found = {}
    for name, workers in ((None, 1), ("ddim-2", 1), ("ddim-2", 2)):
        with Log(tmp_path / f"{name}-{workers}") as log:
            evaluate(Candidate(BUNDLE, name), asked, log, workers, lambda done, of: None)
        found[name, workers] = [log.done[trial].actions for trial in asked]
    assert found["ddim-2", 1] == found["ddim-2", 2] != found[None, 1]


def test_a_name_that_means_nothing() -> None:
    """One line, before anything is opened."""
    told = dreamvla("eval", "demo", "--sampler", "euler-3")
    assert told.returncode == 2 and "euler-3 is no sampler; there are ddim-N" in told.stderr


def test_trials_of_another_sampler_are_not_gone_on_with(tmp_path: Path) -> None:
    """The folder says whose they are."""
    asked = ["eval", "demo", "--episodes", "1", "--no-controls", "-o", str(tmp_path / "all"), "-q"]
    assert dreamvla(*asked).returncode == 0
    told = dreamvla(*asked, "--sampler", "ddim-5")
    assert told.returncode != 0 and "holds trials of another bundle or sampler" in told.stderr


def test_an_mlp_head_samples_nothing() -> None:
    """So that a name there is a mistake."""
    manifest = open_bundle(BUNDLE).manifest
    mlp = msgspec.structs.replace(manifest, sampler=None)
    assert replacement(mlp, None) is None
    with pytest.raises(BundleError, match="samples nothing"):
        replacement(mlp, "ddim-5")
