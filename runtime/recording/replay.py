"""A recording given to a policy again: what it decides now, beside what it decided then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from dreamvla_edge.runtime.errors import RecordingError

from .frames import Image
from .recording import Recording
from .step import Float32, Observation, Step


class Chunk(Protocol):
    """What a policy decides."""

    @property
    def actions(self) -> Float32:
        """The network's numbers (P, 7)."""


class Policy(Protocol):
    """As `runtime.policy.Policy`."""

    def reset(self, instruction: str) -> None:
        """Forgets all observations and takes an instruction."""

    def observe(self, primary: Image, wrist: Image, state: Float32) -> None:
        """Takes an observation without deciding."""

    def act(
        self,
        primary: Image,
        wrist: Image,
        state: Float32,
        noise: Float32 | None = None,
    ) -> Chunk:
        """Decides."""


@dataclass(frozen=True)
class Replayed:
    """errors: of each step's chunk, the largest difference relative to the recorded chunk's
    largest magnitude; repeated: frames that had been dropped, where the one before stood in.
    """

    errors: list[float]
    repeated: int

    @property
    def worst(self) -> float:
        """The largest error; NaN counts as the largest."""
        return float(np.max(self.errors))


def replayed(recording: Recording, policy: Policy) -> Replayed:
    """Gives a policy every step with its frames, state and noise.

    Raises RecordingError if there is no step or its noise was not recorded, ObservationError if
    the policy wants other frames or states.
    """
    if not recording.steps:
        raise RecordingError(
            f"{recording.folder} holds no step", "at least one", "replay another recording"
        )
    if not any(step.chunk.size for step in recording.steps):
        raise RecordingError(
            f"{recording.folder} is a demonstration: a person chose the actions",
            "a recording of a policy",
            "record one with `dreamvla run --record`",
        )
    begins = {episode.start for episode in recording.episodes}
    errors, repeated = [], 0
    for number, step in enumerate(recording.steps):
        if number in begins:
            policy.reset(step.instruction)
        for seen in step.before:
            primary, wrist, missed = _frames(recording, seen)
            policy.observe(primary, wrist, seen.state)
            repeated += missed
        primary, wrist, missed = _frames(recording, step)
        chunk = policy.act(primary, wrist, step.state, step.noise).actions
        repeated += missed
        difference = np.abs(chunk - step.chunk).max()
        errors.append(float(difference / max(float(np.abs(step.chunk).max()), 1e-30)))
    return Replayed(errors, repeated)


def _frames(recording: Recording, seen: Step | Observation) -> tuple[Image, Image, int]:
    """Both frames, and how many of them had been dropped."""
    primary, kept = recording.frames["primary"].seen(seen.primary_s)
    wrist, kept_too = recording.frames["wrist"].seen(seen.wrist_s)
    return primary, wrist, 2 - kept - kept_too
