"""What CALVIN and LIBERO distribute, as demonstrations: for calibration, not for training.

Only what a policy is shown is read. CALVIN keeps its language in a pickle, which is never opened:
the instruction is given instead.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dreamvla_edge.runtime.errors import DataError
from dreamvla_edge.runtime.recording.demonstration import Demonstration
from dreamvla_edge.runtime.recording.frames import Image, Role
from dreamvla_edge.runtime.rotation import euler_from_matrix, matrix_from_axis_angle

_EPISODE = "episode_{:07d}.npz"
_BOUNDS = "ep_start_end_ids.npy"
_CALVIN: dict[Role, str] = {"primary": "rgb_static", "wrist": "rgb_gripper"}
_LIBERO: dict[Role, str] = {"primary": "agentview_rgb", "wrist": "eye_in_hand_rgb"}
_STEPS = 64
"""CALVIN's sequences are thousands of frames of play; so many of each are one episode."""


def calvin_folder(path: Path) -> Path | None:
    """Where CALVIN's frames lie in a folder: there, or in its `training` or `validation`."""
    places = (path, path / "training", path / "validation")
    return next((place for place in places if (place / _BOUNDS).exists()), None)


def calvin(folder: Path, instruction: str | None) -> tuple[Demonstration, ...]:
    """The beginning of every sequence in a folder of frames.

    State: `robot_obs` 0 to 5 and the last one, which is the gripper's command. Raises DataError
    without an instruction, and if a file lacks what it should hold.
    """
    if not instruction:
        raise DataError(
            f"{folder} keeps its instructions in a pickle",
            "what the arm was told, in words",
            'give it with --instruction "…": an ordinary task of that data',
        )
    bounds = np.load(folder / _BOUNDS, allow_pickle=False)
    return tuple(
        _sequence(folder, range(int(first), min(int(first) + _STEPS, int(last) + 1)), instruction)
        for first, last in bounds
    )


def _sequence(folder: Path, numbers: Sequence[int], instruction: str) -> Demonstration:
    def load(number: int, name: str) -> NDArray[np.generic]:
        path = folder / _EPISODE.format(number)
        try:
            with np.load(path, allow_pickle=False) as file:
                found: NDArray[np.generic] = file[name]
                return found
        except (OSError, KeyError, ValueError) as error:
            raise DataError(
                f"{path}: field `{name}` cannot be read ({error})",
                "a frame of CALVIN",
                "leave this sequence out, or copy the data set again",
            ) from None

    def frame(role: Role, index: int) -> Image:
        image: Image = load(numbers[index], _CALVIN[role]).astype(np.uint8)
        return image

    seen = np.stack([load(n, "robot_obs") for n in numbers]).astype(np.float32)
    states = np.concatenate([seen[:, :6], seen[:, -1:]], 1)
    return Demonstration(instruction, states, np.zeros((len(states), 7), np.float32), frame)


def libero(path: Path, fingers: bool) -> tuple[Demonstration, ...]:
    """All demonstrations of a file, or of all files in a folder.

    State: position, orientation as roll, pitch and yaw, and both fingers or the gripper's last
    command. Raises DataError if a file is none of LIBERO's.
    """
    files = [path] if path.is_file() else sorted(path.glob("*.hdf5"))
    return tuple(one for file in files for one in _file(file, fingers))


def _file(path: Path, fingers: bool) -> list[Demonstration]:
    import h5py

    try:
        with h5py.File(path) as file:
            data = file["data"]
            told = json.loads(data.attrs["problem_info"])["language_instruction"]
            instruction = " ".join(told) if isinstance(told, list) else str(told)
            names = sorted(data, key=lambda name: int(name.rpartition("_")[2]))
            return [_demonstration(path, data[name], instruction, fingers) for name in names]
    except (OSError, KeyError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read ({error})",
            "an HDF5 file of LIBERO, with data/demo_0 and its `problem_info`",
            "leave this file out, or download it again",
        ) from None


def _demonstration(path: Path, demo: object, instruction: str, fingers: bool) -> Demonstration:
    seen = demo["obs"]  # type: ignore[index]
    turned = [euler_from_matrix(matrix_from_axis_angle(v)) for v in np.asarray(seen["ee_ori"])]
    actions = np.asarray(demo["actions"], np.float32)  # type: ignore[index]
    before = np.concatenate([[-1.0], np.where(actions[:-1, 6] > 0, 1.0, -1.0)])
    gripper = np.asarray(seen["gripper_states"]) if fingers else before[:, None]
    states = np.concatenate([np.asarray(seen["ee_pos"]), turned, gripper], 1).astype(np.float32)
    images = {role: np.asarray(seen[name], np.uint8) for role, name in _LIBERO.items()}
    return Demonstration(instruction, states, actions, lambda role, index: images[role][index])
