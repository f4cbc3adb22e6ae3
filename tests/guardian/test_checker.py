"""The checker finds every kind of forbidden write, and nothing in a log without one."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from guardian.checker import violations

SERVOS = (1, 2)
BOUNDS = {servo: (1000.0, 3000.0, 6.5, 2.0, 0.5) for servo in SERVOS}
START = 2000
Writes = list[tuple[int, int, bytes]]  # servo, address, data; goals of both servos come together


def outside_m(goals: dict[int, int]) -> float:
    """The box ends where servo 1 is at step 2800, 1 mm a step."""
    return max(0.0, (goals[1] - 2800) / 1000)


def packet(protocol: str, code: int, servo: int, parameters: bytes) -> bytes:
    """An instruction, made here: no codec of the product is trusted."""
    if protocol == "feetech":
        body = bytes([servo, len(parameters) + 2, code]) + parameters
        return b"\xff\xff" + body + bytes([~sum(body) & 255])
    body = bytes([servo]) + (len(parameters) + 3).to_bytes(2, "little") + bytes([code])
    return b"\xff\xff\xfd\0" + body + parameters + b"??"


def sync_write(protocol: str, address: int, data: dict[int, bytes]) -> bytes:
    """A SYNC_WRITE."""
    width = 1 if protocol == "feetech" else 2
    size = len(next(iter(data.values())))
    head = address.to_bytes(width, "little") + size.to_bytes(width, "little")
    parts = b"".join(bytes([servo]) + part for servo, part in data.items())
    return packet(protocol, 0x83, 0xFE, head + parts)


class Log:
    """A log in the making; the arm is always where it is sent."""

    def __init__(self, protocol: str) -> None:
        self.protocol, self.lines = protocol, [{"ns": 0, "start": {"protocol": protocol}}]
        self.torque, self.goal = (40, 42) if protocol == "feetech" else (64, 116)
        self.present(START)

    def present(self, step: float) -> None:
        """Where both servos are."""
        place = [step * math.tau / 4096, 0.0]
        self.lines.append({"ns": 0, "motion": {str(servo): place for servo in SERVOS}})

    def send(self, data: bytes) -> None:
        """Bytes, cut in two as a terminal may cut them."""
        for part in (data[:5], data[5:]):
            self.lines.append({"ns": 0, "rx": part.hex()})

    def go(self, *steps: int) -> None:
        """Goals of both servos, one a cycle."""
        size = 2 if self.protocol == "feetech" else 4
        for step in steps:
            goal = step.to_bytes(size, "little", signed=size == 4)
            self.send(sync_write(self.protocol, self.goal, dict.fromkeys(SERVOS, goal)))

    def enable(self, step: int = START) -> None:
        """Goal := present, torque on."""
        self.go(step)
        self.send(sync_write(self.protocol, self.torque, dict.fromkeys(SERVOS, b"\1")))

    def check(self, folder: Path) -> list[str]:
        """What the checker says."""
        path = folder / "log"
        path.write_text("".join(json.dumps(line) + "\n" for line in self.lines))
        return violations(path, BOUNDS, outside_m)


@pytest.fixture(params=["feetech", "dynamixel"])
def log(request: pytest.FixtureRequest) -> Iterator[Log]:
    """Of an arm whose torque is on."""
    log = Log(request.param)
    log.enable()
    yield log


def ramp(start: int, stop: int, most: int = 6) -> list[int]:
    """Goals from stand to stand: speed rises and falls by one step per cycle each cycle."""
    goals, place, speed = [], start, 0
    sign = 1 if stop > start else -1
    while place != stop:
        left = abs(stop - place)
        speed = min(speed + 1, most, max(1, int(math.sqrt(2 * left))))
        place += sign * min(speed, left)
        goals.append(place)
    return goals


def test_a_good_log_passes(log: Log, tmp_path: Path) -> None:
    """Motion at the limits, reads and a second start elsewhere are all right."""
    log.go(*ramp(START, 2700), *ramp(2700, 2000))
    width = 1 if log.protocol == "feetech" else 2
    log.send(packet(log.protocol, 0x82, 0xFE, bytes(2 * width) + bytes(SERVOS)))
    log.send(packet(log.protocol, 1, 1, b""))
    log.present(1500)
    log.enable(1500)
    log.go(*ramp(1500, 1600))
    assert log.check(tmp_path) == []


PLANTED: dict[str, Callable[[Log], None]] = {
    "goes out": lambda log: log.go(*ramp(START, 995)),
    "steps in 1 cycles": lambda log: log.go(*ramp(START, 2100), 2120),
    "steps in 10 cycles": lambda log: log.go(*ramp(START, 2500, most=7)),
    "more than before": lambda log: log.go(*ramp(START, 2500)[:20], *[ramp(START, 2500)[19]] * 20),
    "servo 0: goes out": lambda log: log.go(*ramp(START, 2805)),
    "torque on at": lambda log: (log.present(2013), log.enable(START)),
    "written at 9": lambda log: log.send(packet(log.protocol, 3, 1, bytes([9, 0, 0, 0]))),
    "written at -1": lambda log: log.send(packet(log.protocol, 6, 1, b"")),
    "written at": lambda log: log.send(sync_write(log.protocol, 33, {1: b"\1", 2: b"\1"})),
    "80 written": lambda log: log.send(sync_write(log.protocol, log.torque, {1: b"\x80"})),
    "servo 9": lambda log: log.send(sync_write(log.protocol, log.torque, {9: b"\1"})),
}


@pytest.mark.parametrize("found", PLANTED)
def test_a_planted_write_is_found(log: Log, found: str, tmp_path: Path) -> None:
    """One forbidden write among good ones; what the checker says of it."""
    PLANTED[found](log)
    said = log.check(tmp_path)
    assert any(found in text for text in said), said


def test_bytes_that_are_no_packet_are_found(log: Log, tmp_path: Path) -> None:
    """A host that sends noise."""
    log.send(b"\0\0noise\x03\0 and more noise, long enough for any packet" * 9)
    assert log.check(tmp_path)


def test_a_packet_cut_by_the_plug_is_no_fault(log: Log, tmp_path: Path) -> None:
    """Nor does what follows it count as part of it."""
    log.send(sync_write(log.protocol, log.goal, {1: b"\0" * 4})[:9])
    log.lines.append({"ns": 0, "event": "replug"})
    log.go(*ramp(START, 2050))
    assert log.check(tmp_path) == []
