"""One cycle of the guardian as a message."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dreamvla_edge.runtime.arms.arm import ArmReading, ServoReading

from .limits import Acted, Motion, Target
from .message import REPORT, Limit, State, new_report, text

# Which of several limits that acted is worth a person's attention: the rarest first.
_TELLING = (
    Limit.FINITE,
    Limit.WORKSPACE,
    Limit.POSITION,
    Limit.WINDUP,
    Limit.VELOCITY,
    Limit.ACCELERATION,
)
_SERVO_VALUES: tuple[tuple[str, Callable[[ServoReading], float]], ...] = (
    ("load", lambda servo: servo.load),
    ("current_a", lambda servo: servo.current_a),
    ("voltage_v", lambda servo: servo.voltage_v),
    ("temperature_c", lambda servo: servo.temperature_c),
)


@dataclass(frozen=True, eq=False)
class Cycle:
    """What happened in one cycle; times [s, monotonic], see `message.REPORT`."""

    number: int
    missed: int
    deadline_s: float
    lateness_s: float
    state: State
    reason: str
    reading: ArmReading | None
    motion: Motion
    asked: Target | None
    acted: tuple[Acted, ...]
    written: bool
    sent_ns: int
    speed: float
    realtime: int
    sequence: int
    transactions: int
    rejected: int
    bus_ns: int


def report(cycle: Cycle) -> bytes:
    """The message that tells of a cycle."""
    record = new_report()
    record["state"], record["cycle"] = cycle.state, cycle.number
    record["deadline_ns"] = round(cycle.deadline_s * 1e9)
    record["lateness_ns"] = round(cycle.lateness_s * 1e9)
    record["missed"], record["sequence"] = cycle.missed, cycle.sequence & 0xFFFFFFFF
    record["realtime"], record["written"] = cycle.realtime, cycle.written
    record["speed"], record["reason"] = cycle.speed, text(cycle.reason, "reason", REPORT)
    record["transactions"], record["rejected"] = cycle.transactions, cycle.rejected
    record["bus_ns"], record["sent_ns"] = cycle.bus_ns, cycle.sent_ns
    record["servos"] = (joints := len(cycle.motion.position)) + 1
    record["sent"][:joints] = cycle.motion.position
    record["gripper"][2] = cycle.motion.gripper
    if cycle.asked is not None:
        record["asked"][:joints] = cycle.asked.joints
        record["gripper"][1] = cycle.asked.gripper
    if cycle.reading is not None:
        _tell_reading(record, cycle.reading)
    if cycle.acted:
        telling = min(cycle.acted, key=lambda entry: _TELLING.index(entry.limit))
        record["limit"], record["limit_joint"] = telling
    return record.tobytes()


def reading_of(record: Any) -> ArmReading:
    """What was measured, from a report; without the names of faults, which a report lacks."""
    servos = int(record["servos"])
    return ArmReading(
        joints=record["measured"][: servos - 1].copy(),
        velocity=record["velocity"][: servos - 1].copy(),
        gripper=float(record["gripper"][0]),
        stamp_s=int(record["reading_ns"]) / 1e9,
        servos=tuple(
            ServoReading(
                load=float(record["load"][servo]),
                current_a=float(record["current_a"][servo]),
                voltage_v=float(record["voltage_v"][servo]),
                temperature_c=float(record["temperature_c"][servo]),
            )
            for servo in range(servos)
        ),
    )


def _tell_reading(record: np.ndarray[tuple[()], np.dtype[np.void]], reading: ArmReading) -> None:
    record["reading_ns"] = round(reading.stamp_s * 1e9)
    joints = len(reading.joints)
    record["measured"][:joints], record["velocity"][:joints] = reading.joints, reading.velocity
    record["gripper"][0] = reading.gripper
    for name, value in _SERVO_VALUES:
        record[name][: len(reading.servos)] = [value(servo) for servo in reading.servos]
