"""The released evaluation loop: padding while the window fills, sliding afterwards, reset."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from dreamvla_edge.model.config import ModelConfig
from dreamvla_edge.model.network import CAMERAS, DreamVLA
from dreamvla_edge.model.released import ReleasedLoop, run_window
from dreamvla_edge.model.synthetic import random_state

STEPS = 6
OPTIONS = {
    "released": {},
    "own observation": {"own_observation_only": True, "reads_state": True},
    "mlp head": {"action_head": "mlp", "denoiser": None},
}


class Episode:
    """Random observations of the tiny network's sizes, and one noise for each slot."""

    def __init__(self, config: ModelConfig) -> None:
        generator = torch.Generator().manual_seed(3)
        size = config.image_size
        self.tokens = torch.randint(1, config.vocabulary, (config.context,), generator=generator)
        self.images = torch.randn(STEPS, 2, 3, size, size, generator=generator)
        self.states = torch.randn(STEPS, config.state_size, generator=generator)
        self.noise = torch.randn(config.window, config.action_steps, 7, generator=generator)

    def window(self, network: DreamVLA, steps: list[int]) -> Tensor:
        """Actions of every slot when the window holds these steps."""
        cameras = {camera: self.images[steps, i] for i, camera in enumerate(CAMERAS)}
        tokens = self.tokens.expand(len(steps), -1)
        return run_window(network, tokens, cameras, self.states[steps], self.noise).actions

    def act(self, loop: ReleasedLoop, step: int) -> Tensor:
        """One step of the loop."""
        return loop.act(self.tokens, self.images[step], self.states[step], self.noise)


def build(config: ModelConfig) -> DreamVLA:
    """The network with random weights."""
    network = DreamVLA(config)
    network.load_state_dict(random_state(config))
    return network.eval()


def close(found: Tensor, expected: Tensor) -> bool:
    """Equal to float32 rounding, of the largest magnitude."""
    return bool((found - expected).abs().max() <= 1e-5 * expected.abs().max())


@pytest.mark.parametrize("option", OPTIONS)
def test_each_slot_while_the_window_fills(option: str, tiny: ModelConfig) -> None:
    """What stands behind the newest real slot does not reach its actions."""
    network = build(replace(tiny, **OPTIONS[option]))
    episode, loop = Episode(tiny), ReleasedLoop(network)
    whole = episode.window(network, [0, 1, 2])
    for slot in range(3):
        assert close(episode.act(loop, slot), whole[slot]), slot


def test_goal_attention_reads_the_padding(tiny: ModelConfig) -> None:
    """With goal attention the padded slots count: copies of the newest observation."""
    network = build(replace(tiny, goal_offset=1))
    episode, loop = Episode(tiny), ReleasedLoop(network)
    whole = episode.window(network, [0, 1, 2])
    for slot, padded in enumerate(([0, 0, 0], [0, 1, 1], [0, 1, 2])):
        actions = episode.act(loop, slot)
        assert close(actions, episode.window(network, padded)[slot]), slot
        assert close(actions, whole[slot]) == (slot == 2), slot


def test_a_full_window_slides(tiny: ModelConfig) -> None:
    """Later steps read the last slot of the newest S observations."""
    network = build(tiny)
    episode, loop = Episode(tiny), ReleasedLoop(network)
    for step in range(STEPS):
        actions = episode.act(loop, step)
        if step >= 3:
            newest = [step - 2, step - 1, step]
            assert close(actions, episode.window(network, newest)[-1]), step


def test_reset_forgets(tiny: ModelConfig) -> None:
    """After a reset the first step is a first step again."""
    network = build(tiny)
    episode, loop = Episode(tiny), ReleasedLoop(network)
    first = episode.act(loop, 0)
    later = episode.act(loop, 1)
    loop.reset()
    assert torch.equal(episode.act(loop, 0), first)
    loop.reset()
    assert not close(episode.act(loop, 1), later)


def test_guidance_of_one_is_the_conditioned_branch(tiny: ModelConfig) -> None:
    """ε_u + w·(ε_c - ε_u): w = 1 leaves ε_c, w = 0 leaves ε_u, w = 1.5 goes beyond."""
    network = build(tiny)
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(2, 3, 7, generator=generator)
    features = torch.randn(2, 3, 128, generator=generator)
    t, denoiser = torch.tensor([90, 10]), network.action_model.net
    with torch.inference_mode():
        conditioned = denoiser(x, t, features)
        free = denoiser(x, t, denoiser.z_embedder.uncondition.expand(2, 3, -1))
        assert close(denoiser.guided(x, t, features, 1.0), conditioned)
        assert close(denoiser.guided(x, t, features, 0.0), free)
        expected = free + 1.5 * (conditioned - free)
        assert close(denoiser.guided(x, t, features, 1.5), expected)


def test_gripper_is_one_hot_of_at_least_one(tiny: ModelConfig) -> None:
    """A command below 1 lights the first place, 1 and above the second; fingers go in as is."""
    network = build(tiny)
    states = torch.zeros(3, 7)
    states[:, 6] = torch.tensor([-1.0, 0.999, 1.0])
    fingers = build(replace(tiny, finger_state=True))
    places = torch.zeros(3, 8)
    places[:, 6:] = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    with torch.inference_mode():
        assert close(network.state(states), fingers.state(places))
