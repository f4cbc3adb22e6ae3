"""Causes on the side of the policy: late, inconsistent or impossible waypoints, and old frames.

Each function takes a recording with at least two steps. Pure: no clock, no output.
"""

from __future__ import annotations

import numpy as np

from dreamvla_edge.runtime.guardian.message import State

from .cause import Cause, percentile
from .recording import Recording
from .step import Float64, Step

LATE_SHARE = 0.02
RISE = 0.25
JUMP_RAD, JUMP_STEPS = 0.03, 1.5
REACH_M = 0.01
SKEW_S, AGE_S, REPEATED_SHARE = 0.05, 0.1, 0.2
SLOW = 0.95
_ENOUGH_STEPS = 50  # from which on a rise of the step time is no chance
_ROUNDING_S = 1e-6


def late(recording: Recording) -> Cause:
    """Chunks that came when the waypoints of the chunk before had run out."""
    gaps_s = np.array(
        [
            _arrival_s(new) - old.times_ns[-1] * 1e-9
            for old, new in _pairs(recording)
            if len(old.times_ns)
        ]
    )
    latency_s = [_arrival_s(step) - step.observed_s for step in recording.steps]
    starved = int(np.count_nonzero(gaps_s > _ROUNDING_S))
    share = starved / max(len(gaps_s), 1)
    worst_ms = 1e3 * float(gaps_s.max(initial=0.0))
    return Cause(
        "late chunks",
        share / LATE_SHARE,
        f"{starved} of {len(gaps_s)} chunks came after the last waypoint of the one before, the"
        f" worst {worst_ms:.0f} ms; from frame to chunk {1e3 * percentile(latency_s, 50):.0f} ms"
        f" (p95 {1e3 * percentile(latency_s, 95):.0f} ms), one period is"
        f" {1e3 / recording.header.rate_hz:.0f} ms",
        "run with the stretched time base, or make the policy faster: `dreamvla profile` shows"
        " where its time goes",
    )


def throttled(recording: Recording) -> Cause:
    """A policy that gets slower while it runs: the host is hot or busy."""
    # Until the window is full every step takes longer than the one before.
    times_s = [_duration_s(step) for step in recording.steps[len(recording.steps) // 5 :]]
    fifth = len(times_s) // 4
    first, last = percentile(times_s[:fifth], 50), percentile(times_s[-fifth:], 50)
    rise = last / first - 1 if len(recording.steps) >= _ENOUGH_STEPS and first > 0 else 0.0
    return Cause(
        "throttling",
        rise / RISE,
        f"a step of the policy takes {1e3 * first:.1f} ms at first and {1e3 * last:.1f} ms at the"
        f" end ({100 * rise:+.0f} %)",
        "look at the host's temperature, fan and power mode, and at what else runs there",
    )


def jumping(recording: Recording) -> Cause:
    """Chunks that contradict the ones before about the same moments."""
    jumps, moves = [], []
    for old, new in _pairs(recording):
        if len(old.times_ns) < 2 or not len(new.times_ns):
            continue
        moves.append(np.abs(np.diff(old.joints, axis=0)).max())
        shared = (new.times_ns >= old.times_ns[0]) & (new.times_ns <= old.times_ns[-1])
        if shared.any():
            before = _at(old, new.times_ns[shared])
            jumps.append(np.abs(new.joints[shared] - before).max(axis=0))
    by_joint = np.array(jumps).reshape(len(jumps), -1)
    largest = percentile(by_joint.max(axis=1, initial=0.0), 95)
    move = percentile(moves, 95)
    joint = ""
    if by_joint.size:
        worst = int(np.argmax(np.percentile(by_joint, 95, axis=0)))
        joint = f" (most in {recording.header.joints[worst]})"
    return Cause(
        "chunk-to-chunk jump",
        largest / max(JUMP_RAD, JUMP_STEPS * move),
        f"a new chunk moves what the old one planned for the same time by {largest:.3f} rad at"
        f" p95{joint}; one planned step turns a joint by {move:.3f} rad",
        'let chunks be averaged (`chunk = "ensemble"` in the data-set file), take more sampler'
        " steps, and check with `dreamvla replay --policy` that the policy sees what it was"
        " trained on",
    )


def unreachable(recording: Recording) -> Cause:
    """Poses that the arm cannot take."""
    error_m = percentile([step.position_error_m for step in recording.steps], 95)
    error_rad = percentile([step.orientation_error_rad for step in recording.steps], 95)
    return Cause(
        "unreachable poses",
        error_m / REACH_M,
        f"inverse kinematics leaves {1e3 * error_m:.1f} mm and {error_rad:.2f} rad at p95",
        "move the arm's base or the objects so that the task lies within reach, and check the"
        " tool point in the robot file",
    )


def old_frames(recording: Recording) -> Cause:
    """Cameras that look at different moments, at the past, or again and again at the same one."""
    primary = np.array([step.primary_s for step in recording.steps])
    wrist = np.array([step.wrist_s for step in recording.steps])
    looked = np.array([_start_s(step) for step in recording.steps])
    skew_s = percentile(np.abs(primary - wrist), 95)
    age_s = {
        "primary": percentile(looked - primary, 95),
        "wrist": percentile(looked - wrist, 95),
    }
    repeated = {
        "primary": float(np.mean(np.diff(primary) == 0)),
        "wrist": float(np.mean(np.diff(wrist) == 0)),
    }
    oldest, frozen = max(age_s, key=age_s.__getitem__), max(repeated, key=repeated.__getitem__)
    return Cause(
        "camera skew or old frames",
        max(skew_s / SKEW_S, age_s[oldest] / AGE_S, repeated[frozen] / REPEATED_SHARE),
        f"the cameras are {1e3 * skew_s:.0f} ms apart at p95; frames of {oldest} are"
        f" {1e3 * age_s[oldest]:.0f} ms old at p95; {100 * repeated[frozen]:.0f} % of the steps"
        f" saw a frame of {frozen} again",
        "give each camera its own USB controller, a lower resolution or MJPEG, and more light:"
        " a long exposure lowers the frame rate (`dreamvla camera show`)",
    )


def slowed(recording: Recording) -> Cause:
    """An arm that is slow because it was told to be."""
    steps = percentile([step.speed for step in recording.steps], 50)
    reports = recording.reports[recording.reports["state"] == State.TRACK]
    share = percentile(reports["speed"], 50) if len(reports) else 1.0
    factor = min(steps, share)
    return Cause(
        "slowed on purpose",
        SLOW / factor if 0 < factor < SLOW else 0.0,
        f"the time base runs at {steps:.2f} of the data set's speed, the velocity limits at"
        f" {share:.2f}",
        "raise `--speed` when the arm does what it should; for a stretched time base make the"
        " policy faster",
    )


def _pairs(recording: Recording) -> list[tuple[Step, Step]]:
    """Neighbours within each episode."""
    return [
        (recording.steps[i], recording.steps[i + 1])
        for episode in recording.episodes
        for i in episode[:-1]
    ]


def _arrival_s(step: Step) -> float:
    """When the waypoints of a step were ready."""
    return max((end for _, end in step.spans.values()), default=step.observed_s)


def _start_s(step: Step) -> float:
    """When the policy began with a step."""
    return step.spans.get("policy", (step.observed_s, step.observed_s))[0]


def _duration_s(step: Step) -> float:
    start, end = step.spans.get("policy", (step.observed_s, _arrival_s(step)))
    return end - start


def _at(step: Step, times_ns: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Float64:
    """Where a step's waypoints want the joints at some times: (k, n) [rad]."""
    start = step.times_ns[0]  # differences of times are small enough for a float
    known, wanted = (step.times_ns - start).astype(float), (times_ns - start).astype(float)
    return np.stack([np.interp(wanted, known, column) for column in step.joints.T], axis=-1)
