"""One episode of one policy."""

from __future__ import annotations

import hashlib
from typing import NamedTuple, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from dreamvla_edge.runtime import motion
from dreamvla_edge.runtime.arms.kinematics import chain_of, forward
from dreamvla_edge.runtime.motion import gripper_command, gripper_opening, state_vector
from dreamvla_edge.runtime.rotation import Array
from dreamvla_edge.runtime.specification import Specification
from dreamvla_edge.sim.episode import RATE_HZ, STEPS, Episode
from dreamvla_edge.sim.scene.views import Views

Frame = NDArray[np.uint8]


class Actor(Protocol):
    """Something that is told what to do, sees, and acts."""

    def begin(self, instruction: str, seed: int) -> None:
        """A new episode; seed: of all that it draws there."""

    def act(self, primary: Frame, wrist: Frame, state: NDArray[np.float32]) -> NDArray[np.float32]:
        """The executed action (7,), gripper ±1, for raw frames and state."""


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """How an episode went.

    end: "done", "time" when it was not by then, or the guardian's state and reason; steps: of the
    policy; flips: changes of the gripper's command; shake: root mean square of the joints'
    acceleration [rad/s²]; collisions: steps in which the arm touched table, bowl or chest;
    actions: sha256 of all actions; rate_hz: steps a second.
    """

    family: str
    seed: int
    instruction: str
    end: str
    steps: int
    flips: int
    shake: float
    collisions: int
    actions: str
    rate_hz: float = RATE_HZ

    @property
    def success(self) -> bool:
        """Whether the task was done."""
        return self.end == "done"

    @property
    def time_s(self) -> float:
        """How long it took in the scene's time."""
        return self.steps / self.rate_hz


class Played(NamedTuple):
    """A trial, and its motion: of the scene as `Scene.show` takes it (steps, …).

    Where the world cannot be drawn again: pictures of both cameras (steps, h, 2 w, 3), uint8.
    """

    trial: Trial
    motion: Array


def play(
    episode: Episode,
    views: Views,
    actor: Actor,
    specification: Specification,
    instruction: str | None = None,
) -> Played:
    """An episode to its end.

    specification: of what the actor's numbers mean; instruction: said instead of the task's own.
    The arm is driven as in life: steps as waypoints to the guardian, bytes from there.
    """
    description = episode.scene.description
    chain = chain_of(description)
    motion.require_fit(specification, chain)
    action, said = specification.action, instruction or episode.task.instruction
    actor.begin(said, episode.seed)
    # The gripper's is open when an episode begins; goals are added up from where it began.
    command = gripper_command(action.gripper, 1.0)
    goal = motion.Goal(forward(chain, episode.goal), episode.goal, 1.0)
    actions, commands, joints, seen, collisions = [], [command], [], [], 0
    while not episode.done and episode.steps < STEPS and episode.is_driven:
        reading = episode.lock.reading()
        state = state_vector(specification.state, description, chain, reading, command)
        done = actor.act(views.image("primary"), views.image("wrist"), state)
        anchor = goal if action.anchor == "target" else motion.measured(chain, reading)
        goal = motion.advance(action, chain, done, anchor)
        seen.append(episode.scene.data.qpos.copy())
        joints.append(reading.joints)
        episode.step(goal.joints, gripper_opening(action.gripper, float(done[6])))
        command = float(done[6])
        actions.append(done)
        commands.append(command)
        collisions += episode.scene.bumps
    trial = Trial(
        family=episode.task.family.name,
        seed=episode.seed,
        instruction=said,
        end=_end(episode),
        steps=episode.steps,
        flips=int(np.count_nonzero(np.diff(commands))),
        shake=_shake(np.array(joints)),
        collisions=collisions,
        actions=hashlib.sha256(np.array(actions, "<f4").tobytes()).hexdigest(),
    )
    return Played(trial, np.array(seen))


def _end(episode: Episode) -> str:
    if episode.done:
        return "done"
    if episode.is_driven:
        return "time"
    return f"{episode.lock.state.name.lower()}: {episode.lock.reason}"


def _shake(joints: Array) -> float:
    if len(joints) < 3:
        return 0.0
    return float(np.sqrt(np.mean((np.diff(joints, 2, axis=0) * RATE_HZ**2) ** 2)))
