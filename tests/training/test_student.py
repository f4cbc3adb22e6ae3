"""A student does in one or two evaluations what its teacher did in ten."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dreamvla_edge.model.initial import initial_network
from dreamvla_edge.model.losses import features_of
from dreamvla_edge.model.network import DreamVLA
from dreamvla_edge.model.schedule import ddim
from dreamvla_edge.runtime.preprocess import Preprocessing
from dreamvla_edge.runtime.samplers import sample
from dreamvla_edge.runtime.samplers.named import named
from dreamvla_edge.train.acting import Acting
from dreamvla_edge.train.batch import Batches
from dreamvla_edge.train.plan import Plan
from dreamvla_edge.train.run import Run
from dreamvla_edge.train.student import TIMES, Following, frozen
from training.test_run import examples
from training.tiny import NETWORK

GUIDANCE = 1.5


def batches() -> Batches:
    """Of pictures in which the bright side says where to go."""
    return Batches(examples(0), NETWORK, Preprocessing(size=NETWORK.image_size), False, 0.0)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> DreamVLA:
    """A network that has learnt a little."""
    network = initial_network(NETWORK, 0)
    plan = Plan(steps=60, windows=16, warm_up=20, rate=2e-3, dreams=False)
    lesson = Acting(network, batches(), plan.windows)
    Run(network, lesson, plan, tmp_path_factory.mktemp("teacher"), "").go(60, lambda line: None)
    return network.eval()


def copied(network: DreamVLA) -> DreamVLA:
    """Another one with the same weights."""
    other = DreamVLA(NETWORK)
    other.load_state_dict(network.state_dict())
    return other


def actions(network: DreamVLA, sampler: str, guidance: float) -> np.ndarray:
    """What a network decides on some windows (n, P, 7), by the runtime's samplers."""
    net = network.action_model.net
    with torch.no_grad():
        batch = batches().draw(16, np.random.default_rng(9))
        seen = features_of(network, batch)[:, :, -3:].flatten(0, 1)
        noise = np.random.default_rng(1).standard_normal((len(seen), 3, 7), np.float32)
        found = []
        for one, condition in zip(noise, seen, strict=True):

            def predict(x: np.ndarray, t: np.ndarray, condition: torch.Tensor = condition):
                inputs = (
                    torch.from_numpy(x),
                    torch.from_numpy(t),
                    condition[None].expand(len(x), -1, -1),
                )
                return net.guided(*inputs, guidance).numpy()

            found.append(sample(one, predict, named(sampler, guidance)).actions)
    return np.stack(found)


def test_the_times_are_those_of_the_sampler() -> None:
    """One table in training, one in the runtime, which knows no torch."""
    for count, times in TIMES.items():
        spec = named(f"student-{count}", 2.5)
        assert (spec.kind, spec.timesteps, spec.guidance) == ("ddim", times, 1.0)


def test_only_the_denoiser_learns(teacher: DreamVLA, tmp_path: Path) -> None:
    """And what it follows stays."""
    network = copied(teacher)
    lesson = Following(network, batches(), 4, GUIDANCE, 10, 1)
    plan = Plan(steps=3, windows=4, frozen=frozen(network), dreams=False)
    Run(network, lesson, plan, tmp_path, "").go(3, lambda line: None)
    before = dict(teacher.named_parameters())
    for name, weight in network.named_parameters():
        moved = not torch.equal(weight, before[name])
        assert not moved or name.startswith("action_model."), name
    kept = lesson._teacher.state_dict()
    for name, weight in teacher.action_model.net.state_dict().items():
        assert torch.equal(kept[name], weight)


def test_its_loss_is_the_distance_to_the_teacher(teacher: DreamVLA) -> None:
    """Before it learns: that of DDIM-1 without guidance to DDIM-10 with it; two ways."""
    network = copied(teacher)
    lesson = Following(network, batches(), 16, GUIDANCE, 10, 1)
    said = float(lesson(np.random.default_rng(9))["last"])
    random = np.random.default_rng(9)
    batch = batches().draw(16, random)
    with torch.no_grad():
        seen = features_of(teacher, batch)[:, :, -3:].flatten(0, 1)
        generator = torch.Generator().manual_seed(int(random.integers(2**62)))
        noise = torch.randn(len(seen), 3, 7, generator=generator)
        net = teacher.action_model.net
        wanted = ddim(noise, lambda x, t: net.guided(x, t, seen, GUIDANCE), 10)
        spec = named("student-1", GUIDANCE)
        epsilon = net(noise, torch.full((len(noise),), 90), seen)
        level = spec.alpha_bar[0]
        found = (noise - (1 - level) ** 0.5 * epsilon) / level**0.5
    assert said == pytest.approx(float((found - wanted).square().mean()), rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2])
def test_it_comes_near(count: int, teacher: DreamVLA, tmp_path: Path) -> None:
    """Several times as near to ten guided evaluations as as many of the teacher's own."""
    network = copied(teacher)
    plan = Plan(
        steps=400, windows=16, rate=1e-3, frozen=frozen(network), dreams=False, average=0.98
    )
    lesson = Following(network, batches(), plan.windows, GUIDANCE, 10, count)
    run = Run(network, lesson, plan, tmp_path, "")
    run.go(400, lambda line: None)
    student = copied(teacher)
    student.load_state_dict(run.averaged())
    wanted = actions(teacher, "ddim-10", GUIDANCE)
    naive = np.abs(actions(teacher, f"ddim-{count}", GUIDANCE) - wanted).mean()
    found = np.abs(actions(student.eval(), f"student-{count}", 1.0) - wanted).mean()
    assert found < 0.4 * naive
