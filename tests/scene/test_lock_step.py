"""The guardian in lock step: the same states and limits as on the wall clock."""

from __future__ import annotations

import numpy as np
import pytest

from dreamvla_edge.runtime.guardian.limits import limits_of
from dreamvla_edge.runtime.guardian.message import Command, Order, State
from dreamvla_edge.sim.episode import Episode
from dreamvla_edge.sim.expert import Expert
from dreamvla_edge.sim.scene.scene import Scene
from dreamvla_edge.sim.tasks import FAMILIES

STEP_RAD = 2 * np.pi / 4096


@pytest.fixture
def episode(scene: Scene) -> Episode:
    """One that has begun."""
    return Episode(scene, FAMILIES["lift"], 21)


def test_what_is_read_is_what_is(episode: Episode) -> None:
    """The guardian's reading came as bytes: a step of the encoder from the truth."""
    reading, scene = episode.lock.reading(), episode.scene
    assert np.abs(reading.joints - scene.joints).max() < 2 * STEP_RAD
    assert reading.gripper == pytest.approx(scene.opening, abs=2e-3)
    assert len(reading.servos) == 6 and reading.servos[0].temperature_c > 20
    assert episode.lock.writes > 600  # six servos, every cycle since torque came on


def test_goals_beyond_reach_stay_within_limits(episode: Episode) -> None:
    """Leaps are asked for; the joints never turn faster than the arm may."""
    fastest = limits_of(episode.scene.description).velocity
    random = np.random.default_rng(0)
    for _ in range(30):
        before = episode.scene.joints
        episode.step(random.uniform(-3, 3, 5), float(random.integers(2)))
        assert (np.abs(episode.scene.joints - before) <= fastest * 0.1 * 1.2).all()
    assert episode.is_driven


def test_a_bus_that_stops_ends_in_a_fault(episode: Episode) -> None:
    """In the middle of a motion: at once, latched; the arm stands, and goes on when it is told."""
    expert = Expert(episode.scene, np.random.default_rng(0))
    for _ in range(5):
        shown = expert.act(episode.progress, episode.goal)
        episode.step(episode.goal + shown.done, shown.opening)
    lock = episode.lock
    lock.line.gone = True
    lock.run(0.02)
    assert lock.state is State.FAULT and "virtual bus" in lock.reason
    lock.run(1.0)
    before = episode.scene.joints
    lock.line.gone = False
    lock.run(1.0)
    assert lock.state is State.FAULT and not episode.is_driven  # latched
    assert np.abs(episode.scene.joints - before).max() < 1e-3
    lock.desk.give(Command(Order.CLEAR))
    lock.run(1.0)
    assert lock.state is State.HOLD
    assert np.abs(episode.scene.joints - before).max() < 0.01
