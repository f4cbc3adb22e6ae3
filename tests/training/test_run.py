"""A training run learns, and goes on as if it had never stopped."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dreamvla_edge.model.initial import initial_network
from dreamvla_edge.model.losses import features_of
from dreamvla_edge.model.network import DreamVLA
from dreamvla_edge.model.schedule import ddim
from dreamvla_edge.runtime.preprocess import Preprocessing
from dreamvla_edge.train.acting import Acting
from dreamvla_edge.train.batch import Batches
from dreamvla_edge.train.examples import Examples
from dreamvla_edge.train.plan import Plan
from dreamvla_edge.train.run import LOG, STATE, Run
from training.tiny import NETWORK

EPISODES, LENGTH = 12, 8
SIZE, PATCHES = NETWORK.image_size, 9
WORDS = {0: (1000, 2000), 1: (1000, 3000)}
"""What is said, by the way to go."""


def examples(seed: int) -> Examples:
    """The arm goes towards the bright side, or away from it if so told."""
    random = np.random.default_rng(seed)
    count = EPISODES * LENGTH
    images = random.integers(0, 60, (count, 2, SIZE, SIZE, 3)).astype(np.uint8)
    actions = np.zeros((count, 7), np.float32)
    tokens = np.zeros((EPISODES, 77), np.int32)
    for episode in range(EPISODES):
        way, away = 1 if random.random() < 0.5 else -1, episode % 2
        frames = slice(episode * LENGTH, (episode + 1) * LENGTH)
        half = slice(SIZE // 2, None) if way > 0 else slice(0, SIZE // 2)
        images[frames, :, :, half] += 150
        actions[frames, 0] = 0.8 * way * (-1 if away else 1)
        actions[frames, 6] = away
        tokens[episode, :4] = 49406, *WORDS[away], 49407
    return Examples(
        images=images,
        states=random.normal(size=(count, 7)).astype(np.float32),
        actions=actions,
        tokens=tokens,
        first=np.arange(0, count + 1, LENGTH),
        moves=random.random((count, 2, PATCHES)) < 0.5,
        dreams={"depth": (random.random((count, 2, PATCHES, 64)) + 0.1).astype(np.float16)},
    )


def run(folder: Path, plan: Plan, seed: int = 0) -> Run:
    """A run of its own."""
    pre = Preprocessing(size=SIZE)
    batches = Batches(examples(seed), NETWORK, pre, plan.dreams, plan.other_words)
    network = initial_network(NETWORK, 0)
    lesson = Acting(network, batches, plan.windows)
    return Run(network, lesson, plan, folder, f"examples {seed}")


def nothing(_: object) -> None:
    """Hears a line of the log."""


PLAN = Plan(steps=100, windows=4, warm_up=5, other_words=0.1)


@pytest.mark.slow
def test_it_goes_on_as_if_it_had_never_stopped(tmp_path: Path) -> None:
    """Bit for bit, weights, averages and log; a state that was not written whole is no state."""
    whole = run(tmp_path / "whole", PLAN)
    whole.go(100, nothing)
    first = run(tmp_path / "parts", PLAN)
    first.go(50, nothing)
    first.save()
    first.go(57, nothing)  # lost
    (tmp_path / "parts" / f".{STATE}.partial").write_bytes(b"cut off")
    second = run(tmp_path / "parts", PLAN)
    assert second.step == 50
    second.go(1000, nothing)
    for name, weight in whole.averaged().items():
        assert torch.equal(weight, second.averaged()[name]), name
    for (name, weight), other in zip(
        whole.network.named_parameters(), second.network.parameters(), strict=True
    ):
        assert torch.equal(weight, other), name
    logs = [
        [json.loads(line) for line in (tmp_path / part / LOG).read_text().splitlines()]
        for part in ("whole", "parts")
    ]
    for one, other in zip(*logs, strict=True):
        one.pop("steps_per_s"), other.pop("steps_per_s")
        assert one == other
    assert [line["step"] for line in logs[0]] == [50, 100]


def test_another_plan_does_not_go_on(tmp_path: Path) -> None:
    """It would be neither the one nor the other."""
    run(tmp_path, PLAN).save()
    with pytest.raises(ValueError, match="another plan"):
        run(tmp_path, replace(PLAN, rate=1e-4))
    with pytest.raises(ValueError, match="another origin"):
        run(tmp_path, PLAN, seed=1)


def test_frozen_weights_stay(tmp_path: Path) -> None:
    """And all others move, but for those of a dream that has no targets."""
    before = dict(initial_network(NETWORK, 0).named_parameters())
    frozen = run(tmp_path, replace(PLAN, frozen=("clip_model.",)))
    frozen.go(3, nothing)
    for name, weight in frozen.network.named_parameters():
        without = name.startswith(("sam_decoder", "sam_mask", "sam_feat_decoder"))
        still = without or name.startswith("clip_model.")
        assert torch.equal(weight, before[name]) == still, name


def test_dreams_are_left_out(tmp_path: Path) -> None:
    """Their heads and queries then only decay."""
    plain = run(tmp_path, replace(PLAN, dreams=False))
    heard: list[dict[str, float]] = []
    plain.go(50, heard.append)
    assert set(heard[0]) == {"step", "loss", "action", "steps_per_s"}
    assert plain.network.get_parameter("image_decoder_pred.weight").grad is None


def acts(network: DreamVLA, batches: Batches) -> tuple[np.ndarray, np.ndarray]:
    """Arm's first value and gripper (n,) that a network samples, and those that are right."""
    batch = batches.draw(64, np.random.default_rng(5))
    with torch.no_grad():
        features = features_of(network.eval(), batch)[:, :, -3:].flatten(0, 1)
        noise = torch.randn(len(features), 3, 7, generator=torch.Generator().manual_seed(0))
        net = network.action_model.net
        actions = ddim(noise, lambda x, t: net.guided(x, t, features, 1.0), 10)
    return actions[:, 0].numpy(), batch.actions.flatten(0, 1)[:, 0].numpy()


@pytest.mark.slow
def test_it_learns_what_it_is_shown(tmp_path: Path) -> None:
    """On pictures that it never saw: both the picture and the words matter."""
    plan = Plan(steps=400, windows=16, warm_up=20, rate=2e-3, average=0.98)
    training = run(tmp_path, plan)
    heard: list[dict[str, float]] = []
    training.go(400, heard.append)
    assert all(np.isfinite(list(line.values())).all() for line in heard)
    assert heard[-1]["depth"] < heard[0]["depth"] and heard[-1]["action"] < 0.3
    network = initial_network(NETWORK, 1)
    network.load_state_dict(training.averaged())
    unseen = Batches(examples(99), NETWORK, Preprocessing(size=SIZE), False, 0.0)
    found, right = acts(network, unseen)
    assert (np.sign(found[:, 0]) == np.sign(right[:, 0])).mean() > 0.95
    assert ((found[:, 6] > 0.5) == (right[:, 6] > 0.5)).mean() > 0.95
