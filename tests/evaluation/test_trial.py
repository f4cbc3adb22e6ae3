"""One episode: what an actor gets and gives, and what is noted about it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from dreamvla_edge.sim.demo import IMAGE, SPECIFICATION, action
from dreamvla_edge.sim.episode import RATE_HZ, Episode, show
from dreamvla_edge.sim.evaluation.actors import Dice, Idle
from dreamvla_edge.sim.evaluation.trial import play
from dreamvla_edge.sim.expert import Expert
from dreamvla_edge.sim.scene.scene import Scene
from dreamvla_edge.sim.scene.views import Views
from dreamvla_edge.sim.tasks import FAMILIES

SEED = 500_007


@pytest.fixture(scope="module")
def views(scene: Scene) -> Iterator[Views]:
    """Both cameras."""
    with Views(scene, IMAGE) as made:
        yield made


class ByExpert:
    """The scripted expert behind the interface of a policy; `states` are those it was given."""

    def __init__(self, episode: Episode) -> None:
        self._episode, self.said = episode, ""
        self._expert = Expert(episode.scene, np.random.default_rng(0), noise=0.0)
        self.states: list[np.ndarray] = []
        self.pictures: list[np.ndarray] = []

    def begin(self, instruction: str, seed: int) -> None:
        """Hears."""
        self.said = instruction

    def act(self, primary: np.ndarray, wrist: np.ndarray, state: np.ndarray) -> np.ndarray:
        """Acts as it always does."""
        self.states.append(state)
        self.pictures.append(np.stack([primary, wrist]))
        shown = self._expert.act(self._episode.progress, self._episode.goal)
        return action(shown.delta, shown.opening)


@pytest.mark.parametrize("name", FAMILIES)
def test_an_expert_does_through_it_what_it_does_alone(
    scene: Scene, views: Views, name: str
) -> None:
    """The numbers on the way, polarity and scale among them, mean the same as without it.

    From where the arm is it goes a little more slowly than from its last goal.
    """
    alone = show(scene, FAMILIES[name], SEED, noise=0.0)
    episode = Episode(scene, FAMILIES[name], SEED)
    expert = ByExpert(episode)
    trial, motion = play(episode, views, expert, SPECIFICATION)
    assert trial.success and alone.done
    assert 0.9 * alone.steps <= trial.steps <= 1.5 * alone.steps + 3
    assert trial.time_s == trial.steps / RATE_HZ
    assert expert.said == trial.instruction == episode.task.instruction
    assert len(motion) == trial.steps == len(expert.states)
    commands = [1.0, *(state[6] for state in expert.states[1:])]
    assert abs(trial.flips - np.count_nonzero(np.diff(commands))) <= 1  # the last one's own
    scene.reset(episode.task.layout)
    scene.show(motion[5])
    np.testing.assert_array_equal(views.image("primary"), expert.pictures[5][0])
    np.testing.assert_array_equal(views.image("wrist"), expert.pictures[5][1])


def test_one_who_does_nothing(scene: Scene, views: Views) -> None:
    """The arm stands for the whole time."""
    episode = Episode(scene, FAMILIES["touch"], SEED)
    trial, _ = play(episode, views, Idle(SPECIFICATION), SPECIFICATION)
    assert (trial.end, trial.flips, trial.collisions) == ("time", 0, 0)
    assert trial.shake < 0.05


def test_dice_shake_and_are_the_same_for_a_seed(scene: Scene, views: Views) -> None:
    """What was drawn is what is noted."""
    found = [
        play(Episode(scene, FAMILIES["drawer"], seed), views, Dice(), SPECIFICATION)[0]
        for seed in (SEED, SEED, SEED + 1)
    ]
    assert found[0] == found[1] and found[0].actions != found[2].actions
    assert found[0].shake > 1 and found[0].flips > 20


class PullsTheCable(Idle):
    """Idles until the third step, when the bus is gone."""

    def __init__(self, episode: Episode) -> None:
        super().__init__(SPECIFICATION)
        self._episode, self._steps = episode, 0

    def act(self, primary: np.ndarray, wrist: np.ndarray, state: np.ndarray) -> np.ndarray:
        """See `Idle.act`."""
        self._steps += 1
        self._episode.lock.line.gone = self._steps >= 3
        return super().act(primary, wrist, state)


def test_a_bus_that_stops_is_counted_and_explained(scene: Scene, views: Views) -> None:
    """The guardian's state ends the episode; its reason is what is noted."""
    episode = Episode(scene, FAMILIES["lift"], SEED)
    trial, _ = play(episode, views, PullsTheCable(episode), SPECIFICATION)
    assert not trial.success and trial.steps <= 6
    assert trial.end.startswith("fault: ") and len(trial.end) > 10


def test_what_is_said_can_be_something_else(scene: Scene, views: Views) -> None:
    """The trial says what was said."""
    episode = Episode(scene, FAMILIES["lift"], SEED)
    expert = ByExpert(episode)
    trial, _ = play(episode, views, expert, SPECIFICATION, "open the drawer")
    assert trial.instruction == expert.said == "open the drawer" and trial.family == "lift"
