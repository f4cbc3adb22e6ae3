"""Why an arm is slow or shakes: every known cause, weighed against a recording."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from . import arm_causes, policy_causes
from .cause import Cause
from .recording import Recording

Examination = Callable[[Recording], Cause]

OF_STEPS: tuple[Examination, ...] = (
    policy_causes.late,
    policy_causes.throttled,
    policy_causes.jumping,
    policy_causes.unreachable,
    policy_causes.old_frames,
    policy_causes.slowed,
)
OF_REPORTS: tuple[Examination, ...] = (
    arm_causes.guardian_late,
    arm_causes.bus_losses,
    arm_causes.hot,
)
OF_MOTION: tuple[Examination, ...] = (
    arm_causes.clipped,
    arm_causes.held,
    arm_causes.sagging,
    arm_causes.following,
)

EXPLAINS = {
    "throttling": ("late chunks",),
    "late chunks": ("chunk-to-chunk jump", "holds"),
    "camera skew or old frames": ("holds",),
    "bus losses": ("holds",),
    "slowed on purpose": ("clipping",),
    "voltage sag": ("servos do not follow",),
}
"""A cause that was found comes before those that follow from it."""


@dataclass(frozen=True)
class Diagnosis:
    """causes: those that matter, the likeliest first; others: what was looked for in vain;
    missing: what could not be examined, and why.
    """

    causes: tuple[Cause, ...]
    others: tuple[Cause, ...]
    missing: tuple[str, ...]


def diagnose(recording: Recording) -> Diagnosis:
    """Examines a recording."""
    examinations: list[Examination] = []
    missing = []
    for needed, group, what in (
        (len(recording.steps) >= 2, OF_STEPS, "no steps: the policy's side was not examined"),
        (len(recording.reports) > 0, OF_REPORTS, "no reports of the guardian: nor the arm's side"),
        (
            len(arm_causes.moving(recording)) > 0,
            OF_MOTION,
            "the arm never followed waypoints: its motion was not examined",
        ),
    ):
        if needed:
            examinations += group
        else:
            missing.append(what)
    found = {cause.name: cause for cause in (examine(recording) for examine in examinations)}
    named = sorted(
        (cause for cause in found.values() if cause.score >= 1),
        key=lambda cause: -_weight(cause.name, found),
    )
    others = sorted((c for c in found.values() if c.score < 1), key=lambda cause: -cause.score)
    return Diagnosis(tuple(named), tuple(others), tuple(missing))


def _weight(name: str, found: Mapping[str, Cause]) -> float:
    """The score of a cause, or a little more than the weight of what follows from it."""
    effects = (_weight(effect, found) for effect in EXPLAINS.get(name, ()) if effect in found)
    return max(found[name].score, *(weight + 1e-9 for weight in effects), 0.0)
