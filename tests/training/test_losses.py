"""Every loss against a closed form, and the batched pass against the released one."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from torch import Tensor

from dreamvla_edge.model import losses as L
from dreamvla_edge.model.initial import initial_network
from dreamvla_edge.model.network import DreamVLA
from dreamvla_edge.model.schedule import alpha_bar
from training.tiny import NETWORK, windows


@pytest.fixture(scope="module")
def network() -> DreamVLA:
    """A network with weights everywhere, also where a new one has none."""
    made = initial_network(NETWORK, 0)
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in made.parameters():
            weight += 0.05 * torch.randn(weight.shape, generator=random)
    return made


@pytest.mark.parametrize("goal_offset", [0, 1])
def test_batched_features_are_those_of_single_windows(goal_offset: int) -> None:
    """`network.window` is what the golden data were compared with."""
    network = initial_network(replace(NETWORK, goal_offset=goal_offset), 3)
    batch = windows(NETWORK, 3, np.random.default_rng(0))
    together = L.features_of(network, batch)
    for i in range(3):
        seen = [network.see(batch.images[i, :, c]) for c in (0, 1)]
        rows = [network.project(*seen[c], name) for c, name in enumerate(("primary", "wrist"))]
        vision = torch.cat([r for _, r in rows] + [c for c, _ in rows], 1)
        alone = network.window(network.text(batch.tokens[i : i + 1]), batch.states[i], vision)
        torch.testing.assert_close(together[i], alone, rtol=0, atol=2e-5)  # sums in another order


def test_noise_is_added_as_diffusers_does() -> None:
    """The schedule of the loss is the sampler's."""
    scheduler = DDPMScheduler(100, beta_schedule="squaredcos_cap_v2")
    level = alpha_bar().float()
    clean, noise = torch.randn(100, 3, 7), torch.randn(100, 3, 7)
    mine = level.sqrt()[:, None, None] * clean + (1 - level).sqrt()[:, None, None] * noise
    torch.testing.assert_close(mine, scheduler.add_noise(clean, noise, torch.arange(100)))


class Guess(torch.nn.Module):
    """Stands for the denoiser: knows the clean actions, or nothing."""

    def __init__(self, clean: Tensor | None) -> None:
        super().__init__()
        self.clean, self.dropped = clean, 0
        self.z_embedder = torch.nn.Module()
        self.z_embedder.uncondition = torch.nn.Parameter(torch.full((1, 4), 7.0))

    def forward(self, x: Tensor, t: Tensor, z: Tensor) -> Tensor:
        """The noise in x."""
        self.dropped += int((z == 7.0).all(-1).all(-1).sum())
        if self.clean is None:
            return torch.zeros_like(x)
        level = alpha_bar().float()[t][:, None, None]
        clean = self.clean.repeat_interleave(len(x) // len(self.clean), 0)
        return (x - level.sqrt() * clean) / (1 - level).sqrt()


def test_action_loss() -> None:
    """Nothing is wrong for one who knows the actions; one who says nothing is wrong by 1."""
    actions, features = torch.randn(500, 3, 7), torch.zeros(500, 3, 4)
    known = torch.ones(500, 3, dtype=torch.bool)
    for clean, expected in ((actions, 0.0), (None, 1.0)):
        network, guess = torch.nn.Module(), Guess(clean)
        network.action_model = torch.nn.Module()
        network.action_model.net = guess
        random = torch.Generator().manual_seed(0)
        loss = L.action_loss(network, features, actions, known, random)  # type: ignore[arg-type]
        assert loss.item() == pytest.approx(expected, abs=0.02)
        assert guess.dropped / 2000 == pytest.approx(0.1, abs=0.03)


def test_actions_after_the_end_do_not_count() -> None:
    """They are no actions at all: here they alone are guessed wrong."""
    actions, features = torch.randn(300, 3, 7), torch.zeros(300, 3, 4)
    network, guess = torch.nn.Module(), Guess(actions * torch.tensor([1.0, 0.0, 0.0])[:, None])
    network.action_model = torch.nn.Module()
    network.action_model.net = guess
    known = torch.zeros(300, 3, dtype=torch.bool)

    def loss() -> float:
        random = torch.Generator().manual_seed(0)
        return L.action_loss(network, features, actions, known, random).item()  # type: ignore[arg-type]

    assert loss() == 0.0
    known[:, 0] = True
    assert loss() == pytest.approx(0, abs=1e-6)
    known[:, 1] = True
    assert loss() > 0.1


@pytest.mark.parametrize("scale", [1.0, 1.5, 0.4])
def test_depth_loss_forgives_half_of_a_scale(scale: float) -> None:
    """Log c² - 0.5·log c², by hand."""
    target = torch.rand(2, 2, 9, 16) + 0.1
    counts = torch.ones(2, 2, 9, dtype=torch.bool)
    found = L.depth_loss(target * scale, target, counts)
    assert found.item() == pytest.approx(0.5 * math.log(scale) ** 2, abs=1e-5)


def test_image_loss_is_of_what_counts() -> None:
    """A mean over the pixels of those patches."""
    predicted, target = torch.randn(2, 2, 9, 12), torch.randn(2, 2, 9, 12)
    counts = torch.rand(2, 2, 9) < 0.4
    mean = float(np.mean((predicted[counts] - target[counts]).numpy() ** 2))
    assert L.image_loss(predicted, target, counts).item() == pytest.approx(mean, rel=1e-5)
    assert L.image_loss(predicted, target, torch.zeros_like(counts)).item() == 0.0


def test_feature_loss_is_of_directions() -> None:
    """0 for the same, 1 for a right angle, 2 for the opposite."""
    target = torch.randn(1, 2, 9, 6)
    counts = torch.ones(1, 2, 9, dtype=torch.bool)
    assert L.feature_loss(3 * target, target, counts).item() == pytest.approx(0, abs=1e-6)
    assert L.feature_loss(-target, target, counts).item() == pytest.approx(2, abs=1e-6)
    one, other = torch.eye(6)[0].expand(1, 2, 9, 6), torch.eye(6)[1].expand(1, 2, 9, 6)
    assert L.feature_loss(one, other, counts).item() == pytest.approx(1, abs=1e-6)


def test_patch_pixels() -> None:
    """Against slices, one patch after the other."""
    image = torch.randn(3, 8, 12)
    found = L.patch_pixels(image, 4)
    assert found.shape == (6, 48)
    for number in range(6):
        row, column = divmod(number, 3)
        cut = image[:, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
        flat = cut.permute(1, 2, 0).reshape(-1)
        expected = (flat - flat.mean()) / (flat.var() + 1e-6).sqrt()
        torch.testing.assert_close(found[number], expected)


def test_dreams_are_of_their_own_rows(network: DreamVLA) -> None:
    """Window by window, from the rows between context and actions of the slot that is asked."""
    batch = windows(NETWORK, 3, np.random.default_rng(2))
    features = L.features_of(network, batch)[:, batch.slot]
    start = NETWORK.context_rows
    rows = features[:, start : start + NETWORK.dream_rows]
    found = L.losses(network, batch, torch.Generator().manual_seed(0))
    for name, wanted in batch.dreams.items():
        alone = torch.stack([network.dream(name, rows[i]) for i in range(3)])
        expected = L.DREAM_LOSSES[name](alone, wanted.target, wanted.counts)
        torch.testing.assert_close(found[name], expected)


def test_every_weight_is_reached(network: DreamVLA) -> None:
    """What no loss reaches would never be learnt."""
    batch = windows(NETWORK, 8, np.random.default_rng(0))
    network.zero_grad()
    found = L.losses(network, batch, torch.Generator().manual_seed(0))
    assert set(found) == {"action", "image", "depth", "sam"}
    L.total(found).backward()  # type: ignore[no-untyped-call]
    untouched = [n for n, w in network.named_parameters() if w.grad is None or not w.grad.any()]
    assert untouched == []


def test_the_sum_is_weighted_as_released() -> None:
    """1, 0.1, 0.001, 0.01 and 0.01."""
    ones = {name: torch.ones(()) for name in ("action", "image", "depth", "sam", "dino")}
    assert L.total(ones).item() == pytest.approx(1.121)


def test_the_mlp_head_is_refused() -> None:
    """It was released without a loss."""
    network = DreamVLA(replace(NETWORK, action_head="mlp", denoiser=None))
    batch = windows(NETWORK, 1, np.random.default_rng(0))
    with pytest.raises(ValueError, match="diffusion"):
        L.losses(network, batch, torch.Generator())
