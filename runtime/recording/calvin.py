"""CALVIN's folder layout: one npz file per step, indices of the episodes, language annotations.

The layout is that of mees/calvin, `dataset/README.md`. Beside CALVIN's own keys every file holds
`state` and `action` as they were recorded, whatever their specification. Without scene there is
no `scene_obs`, and without CALVIN's language model no `emb`. CALVIN's tools read the annotations
from a pickle, which is written for them; our reader takes the same from `lang_annotations.json`
and never unpickles.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamvla_edge.runtime.arms.kinematics import Chain, chain_of, forward
from dreamvla_edge.runtime.errors import RecordingError
from dreamvla_edge.runtime.motion import gripper_opening
from dreamvla_edge.runtime.rotation import euler_from_matrix
from dreamvla_edge.runtime.specification import ActionSpecification

from .demonstration import Demonstration, demonstrations, require_alike
from .frames import Image, Role
from .recording import Recording
from .step import Float64, Step

_FRAMES: Mapping[Role, str] = {"primary": "rgb_static", "wrist": "rgb_gripper"}
_ARM_JOINTS = 7
_LIMITS = np.array([0.02] * 3 + [0.05] * 3)
"""What rel_actions of ±1 mean [m, rad] (calvin_env, `to_relative_action`)."""

_ANNOTATIONS = "lang_annotations"
_EPISODE = "episode_{:07d}.npz"
_BOUNDS = "ep_start_end_ids.npy"


def write_calvin(recordings: Sequence[Recording], output: Path) -> int:
    """Writes the episodes of all recordings to `output`/training; the number of episodes.

    output: an empty folder. rel_actions are the recorded actions where the specification is
    CALVIN's own, else CALVIN's formula from poses. Raises RecordingError.
    """
    require_alike(recordings)
    folder = output / "training"
    (folder / _ANNOTATIONS).mkdir(parents=True)
    number, bounds, tasks = 0, [], []
    for recording in recordings:
        for episode, demonstration in zip(
            recording.episodes, demonstrations(recording), strict=True
        ):
            bounds.append((number, number + len(episode) - 1))
            tasks.append(demonstration.task)
            for i, index in enumerate(episode):
                arrays: dict[str, Any] = dict(_numbers(recording, recording.steps[index]))
                arrays |= {name: demonstration.frame(role, i) for role, name in _FRAMES.items()}
                np.savez_compressed(folder / _EPISODE.format(number), **arrays)
                number += 1
    np.save(folder / _BOUNDS, np.array(bounds, np.int64))
    annotations: dict[str, Any] = {
        "language": {"ann": tasks, "task": [task.replace(" ", "_") for task in tasks]},
        "info": {"indx": bounds, "episodes": []},
    }
    np.save(folder / _ANNOTATIONS / "auto_lang_ann.npy", annotations, allow_pickle=True)  # type: ignore[arg-type]
    (folder / _ANNOTATIONS / "lang_annotations.json").write_text(json.dumps(annotations, indent=1))
    return len(bounds)


def read_calvin(folder: Path) -> tuple[Demonstration, ...]:
    """The episodes that `write_calvin` wrote. Raises RecordingError."""
    training = folder / "training"
    try:
        text = (training / _ANNOTATIONS / "lang_annotations.json").read_text()
        annotations = json.loads(text)
        bounds = np.load(training / _BOUNDS, allow_pickle=False).tolist()
        tasks = {
            tuple(place): task
            for place, task in zip(
                annotations["info"]["indx"], annotations["language"]["ann"], strict=True
            )
        }
        return tuple(_episode(training, first, last, tasks[first, last]) for first, last in bounds)
    except (OSError, KeyError, ValueError) as error:
        raise RecordingError(
            f"{folder} cannot be read ({error})",
            "CALVIN's layout as dreamvla-edge writes it, with lang_annotations.json",
            "make one with `dreamvla record export RECORDING --format calvin -o FOLDER`",
        ) from error


def _episode(folder: Path, first: int, last: int, task: str) -> Demonstration:
    def column(name: str) -> NDArray[np.float32]:
        return np.stack([_load(folder, i, name) for i in range(first, last + 1)])

    def frame(role: Role, index: int) -> Image:
        return _load(folder, first + index, _FRAMES[role])

    return Demonstration(task, column("state"), column("action"), frame)


def _load(folder: Path, number: int, name: str) -> NDArray[Any]:
    with np.load(folder / _EPISODE.format(number), allow_pickle=False) as file:
        array: NDArray[Any] = file[name]
        return array


def _numbers(recording: Recording, step: Step) -> dict[str, NDArray[Any]]:
    """CALVIN's arrays of one step, and the recorded ones."""
    header = recording.header
    specification, chain = header.specification, chain_of(header.arm)
    joints, opening = _measured(recording, step)
    pose = _pose(chain, joints)
    action = specification.action
    polarity = 2 * gripper_opening(action.gripper, 1.0) - 1  # CALVIN's +1 is open
    command = polarity * float(step.action[6])
    names = [dimension.name for dimension in specification.state.dimensions]
    if names == ["x", "y", "z", "roll", "pitch", "yaw"]:
        pose = step.state[:6].astype(np.float64)
    padded = np.zeros(_ARM_JOINTS)
    padded[: len(joints)] = joints[:_ARM_JOINTS]
    commanded = specification.state.gripper == "command"
    last = polarity * float(step.state[6]) if commanded else command
    width = 2 * header.arm.gripper.finger_travel_m * opening
    target = _pose(chain, step.joints[0]) if len(step.joints) else pose
    if _is_calvins(action):
        relative = step.action
    else:
        difference = target - pose
        difference[3:] = (difference[3:] + np.pi) % (2 * np.pi) - np.pi
        relative = np.append(np.clip(difference / _LIMITS, -1, 1), command).astype(np.float32)
    return {
        "robot_obs": np.array([*pose, width, *padded, last]),
        "actions": np.append(target, command),
        "rel_actions": relative,
        "state": step.state,
        "action": step.action,
    }


def _measured(recording: Recording, step: Step) -> tuple[Float64, float]:
    """Joints (n,) [rad] and opening that the guardian measured last before a step; else NaN."""
    count = len(recording.header.joints)
    reports = recording.reports
    after = int(np.searchsorted(reports["reading_ns"], round(step.observed_s * 1e9), side="right"))
    if after == 0:
        return np.full(count, np.nan), float("nan")
    report = reports[after - 1]
    return np.array(report["measured"][:count]), float(report["gripper"][0])


def _pose(chain: Chain, joints: Float64) -> Float64:
    """Position [m] and fixed-axis angles [rad] (6,) of the tool."""
    pose = forward(chain, joints)
    return np.concatenate([pose.position, euler_from_matrix(pose.rotation)])


def _is_calvins(action: ActionSpecification) -> bool:
    scales = np.array([dimension.scale for dimension in action.dimensions])
    return (
        action.kind == "delta_pose"
        and action.frame == "world"
        and action.rotation == "euler_add"
        and not any(dimension.offset for dimension in action.dimensions)
        and np.array_equal(scales, _LIMITS)
        and gripper_opening(action.gripper, 1.0) == 1.0
    )
