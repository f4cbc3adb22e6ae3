"""Causes on the side of the guardian, the bus and the servos.

Each function takes a recording with at least one report of a moving arm. Pure: no clock.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamvla_edge.runtime.guardian.message import Limit, State, readable

from .cause import Cause, percentile
from .recording import Recording

CLIPPED_SHARE = 0.05
HELD_SHARE = 0.05
SAG = 0.10
FOLLOWING_RAD = 0.2
HOT_C, HOT_STEP_C = 60.0, 5.0
LATENESS_S, MISSED_SHARE = 0.002, 0.005
REJECTED_SHARE = 0.01

_CURES = {
    Limit.FINITE: "the policy predicted NaN: run `dreamvla verify` on the bundle",
    Limit.WORKSPACE: "move the task into the workspace of the robot file, or enlarge it",
    Limit.POSITION: "turn the arm's base or move the task away from the end of this joint's range;"
    " check its calibration",
    Limit.VELOCITY: "raise `max_speed_rad_s` of this joint if the arm may be that fast, or stretch"
    " the time base",
    Limit.ACCELERATION: "raise the acceleration limit of this joint if the arm may be that abrupt",
    Limit.WINDUP: "the joint does not follow: look for a collision, a heavy load or a weak supply",
}


def moving(recording: Recording) -> NDArray[Any]:
    """The reports of cycles in which the guardian followed waypoints."""
    reports: NDArray[Any] = recording.reports[recording.reports["state"] == State.TRACK]
    return reports


def clipped(recording: Recording) -> Cause:
    """Goals that the limits changed, by joint."""
    reports = moving(recording)
    acted = reports[reports["limit"] != Limit.NONE]
    counts = Counter(zip(acted["limit_joint"].tolist(), acted["limit"].tolist(), strict=True))
    names = {-1: "the arm", **dict(enumerate(recording.header.joints))}
    listed = [
        f"{names.get(joint, 'gripper')} {Limit(limit).name.lower()}"
        f" {100 * count / len(reports):.0f} %"
        for (joint, limit), count in counts.most_common(3)
    ]
    worst = counts.most_common(1)
    share = worst[0][1] / len(reports) if worst else 0.0
    cure = _CURES[Limit(worst[0][0][1])] if worst else ""
    return Cause(
        "clipping",
        share / CLIPPED_SHARE,
        f"of {len(reports)} cycles limits changed the goal in: {', '.join(listed) or 'none'}",
        cure,
    )


def held(recording: Recording) -> Cause:
    """An arm that stood still between its motions."""
    reports = recording.reports
    driven = np.flatnonzero(np.isin(reports["state"], (State.RAMP, State.TRACK)))
    span = reports[driven[0] : driven[-1] + 1]
    still = span["state"] == State.HOLD
    begins = np.flatnonzero(still[1:] & ~still[:-1]) + 1
    reasons = Counter(readable(span["reason"][i]).partition(":")[0] for i in begins)
    listed = ", ".join(f"{reason or 'no reason'} ({n})" for reason, n in reasons.most_common(3))
    share = float(still.mean())
    return Cause(
        "holds",
        share / HELD_SHARE,
        f"the guardian held the arm {len(begins)} times, {100 * share:.0f} % of the time between"
        f" its first and last motion: {listed or 'never'}",
        "remove what the reasons name: a camera (`dreamvla camera show`), or a policy whose"
        " waypoints run out",
    )


def sagging(recording: Recording) -> Cause:
    """A supply that gives way under load."""
    reports = moving(recording)
    lowest_v = _extreme(reports["voltage_v"], np.nanmin)
    load = _extreme(np.abs(reports["load"]), np.nanmax)
    normal_v, low_v = percentile(lowest_v, 95), percentile(lowest_v, 1)
    sag = 1 - low_v / normal_v if normal_v > 0 else 0.0
    below = lowest_v < (normal_v + low_v) / 2
    return Cause(
        "voltage sag",
        sag / SAG,
        f"the lowest servo falls from {normal_v:.1f} V to {low_v:.1f} V ({100 * sag:.0f} %) while"
        f" the largest load is {100 * percentile(load[below], 50):.0f} %; otherwise it is"
        f" {100 * percentile(load[~below], 50):.0f} %",
        "use a supply with more current (2.7 A per stalled STS3215), thicker or second feed wires",
    )


def following(recording: Recording) -> Cause:
    """Servos that stay behind what is sent to them."""
    reports = moving(recording)
    joints = recording.header.joints
    errors = np.abs(reports["sent"] - reports["measured"])[:, : len(joints)]
    by_joint = [percentile(column, 95) for column in errors.T]
    worst = int(np.argmax(by_joint))
    return Cause(
        "servos do not follow",
        by_joint[worst] / FOLLOWING_RAD,
        f"{joints[worst]} is {by_joint[worst]:.3f} rad from what was sent at p95",
        "look for friction, a loose horn or a heavy load on this joint; compare its gains with"
        " the others' (`dreamvla arm monitor`)",
    )


def hot(recording: Recording) -> Cause:
    """Servos near the temperature at which they switch off."""
    temperature = recording.reports["temperature_c"]
    hottest_c = percentile(_extreme(temperature, np.nanmax), 99)
    return Cause(
        "hot servos",
        max(0.0, 1 + (hottest_c - HOT_C) / HOT_STEP_C),
        f"the hottest servo reaches {hottest_c:.0f} °C",
        "let it cool, then carry less or pause more; look for a servo that pushes against its"
        " end or another",
    )


def guardian_late(recording: Recording) -> Cause:
    """A guardian that the host does not let run in time."""
    reports = recording.reports
    lateness_s = percentile(reports["lateness_ns"], 99) * 1e-9
    missed = int(reports["missed"][-1] - reports["missed"][0])
    cycles = int(reports["cycle"][-1] - reports["cycle"][0]) + 1
    granted = "granted" if reports["realtime"][-1] & 1 else "not granted"
    return Cause(
        "guardian lateness",
        max(lateness_s / LATENESS_S, missed / cycles / MISSED_SHARE),
        f"cycles begin {1e3 * lateness_s:.2f} ms late at p99 and {missed} of {cycles} never began;"
        f" real-time scheduling is {granted}",
        "allow real-time scheduling (`dreamvla robot check` says how) and leave one core to it",
    )


def bus_losses(recording: Recording) -> Cause:
    """Readings that did not come or were not plausible."""
    reports = recording.reports
    rejected = int(reports["rejected"][-1] - reports["rejected"][0])
    cycles = int(reports["cycle"][-1] - reports["cycle"][0]) + 1
    return Cause(
        "bus losses",
        rejected / cycles / REJECTED_SHARE,
        f"{rejected} readings in {cycles} cycles did not come or were not plausible; a cycle's"
        f" transactions take {percentile(reports['bus_ns'], 95) * 1e-6:.1f} ms at p95",
        "check the servo cables and plugs, the adapter and its USB cable, and the supply",
    )


def _extreme(values: NDArray[Any], of: Any) -> NDArray[np.float64]:
    """Over the servos of every report; NaN where none is known."""
    known = np.isfinite(values).any(axis=1)
    found = np.full(len(values), np.nan)
    found[known] = of(values[known], axis=1)
    return found
