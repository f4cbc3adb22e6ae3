"""One episode as training sees it, whatever folder it comes from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from dreamvla_edge.runtime.errors import RecordingError

from .frames import Image, Role
from .recording import Recording
from .step import Float32


@dataclass(frozen=True, eq=False)
class Demonstration:
    """n steps of one task.

    states (n, 7) or (n, 8): raw, as `Policy.act` takes them; actions (n, 7): executed, in the
    network's numbers, gripper ±1; frame(role, i): the image (height, width, 3) of step i;
    repeated: how many of the 2 n frames were dropped while recording and are the frame before.
    """

    task: str
    states: Float32
    actions: Float32
    frame: Callable[[Role, int], Image]
    repeated: int = 0

    def __len__(self) -> int:
        return len(self.states)


def demonstrations(recording: Recording) -> tuple[Demonstration, ...]:
    """The episodes of a recording. Raises RecordingError if it has none."""
    if not recording.steps:
        raise RecordingError(
            f"{recording.folder} holds no step",
            "at least one decision of a policy or a person",
            "leave this recording out",
        )
    return tuple(_demonstration(recording, episode) for episode in recording.episodes)


def require_alike(recordings: Sequence[Recording]) -> None:
    """Raises RecordingError unless numbers and rates mean the same in all recordings."""
    first = recordings[0].header
    for recording in recordings[1:]:
        header = recording.header
        if (header.specification, header.rate_hz, header.joints) != (
            first.specification,
            first.rate_hz,
            first.joints,
        ):
            raise RecordingError(
                f"{recording.folder} was recorded with {header.specification.name!r} at"
                f" {header.rate_hz:g} Hz on {', '.join(header.joints)}",
                f"as in {recordings[0].folder}: {first.specification.name!r}, {first.rate_hz:g} Hz,"
                f" {', '.join(first.joints)}, and equal specifications",
                "export it as a data set of its own",
            )


def _demonstration(recording: Recording, episode: range) -> Demonstration:
    steps = [recording.steps[i] for i in episode]
    stamps = {
        role: [step.primary_s if role == "primary" else step.wrist_s for step in steps]
        for role in recording.frames
    }

    def frame(role: Role, index: int) -> Image:
        return recording.frames[role].seen(stamps[role][index])[0]

    return Demonstration(
        steps[0].instruction,
        np.stack([step.state for step in steps]),
        np.stack([step.action for step in steps]),
        frame,
        sum(
            int(np.count_nonzero(~np.isin(stamps[role], frames.stamps_s)))
            for role, frames in recording.frames.items()
        ),
    )
