"""Samplers against the library that others use, against each other, and against closed forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dreamvla_edge.model.schedule import alpha_bar as torch_alpha_bar
from dreamvla_edge.runtime.manifest import SamplerSpec
from dreamvla_edge.runtime.samplers import FloatArray, Sampled, sample
from dreamvla_edge.runtime.samplers.named import alpha_bar, named, uniform, uniform_log_snr

SHAPE = (3, 7)
LIBRARY = {
    "num_train_timesteps": 100,
    "beta_schedule": "squaredcos_cap_v2",
    "prediction_type": "epsilon",
}


def noise(seed: int) -> FloatArray:
    """A start."""
    return np.random.default_rng(seed).standard_normal(SHAPE, np.float32)


def bent(x: FloatArray, times: NDArray[np.int32]) -> FloatArray:
    """Stands for the network: depends on the actions and on the time, and bends both."""
    return np.sin(x + 0.1 * times[:, None, None]).astype(np.float32)


def mixture(spread: float) -> Callable[[FloatArray, NDArray[np.int32]], FloatArray]:
    """The best noise prediction there is, for actions around two points (closed form)."""
    centres = np.stack([np.full(SHAPE, -0.5), np.full(SHAPE, 0.4)])

    def predict(x: FloatArray, times: NDArray[np.int32]) -> FloatArray:
        level = alpha_bar()[times][:, None, None]
        width = level * spread**2 + 1 - level
        far = x[None] - np.sqrt(level) * centres[:, None]
        weight = -(far**2 / (2 * width)).sum((2, 3))
        weight = np.exp(weight - weight.max(0))
        weight /= weight.sum(0)
        mean = (weight[..., None, None] * far).sum(0)
        return (np.sqrt(1 - level) * mean / width).astype(np.float32)

    return predict


def far(one: FloatArray, other: FloatArray) -> float:
    """Largest difference, relative to the largest value."""
    return float(np.abs(one - other).max() / np.abs(other).max())


def test_levels_are_those_of_training() -> None:
    """The network's own schedule, which is in PyTorch."""
    np.testing.assert_allclose(alpha_bar(), torch_alpha_bar().numpy(), rtol=1e-12)


def test_the_released_grid_is_ten_equal_distances() -> None:
    """And those of the others are what was measured to be good for this schedule."""
    assert uniform(10) == (90, 80, 70, 60, 50, 40, 30, 20, 10, 0)
    assert uniform(5) == (90, 68, 45, 22, 0) and uniform(1) == (90,)
    assert uniform_log_snr(10) == (90, 82, 70, 51, 32, 17, 9, 4, 1, 0)
    assert uniform_log_snr(5) == (90, 65, 24, 5, 0)
    assert uniform_log_snr(4) == (90, 51, 9, 0)


@given(st.sampled_from(("ddim", "dpm")), st.integers(1, 91))
@settings(max_examples=60, deadline=None)
def test_every_grid_falls_within_what_is_safe(kind: str, count: int) -> None:
    """From 90, never 99; to 0; so many, each once."""
    times = named(f"{kind}-{count}", 1.5).timesteps
    assert len(times) == count == len({*times})
    assert times[0] == 90 and (times[-1] == 0 or count == 1)
    assert list(times) == sorted(times, reverse=True)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 10])
def test_ddim_against_diffusers(count: int) -> None:
    """On the same times."""
    spec = named(f"ddim-{count}", 1.0)
    scheduler = DDIMScheduler(**LIBRARY, clip_sample=False, set_alpha_to_one=True)
    levels = scheduler.alphas_cumprod
    x = torch.from_numpy(noise(count))
    for index, t in enumerate(spec.timesteps):
        epsilon = torch.from_numpy(bent(x.numpy()[None], np.array([t], np.int32))[0])
        start = (x - (1 - levels[t]).sqrt() * epsilon) / levels[t].sqrt()
        there = levels[spec.timesteps[index + 1]] if index + 1 < count else torch.ones(())
        x = there.sqrt() * start + (1 - there).sqrt() * epsilon
    found = sample(noise(count), bent, spec)
    assert far(found.actions, x.numpy()) < 2e-5 and found.streams == count
    if count == 10:  # the grid that the library makes itself
        scheduler.set_timesteps(10)
        y: Any = torch.from_numpy(noise(count))
        for t in scheduler.timesteps:
            epsilon = torch.from_numpy(bent(y.numpy()[None], np.array([t], np.int32))[0])
            y = scheduler.step(epsilon, t, y, eta=0.0).prev_sample
        assert far(found.actions, y.numpy()) < 2e-5


@pytest.mark.parametrize("count", [2, 3, 4, 5, 10])
def test_dpm_solver_against_diffusers(count: int) -> None:
    """The library's own steps on our times."""
    spec = named(f"dpm-{count}", 1.0)
    scheduler = DPMSolverMultistepScheduler(
        **LIBRARY, solver_order=2, algorithm_type="dpmsolver++", final_sigmas_type="zero"
    )
    scheduler.set_timesteps(timesteps=[*spec.timesteps])
    x: Any = torch.from_numpy(noise(count))
    for t in scheduler.timesteps:
        epsilon = torch.from_numpy(bent(x.numpy()[None], np.array([int(t)], np.int32))[0])
        x = scheduler.step(epsilon, t, x).prev_sample
    found = sample(noise(count), bent, spec)
    assert far(found.actions, x.numpy()) < 5e-5 and found.streams == count


@pytest.mark.parametrize("spread", [0.03, 0.1])
def test_solvers_go_where_the_exact_solution_goes(spread: float) -> None:
    """With more times nearer to it; the second order is nearer than the first on the same times."""
    predict = mixture(spread)
    fine = sample(noise(1), predict, named("ddim-91", 1.0)).actions
    errors = [far(sample(noise(1), predict, named(f"dpm-{n}", 1.0)).actions, fine) for n in (4, 20)]
    assert errors[1] < errors[0] and errors[1] < 0.05


@given(st.integers(0, 10_000), st.sampled_from((bent, mixture(0.1), mixture(0.03))))
@settings(max_examples=40, deadline=None)
def test_all_sweeps_are_ddim(seed: int, predict: Any) -> None:
    """Nine sweeps after the first prediction make all ten times exact, and the tenth is free."""
    exact = sample(noise(seed), predict, named("ddim-10", 1.5))
    found = sample(noise(seed), predict, named("parallel-9", 1.5))
    assert far(found.actions, exact.actions) < 1e-4
    assert found.streams == 10
    more = sample(noise(seed), predict, named("parallel-30", 1.5))
    assert more.streams == 10
    np.testing.assert_array_equal(more.actions, found.actions)


@pytest.mark.parametrize("sweeps", range(1, 9))
def test_each_sweep_makes_one_more_time_exact(sweeps: int) -> None:
    """And times that are exact are not predicted again."""
    asked: list[list[int]] = []

    def counted(x: FloatArray, times: NDArray[np.int32]) -> FloatArray:
        asked.append(times.tolist())
        return bent(x, times)

    exact = sample(noise(7), bent, named("ddim-10", 1.0))
    found = sample(noise(7), counted, named(f"parallel-{sweeps}", 1.0))
    for index in range(sweeps + 1):
        assert far(found.starts[index], exact.starts[index]) < 1e-4
    assert far(found.starts[-1], exact.starts[-1]) > 1e-4 or sweeps > 5
    grid = list(uniform(10))
    assert asked == [grid[:1], *(grid[1 + k :] for k in range(sweeps))]
    assert found.streams == sweeps + 1 == len(asked)


@given(st.integers(0, 10_000), st.floats(-0.9, 0.9))
@settings(max_examples=40, deadline=None)
def test_secants_of_straight_lines_leave_nothing_to_do(seed: int, slope: float) -> None:
    """Where each number's prediction is a straight line, two sweeps know it: the third is DDIM."""

    def straight(x: FloatArray, times: NDArray[np.int32]) -> FloatArray:
        level = alpha_bar()[times][:, None, None]
        clean = slope * x + np.arange(7)
        found: FloatArray = ((x - np.sqrt(level) * clean) / np.sqrt(1 - level)).astype(np.float32)
        return found

    exact = sample(noise(seed), straight, named("ddim-10", 1.0)).actions
    two, three = (
        float(np.abs(sample(noise(seed), straight, named(name, 1.0)).actions - exact).max())
        for name in ("parallel-2", "parallel-3")
    )
    assert three < 0.02 * two + 1e-4  # what a step as small as STILL's root leaves


def test_sweeps_come_nearer_and_say_by_how_much() -> None:
    """On the two-point actions: a thousandth after three sweeps; residuals bound what is left."""
    predict = mixture(0.1)
    exact = sample(noise(3), predict, named("ddim-10", 1.0)).actions
    found = [sample(noise(3), predict, named(f"parallel-{n}", 1.0)) for n in range(1, 10)]
    errors = [float(np.abs(one.actions - exact).max()) for one in found]
    assert errors[2] < 1e-3 and errors[4] < 1e-4 and errors[8] < 1e-5
    assert all(np.isfinite(one.residual) for one in found)
    assert found[0].residual > found[4].residual > found[8].residual


@pytest.mark.parametrize(("sweeps", "limit"), [(2, 2e-2), (4, 1e-3)])
def test_a_warm_start_goes_on_from_the_predictions_before(sweeps: int, limit: float) -> None:
    """With the same noise and a condition that moved a little."""
    spec = named(f"parallel-4-warm-{sweeps}", 1.0)

    def moved(by: float) -> Callable[[FloatArray, NDArray[np.int32]], FloatArray]:
        predict = mixture(0.1)

        def shifted(x: FloatArray, times: NDArray[np.int32]) -> FloatArray:
            level = alpha_bar()[times][:, None, None]
            return predict((x - np.sqrt(level) * by).astype(np.float32), times)

        return shifted

    before = sample(noise(5), moved(0.0), named("parallel-9", 1.0))
    exact = sample(noise(5), moved(0.02), named("ddim-10", 1.0))
    found = sample(noise(5), moved(0.02), spec, before)
    assert found.streams == sweeps
    assert np.abs(found.actions - exact.actions).max() < limit
    other = sample(noise(6), moved(0.02), spec, before)  # other noise: nothing to go on with
    assert other.streams == 5
    np.testing.assert_array_equal(other.actions, sample(noise(6), moved(0.02), spec).actions)


@pytest.mark.parametrize("kind", ["ddim-10", "dpm-5"])
def test_a_warm_start_from_the_actions_before(kind: str) -> None:
    """Fewer steps; a predictor that knows the actions still gets them; cold without any before."""
    wanted = np.linspace(-1, 1, 21, dtype=np.float32).reshape(SHAPE)

    def knowing(x: FloatArray, times: NDArray[np.int32]) -> FloatArray:
        level = alpha_bar()[times][:, None, None]
        return ((x - np.sqrt(level) * wanted) / np.sqrt(1 - level)).astype(np.float32)

    times = named(kind, 1.0).timesteps
    spec = named(f"{kind}-warm-{times[2]}", 1.0)
    before = Sampled(wanted[::-1].copy(), noise(0), wanted[None], 1)
    found = sample(noise(1), knowing, spec, before)
    assert found.streams == len(times) - 2
    np.testing.assert_allclose(found.actions, wanted, atol=1e-4)
    cold = sample(noise(1), bent, spec)
    assert cold.streams == len(times)
    np.testing.assert_array_equal(cold.actions, sample(noise(1), bent, named(kind, 1.0)).actions)
    x = spec.alpha_bar[2] ** 0.5 * before.actions + (1 - spec.alpha_bar[2]) ** 0.5 * noise(1)
    seen: list[FloatArray] = []
    sample(noise(1), lambda x, t: (seen.append(x[0]), bent(x, t))[1], spec, before)
    np.testing.assert_allclose(seen[0], x, atol=1e-6)


@pytest.mark.parametrize(
    "name",
    ["ddim", "ddim-0", "dpm-92", "euler-5", "parallel-0", "ddim-10-warm-55", "dpm-5-warm-", ""],
)
def test_names_that_mean_nothing(name: str) -> None:
    """Are refused."""
    with pytest.raises(ValueError, match="."):
        named(name, 1.0)


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"sweeps": 3}, "sweeps"),
        ({"kind": "parallel_ddim"}, "sweeps"),
        ({"warm_sweeps": 2}, "warm_sweeps"),
        ({"kind": "parallel_ddim", "sweeps": 2, "warm_sweeps": 0}, "warm_sweeps"),
        ({"kind": "parallel_ddim", "sweeps": 2, "warm_time": 50}, "warm_time"),
        ({"warm_time": 55}, "warm_time"),
        ({"kind": "dpm_solver", "alpha_bar": (0.1, 1.0), "timesteps": (50, 0)}, "noise"),
    ],
)
def test_a_spec_that_cannot_be_meant(changes: dict[str, Any], wrong: str) -> None:
    """Is refused when it is read."""
    plain = named("ddim-10", 1.5)
    fields = {name: getattr(plain, name) for name in plain.__struct_fields__}
    with pytest.raises(ValueError, match=wrong):
        SamplerSpec(**{**fields, **changes})
