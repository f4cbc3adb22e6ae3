"""Demonstrations as arrays that a training step can draw from."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamvla_edge.runtime.errors import RecordingError
from dreamvla_edge.runtime.preprocess import Preprocessing, square
from dreamvla_edge.runtime.recording.demonstration import Demonstration
from dreamvla_edge.runtime.recording.frames import ROLES
from dreamvla_edge.runtime.specification import Specification

from .moving import moving

AHEAD = 3
"""Dreams are of the frame so many steps later (arXiv 2507.04447, section 3.2)."""


@dataclass(frozen=True, eq=False)
class Examples:
    """n frames of several episodes, one after the other.

    images (n, 2, h, w, 3): uint8, primary and wrist, as the network sees them; states (n, 7 or
    8): raw; actions (n, 7): in the head's numbers, gripper 0 or 1; tokens (episodes, 77); first
    (episodes + 1,): where each begins, and n; moves (n, 2, N): patches in which the frame AHEAD
    steps later differs by motion, all False where there is none; dreams: by head, what it should
    see in each frame itself (n, 2, N, C); sights: what a scene knows of each frame (`scene`);
    others: what else could have been asked for (`others`): tokens (episodes, K, 77), and actions
    (n, K, 7), which say the next step alone.
    """

    images: NDArray[np.uint8]
    states: NDArray[np.float32]
    actions: NDArray[np.float32]
    tokens: NDArray[np.int32]
    first: NDArray[np.int64]
    moves: NDArray[np.bool_]
    dreams: Mapping[str, NDArray[np.float16]] = field(default_factory=dict)
    sights: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    others: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def sha256(self) -> str:
        """Of all arrays: which data a network was made from."""
        digest = hashlib.sha256()
        for name, array in self._arrays().items():
            digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def save(self, folder: Path) -> None:
        """Writes a new folder, whole or not at all, one file for each array."""
        partial = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for name, array in self._arrays().items():
            np.save(partial / f"{name}.npy", array)
        partial.rename(folder)

    @classmethod
    def load(cls, folder: Path) -> Examples:
        """What `save` wrote; arrays stay on the disk until they are looked at."""
        found: dict[str, Any] = {name: {} for name in _MAPPINGS}
        for path in folder.glob("*.npy"):
            kind, _, name = path.stem.partition("-")
            array = np.load(path, mmap_mode="r", allow_pickle=False)
            if name:
                found[kind][name] = array
            else:
                found[kind] = array
        return cls(**found)

    @staticmethod
    def join(parts: Sequence[Examples], folder: Path) -> None:
        """Saves all of several, one after the other, without holding them all in memory."""
        partial = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        arrays = [part._arrays() for part in parts]
        starts = np.cumsum([0, *(len(part) for part in parts)])
        for name, like in arrays[0].items():
            path = partial / f"{name}.npy"
            if name == "first":
                first = [a[name][:-1] + start for a, start in zip(arrays, starts, strict=False)]
                np.save(path, np.append(np.concatenate(first), starts[-1]))
                continue
            shape = (sum(len(own[name]) for own in arrays), *like.shape[1:])
            whole = np.lib.format.open_memmap(path, "w+", like.dtype, shape)
            at = 0
            for own in arrays:
                whole[at : at + len(own[name])] = own[name]
                at += len(own[name])
            whole.flush()
        partial.rename(folder)

    def _arrays(self) -> dict[str, NDArray[Any]]:
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _MAPPINGS}
        return own | {
            f"{kind}-{name}": array
            for kind in _MAPPINGS
            for name, array in sorted(getattr(self, kind).items())
        }


_MAPPINGS = ("dreams", "sights", "others")


def examples_of(
    demonstrations: Iterable[Demonstration],
    specification: Specification,
    preprocessing: Preprocessing,
    patch: int,
    tokens: Callable[[str], NDArray[np.int32]],
    window: int,
    dreams: Mapping[str, NDArray[np.float16]] | None = None,
    sights: Mapping[str, NDArray[Any]] | None = None,
    others: Mapping[str, NDArray[Any]] | None = None,
) -> Examples:
    """What a network with `patch` [pixel] and `window` steps learns from.

    tokens: of an instruction, (1, 77); dreams, sights, others: the fields, if anything is known.
    Raises RecordingError if an episode is shorter than the window, and ObservationError if frames
    are not as the specification says.
    """
    images, states, actions, rows, moves, first = [], [], [], [], [], [0]
    cameras = {camera.role: camera for camera in specification.cameras}
    for number, shown in enumerate(demonstrations):
        if len(shown) < window:
            raise RecordingError(
                f"episode {number} ({shown.task!r}) has {len(shown)} steps",
                f"at least the {window} of the network's window",
                "leave this episode out",
            )
        seen = np.stack(
            [
                [square(shown.frame(role, i), cameras[role], preprocessing) for role in ROLES]
                for i in range(len(shown))
            ]
        )
        images.append(seen)
        states.append(shown.states)
        actions.append(in_head(shown.actions))
        rows.append(tokens(shown.task)[0])
        moves.append(_moves(seen, patch))
        first.append(first[-1] + len(shown))
    return Examples(
        np.concatenate(images),
        np.concatenate(states),
        np.concatenate(actions),
        np.stack(rows),
        np.array(first),
        np.concatenate(moves),
        dreams or {},
        sights or {},
        others or {},
    )


def in_head(actions: NDArray[np.float32]) -> NDArray[np.float32]:
    """Executed actions (…, 7), gripper ±1, in the head's numbers, gripper 0 or 1."""
    return np.concatenate([actions[..., :6], actions[..., 6:] > 0], -1, dtype=np.float32)


def _moves(images: NDArray[np.uint8], patch: int) -> NDArray[np.bool_]:
    """The field `moves` of one episode's images (n, 2, h, w, 3)."""
    patches = (images.shape[2] // patch) * (images.shape[3] // patch)
    found = np.zeros((len(images), len(ROLES), patches), np.bool_)
    for i in range(len(images) - AHEAD):
        for camera, role in enumerate(ROLES):
            before, after = images[i, camera], images[i + AHEAD, camera]
            found[i, camera] = moving(before, after, patch, dilate=role == "primary")
    return found
