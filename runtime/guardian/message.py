"""The two messages of the guardian's socket, each of one fixed size and version.

A command goes to the guardian, a report comes from it after every cycle. Little-endian, packed,
one message per packet; `docs/guardian-socket.md` shows every field. Times are
CLOCK_MONOTONIC [ns]: they hold on one machine until it restarts. Values of joints that an arm
does not have are NaN. Nothing here does I/O or reads a clock.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

VERSION = 2
MAX_JOINTS = 8
MAX_WAYPOINTS = 16
_COMMAND, _REPORT = b"DVGC", b"DVGR"


class Order(enum.IntEnum):
    """What a command asks for."""

    WATCH = 0  # reports only: `arm monitor`
    DRIVE = 1  # this client is the policy; there is one
    WAYPOINTS = 2  # where to be when; only from the policy
    HOLD = 3  # forget all waypoints; more may follow
    STOP = 4  # hold, latched
    CLEAR = 5  # a person says that it is safe to go on
    LOWER = 6  # go to rest, then torque off
    END = 7  # hold, then the guardian ends and leaves torque on


class State(enum.IntEnum):
    """Where the guardian is; the machine stands in `states.py`."""

    CONNECT = 0
    IDENTIFY = 1
    READ_POSE = 2
    ENABLE = 3
    HOLD = 4
    RAMP = 5
    TRACK = 6
    STOP = 7
    LOWER = 8
    LIMP = 9
    FAULT = 10


class Limit(enum.IntEnum):
    """Which limit changed what was asked for."""

    NONE = 0
    FINITE = 1
    WORKSPACE = 2
    POSITION = 3
    VELOCITY = 4
    ACCELERATION = 5
    WINDUP = 6


COMMAND = np.dtype(
    [
        ("magic", "S4"),
        ("version", "<u2"),
        ("order", "<u2"),
        ("sequence", "<u4"),  # counts up; the report names the last one that was taken
        ("count", "<u4"),  # of waypoints
        ("observed_ns", "<i8"),  # when the cameras saw what the waypoints follow from
        ("reason", "S64"),  # why, for people: UTF-8
        (
            "waypoints",
            [("time_ns", "<i8"), ("joints", "<f8", MAX_JOINTS), ("gripper", "<f8")],
            MAX_WAYPOINTS,
        ),
    ]
)
REPORT = np.dtype(
    [
        ("magic", "S4"),
        ("version", "<u2"),
        ("state", "<u2"),
        ("cycle", "<u8"),  # counts every period since the start, missed ones too
        ("deadline_ns", "<i8"),  # when this cycle was due
        ("lateness_ns", "<i8"),  # how much later it began
        ("missed", "<u4"),  # cycles that never began, in total
        ("servos", "<u2"),  # of the arm: its joints and the gripper
        ("limit", "<u2"),  # the last limit that acted in this cycle
        ("limit_joint", "<i2"),  # which joint it acted on, or -1
        ("realtime", "<u2"),  # bit 0: SCHED_FIFO; bit 1: memory locked
        ("written", "<u2"),  # 1 if `sent` went to the servos in this cycle
        ("sequence", "<u4"),  # of the last command taken from the policy
        ("speed", "<f8"),  # share of the velocity limits in force, 0 to 1
        ("reading_ns", "<i8"),  # when `measured` was measured; 0: never
        ("sent_ns", "<i8"),  # when `sent` was about to go to the servos; 0: not in this cycle
        ("measured", "<f8", MAX_JOINTS),  # [rad]
        ("velocity", "<f8", MAX_JOINTS),  # [rad/s]
        ("asked", "<f8", MAX_JOINTS),  # where the waypoints want the arm now [rad]
        ("sent", "<f8", MAX_JOINTS),  # goal after all limits [rad]
        ("gripper", "<f8", 3),  # opening: measured, asked, sent
        ("load", "<f4", MAX_JOINTS + 1),  # share of the maximal torque; gripper at [servos - 1]
        ("current_a", "<f4", MAX_JOINTS + 1),
        ("voltage_v", "<f4", MAX_JOINTS + 1),
        ("temperature_c", "<f4", MAX_JOINTS + 1),
        ("bus_ns", "<i8"),  # duration of the bus transactions of this cycle
        ("transactions", "<u4"),  # on the bus, in total
        ("rejected", "<u4"),  # readings that were not plausible or did not come, in total
        ("reason", "S96"),  # of the state, for people: UTF-8
    ]
)
REPORT_1 = np.dtype([(name, REPORT[name]) for name in REPORT.names or () if name != "sent_ns"])


@dataclass(frozen=True, eq=False)
class Waypoint:
    """Where to be when: monotonic [ns], angles (n,) [rad], opening 0 to 1."""

    time_ns: int
    joints: NDArray[np.float64]
    gripper: float


@dataclass(frozen=True, eq=False)
class Command:
    """One command to the guardian; see `Order`."""

    order: Order
    sequence: int = 0
    observed_ns: int = 0
    waypoints: tuple[Waypoint, ...] = ()
    reason: str = ""


class MessageError(ValueError):
    """Bytes that are no message of this version."""


def encode(command: Command) -> bytes:
    """Bytes of a command. Raises ValueError for too many waypoints or joints."""
    if len(command.waypoints) > MAX_WAYPOINTS:
        raise ValueError(f"{len(command.waypoints)} waypoints; a command holds {MAX_WAYPOINTS}")
    record = np.zeros((), COMMAND)
    record["magic"], record["version"] = _COMMAND, VERSION
    record["order"], record["sequence"] = command.order, command.sequence & 0xFFFFFFFF
    record["count"], record["observed_ns"] = len(command.waypoints), command.observed_ns
    record["reason"] = text(command.reason, "reason", COMMAND)
    for i, waypoint in enumerate(command.waypoints):
        if len(waypoint.joints) > MAX_JOINTS:
            raise ValueError(f"{len(waypoint.joints)} joints; a command holds {MAX_JOINTS}")
        row = record["waypoints"][i]
        row["time_ns"], row["gripper"] = waypoint.time_ns, waypoint.gripper
        row["joints"] = np.nan
        row["joints"][: len(waypoint.joints)] = waypoint.joints
    return record.tobytes()


def decode(data: bytes, joints: int) -> Command:
    """The command in these bytes, for an arm with so many joints.

    Raises MessageError for another size, magic, version, order or count. Numbers are as they
    came, NaN included: the limits judge them.
    """
    record = _record(data, COMMAND, _COMMAND)
    if record["order"] not in Order._value2member_map_ or record["count"] > MAX_WAYPOINTS:
        raise MessageError(f"order {record['order']} with {record['count']} waypoints")
    rows = record["waypoints"][: int(record["count"])]
    return Command(
        Order(int(record["order"])),
        int(record["sequence"]),
        int(record["observed_ns"]),
        tuple(
            Waypoint(int(row["time_ns"]), row["joints"][:joints].copy(), float(row["gripper"]))
            for row in rows
        ),
        readable(record["reason"]),
    )


def decode_report(data: bytes) -> np.void:
    """The report in these bytes as a record of `REPORT`. Raises MessageError."""
    record = _record(data, REPORT, _REPORT)
    if record["state"] not in State._value2member_map_:
        raise MessageError(f"unknown state {record['state']}")
    return record


def of_version_1(data: bytes) -> bool:
    """Whether these bytes begin as a report of version 1, in which recordings may still be."""
    return data[:6] == _REPORT + (1).to_bytes(2, "little")


def from_version_1(reports: NDArray[Any]) -> NDArray[Any]:
    """Records of `REPORT_1` as records of `REPORT`: when a goal left is not known."""
    found = np.zeros(reports.shape, REPORT)
    for name in REPORT_1.names or ():
        found[name] = reports[name]
    found["version"] = VERSION
    return found


def new_report() -> NDArray[Any]:
    """An empty report (0-dimensional record) to fill: numbers of joints are NaN."""
    record: NDArray[Any] = _EMPTY.copy()
    return record


def _empty_report() -> NDArray[Any]:
    record = np.zeros((), REPORT)
    record["magic"], record["version"], record["limit_joint"] = _REPORT, VERSION, -1
    for name in ("measured", "velocity", "asked", "sent", "gripper"):
        record[name] = np.nan
    for name in ("load", "current_a", "voltage_v", "temperature_c"):
        record[name] = np.nan
    return record


_EMPTY = _empty_report()


def with_reason(report: bytes, reason: str) -> bytes:
    """The same report with another reason: the last word to a client that is refused."""
    records = np.frombuffer(report, REPORT).copy()
    records["reason"] = text(reason, "reason", REPORT)
    changed: bytes = records.tobytes()
    return changed


def text(message: str, field: str, dtype: np.dtype[Any]) -> bytes:
    """UTF-8 cut to the size of a field, never inside a character."""
    size: int = dtype[field].itemsize
    return message.encode()[:size].decode(errors="ignore").encode()


def readable(field: bytes) -> str:
    """The text in a field."""
    return bytes(field).decode(errors="replace")


def _record(data: bytes, dtype: np.dtype[Any], magic: bytes) -> np.void:
    if len(data) != dtype.itemsize:
        raise MessageError(f"{len(data)} bytes; a message has {dtype.itemsize}")
    record: np.void = np.frombuffer(data, dtype)[0]
    if record["magic"] != magic or record["version"] != VERSION:
        raise MessageError(
            f"magic {bytes(record['magic'])!r} version {record['version']}; this is {magic!r}"
            f" version {VERSION}"
        )
    return record
