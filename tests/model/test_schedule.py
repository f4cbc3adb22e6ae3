"""The noise schedule and its sampler against the library that the released code calls."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler
from torch import Tensor

from dreamvla_edge.model.schedule import TRAINING_STEPS, alpha_bar, ddim


@pytest.fixture(scope="module")
def scheduler() -> DDIMScheduler:
    """As the released sampler sets it up: leading grid, last step to ᾱ = 1, no clipping."""
    return DDIMScheduler(
        num_train_timesteps=100,
        beta_schedule="squaredcos_cap_v2",
        clip_sample=False,
        set_alpha_to_one=True,
        timestep_spacing="leading",
        prediction_type="epsilon",
    )


def predict(x: Tensor, t: Tensor) -> Tensor:
    """Stands for the network: depends on the actions and on the time, and bends both."""
    return torch.sin(x + 0.1 * t[:, None, None])


def test_alpha_bar(scheduler: DDIMScheduler) -> None:
    """Every level; the library multiplies in float32."""
    assert alpha_bar().dtype == torch.float64
    torch.testing.assert_close(alpha_bar().float(), scheduler.alphas_cumprod, rtol=2e-5, atol=0)


@pytest.mark.parametrize("steps", [1, 2, 4, 5, 10, 20, 25, 50, 100])
def test_ddim(steps: int, scheduler: DDIMScheduler) -> None:
    """The same times in the same order, and the same actions."""
    noise = torch.randn(3, 3, 7, generator=torch.Generator().manual_seed(steps))
    times: list[int] = []

    def recorded(x: Tensor, t: Tensor) -> Tensor:
        assert t.shape == (3,) and t.unique().numel() == 1
        times.append(int(t[0]))
        return predict(x, t)

    found = ddim(noise, recorded, steps)

    scheduler.set_timesteps(steps)
    expected = noise
    for t in scheduler.timesteps:
        epsilon = predict(expected, t.expand(3))
        expected = scheduler.step(epsilon, t, expected, eta=0.0).prev_sample
    assert times == scheduler.timesteps.tolist()
    # With 100 steps the first is t = 99: ᾱ = 2e-7, which the library's float32 knows to 2e-5.
    tolerance = 1e-4 if steps == 100 else 1e-5
    assert float((found - expected).abs().max() / expected.abs().max()) <= tolerance


def test_the_default_grid() -> None:
    """Times 90, 80, …, 0: the grid starts a whole stride below the training steps, not at 99."""
    assert TRAINING_STEPS == 100
    times: list[int] = []

    def recorded(x: Tensor, t: Tensor) -> Tensor:
        times.append(int(t[0]))
        return torch.zeros_like(x)

    ddim(torch.zeros(1, 3, 7), recorded)
    assert times == [90, 80, 70, 60, 50, 40, 30, 20, 10, 0]


def test_nothing_is_clipped() -> None:
    """x₀ beyond ±1 stays: without predicted noise it is the start over √ᾱ at the first time."""
    start = ddim(torch.full((1, 3, 7), 2.0), lambda x, t: torch.zeros_like(x))
    torch.testing.assert_close(start, 2 / alpha_bar()[90].float().sqrt().expand(1, 3, 7))
    assert start.min() > 10


def test_the_true_noise_leads_to_the_actions() -> None:
    """A predictor that knows the actions gets them back, whatever the start."""
    actions = torch.linspace(-1, 1, 21).reshape(1, 3, 7)
    levels = alpha_bar().float()

    def knowing(x: Tensor, t: Tensor) -> Tensor:
        level = levels[t][:, None, None]
        return (x - level.sqrt() * actions) / (1 - level).sqrt()

    noise = torch.randn(1, 3, 7, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ddim(noise, knowing), actions, atol=1e-5, rtol=0)


@pytest.mark.parametrize("steps", [3, 7, 99, 101])
def test_steps_must_divide_the_training_steps(steps: int) -> None:
    """Otherwise the grid would not be the released one."""
    with pytest.raises(ValueError, match=f"{steps} DDIM steps do not divide 100"):
        ddim(torch.zeros(1, 3, 7), predict, steps)
