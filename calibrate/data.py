"""What a bundle's policy met in the world: checked before anything is measured with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dreamvla_edge.runtime.errors import DataError, DreamvlaError
from dreamvla_edge.runtime.observation import finite, normalised
from dreamvla_edge.runtime.recording.calvin import read_calvin
from dreamvla_edge.runtime.recording.demonstration import Demonstration, demonstrations
from dreamvla_edge.runtime.recording.frames import ROLES, Image
from dreamvla_edge.runtime.recording.lerobot_reader import (
    read_lerobot,
    read_specification,
    says_what_it_means,
)
from dreamvla_edge.runtime.recording.recording import open_recording
from dreamvla_edge.runtime.specification import Specification

from . import simulators

_FAR = 20.0
"""A state so many of the network's units from 0 is in other units, or of another arm."""
_STILL = 4
"""Grey levels that noise may change."""
_CHECKED_PAIRS = 40


@dataclass(frozen=True, eq=False)
class Moment:
    """One observation as `Policy.act` takes it; first: an episode with this instruction begins."""

    instruction: str
    first: bool
    primary: Image
    wrist: Image
    state: NDArray[np.float32]


def episodes(
    path: Path, specification: Specification, instruction: str | None = None
) -> tuple[Demonstration, ...]:
    """All of a data set or of recordings: one, or a folder of them; by what lies there.

    instruction: of data that comes without. Raises DataError if there is none or its numbers mean
    something else than the bundle's, and RecordingError if one cannot be read.
    """
    found = _read(path, specification, instruction)
    if not sum(map(len, found)):
        raise DataError(
            f"nothing in {path}",
            "recordings, or a data set of LeRobot, CALVIN or LIBERO, with steps in them",
            "record some: dreamvla record, or dreamvla run --record",
        )
    return found


def _read(
    path: Path, specification: Specification, instruction: str | None
) -> tuple[Demonstration, ...]:
    if (path / "meta" / "info.json").exists():
        if says_what_it_means(path):
            _require_alike(path, read_specification(path), specification)
        return read_lerobot(path)
    if (path / "training" / "lang_annotations" / "lang_annotations.json").exists():
        return read_calvin(path)
    if frames := simulators.calvin_folder(path):
        return simulators.calvin(frames, instruction)
    if path.suffix == ".hdf5" or next(path.glob("*.hdf5"), None):
        return simulators.libero(path, specification.state.gripper == "fingers")
    folders = [path] if (path / "header.json").exists() else sorted(path.glob("*/"))
    recordings = [open_recording(f) for f in folders if (f / "header.json").exists()]
    for recording in recordings:
        _require_alike(recording.folder, recording.header.specification, specification)
    return tuple(d for recording in recordings for d in demonstrations(recording))


def moments(
    shown: Sequence[Demonstration], source: Path, specification: Specification
) -> Iterator[Moment]:
    """Every observation, checked one by one. Raises DataError with episode, frame and field."""
    for number, episode in enumerate(shown):
        for step in range(len(episode)):
            where = f"{source}, episode {number}, frame {step}"
            state = _state(episode.states[step], specification, where)
            images = [_image(episode, role, step, specification, where) for role in ROLES]
            yield Moment(episode.task, step == 0, images[0], images[1], state)


def require_plausible(shown: Sequence[Demonstration], source: Path) -> None:
    """Raises DataError if both cameras never change, or if they look swapped.

    The primary camera stands still, so that most of its picture stays as it is from frame to
    frame; the wrist's moves with the arm.
    """
    pairs = [(number, step) for number, e in enumerate(shown) for step in range(1, len(e))]
    chosen = pairs[:: max(1, len(pairs) // _CHECKED_PAIRS)]
    still: dict[str, list[float]] = {role: [] for role in ROLES}
    for number, step in chosen:
        for role in ROLES:
            before, after = (shown[number].frame(role, at) for at in (step - 1, step))
            same = np.abs(after.astype(np.int16) - before) <= _STILL
            still[role].append(float(same.all(-1).mean()))
    for role in ROLES:
        if chosen and min(still[role]) == 1.0:
            number, step = chosen[0]
            raise DataError(
                f"{source}, episode {number}, frame {step}: `{role}` is one picture all the time",
                "pictures that change while the arm moves",
                "check that camera, and record again",
            )
    if chosen and np.mean(still["primary"]) < np.mean(still["wrist"]):
        number, step = chosen[int(np.argmin(still["primary"]))]
        raise DataError(
            f"{source}, episode {number}, frame {step}: `primary` moves more than `wrist`",
            "a primary camera that stands still, and one at the wrist",
            "the cameras seem to be swapped: name them the other way round and record again",
        )


def _require_alike(source: Path, found: Specification, wanted: Specification) -> None:
    if found.state == wanted.state and found.cameras == wanted.cameras:
        return
    field = "cameras" if found.state == wanted.state else "state"
    raise DataError(
        f"{source}: the field `{field}` is that of {found.name!r}",
        f"{field} as the bundle has it, of {wanted.name!r}",
        "give data of the arm and the cameras that the bundle was trained for",
    )


def _state(
    state: NDArray[np.float32], specification: Specification, where: str
) -> NDArray[np.float32]:
    try:
        checked = finite(state, (specification.state.size,), "state", "the bundle's state")
    except DreamvlaError as error:
        raise DataError(f"{where}: field `state`: {error.found}", error.expected, _AGAIN) from None
    far = np.abs(normalised(checked, specification.state)).max()
    if far > _FAR:
        raise DataError(
            f"{where}: field `state` is {far:.3g} in the network's units",
            f"at most {_FAR:g}",
            "its units or its layout are another arm's: give data of this arm",
        )
    return checked


def _image(
    episode: Demonstration, role: str, step: int, specification: Specification, where: str
) -> Image:
    image = episode.frame(role, step)  # type: ignore[arg-type]
    (camera,) = (c for c in specification.cameras if c.role == role)
    shape = (camera.height, camera.width, 3)
    if image.shape != shape or image.dtype != np.uint8:
        raise DataError(
            f"{where}: field `{role}` is {image.dtype} of shape {image.shape}",
            f"uint8 of shape {shape}",
            _AGAIN,
        )
    return image


_AGAIN = "leave this episode out, or record it again"
