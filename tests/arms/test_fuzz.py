"""A hundred thousand broken streams (a million in `make test-all`) per codec and per driver.

Half are raw bytes, half valid packets that were damaged. Nothing but the documented errors comes
out, nothing whose checksum is wrong goes in, and what is whole is found.
`python tools/codec_coverage.py` prints the branches that are taken.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from itertools import cycle
from typing import Any

import msgspec
import numpy as np
import pytest

from dreamvla_edge.runtime.arms import connect
from dreamvla_edge.runtime.arms.arm import SilentServos
from dreamvla_edge.runtime.arms.description import ArmDescription, load_description
from dreamvla_edge.runtime.arms.status import Status, StatusScanner
from servo_frames import FRAMINGS, Framing

COUNTS = [
    pytest.param(100_000, id="1e5"),
    pytest.param(1_000_000, id="1e6", marks=[pytest.mark.slow, pytest.mark.timeout(1800)]),
]
ARMS = {"feetech": "so101", "dynamixel": "koch"}
_BATCH = 1000
_HEADER = np.frombuffer(b"\xff\xff\xfd\x00\x55\x01\x02", np.uint8)


def streams(
    framing: Framing, servos: tuple[int, ...], size: int, count: int, seed: int
) -> Iterator[bytes]:
    """Raw bytes and damaged answers of these servos, in turn; drawn in batches."""
    random = np.random.default_rng(seed)
    length = len(servos) * (size + 11)
    for _ in range(0, count, 2 * _BATCH):
        raw = random.integers(0, 256, (_BATCH, length), np.uint8)
        likely = random.random((_BATCH, length)) < 0.4
        raw = np.where(likely, random.choice(_HEADER, (_BATCH, length)), raw)
        cut = random.integers(0, length, _BATCH)
        data = random.integers(0, 256, (_BATCH, len(servos), size), np.uint8)
        data[random.random(data.shape) < 0.1] = 0xFF
        errors = random.choice(framing.errors, (_BATCH, len(servos)))
        kinds = random.integers(0, 7, (_BATCH, 2))
        places = random.random((_BATCH, 2, 2))
        values = random.integers(1, 256, (_BATCH, 2))
        for i in range(_BATCH):
            yield raw[i, : cut[i]].tobytes()
            stream = bytearray()
            for servo, error, block in zip(servos, errors[i], data[i], strict=True):
                stream += framing.frame(Status(servo, int(error), block.tobytes()))
            for kind, (first, second), value in zip(kinds[i], places[i], values[i], strict=True):
                _damage(stream, kind, first, second, int(value))
            yield bytes(stream)


def _damage(stream: bytearray, kind: int, first: float, second: float, value: int) -> None:
    """One defect of a line: damage, loss, noise, repetition, an end; or none, or one that
    the sum of bytes does not show.
    """
    if not stream:
        return
    a, b = sorted((int(first * len(stream)), int(second * len(stream))))
    if kind == 0:
        stream[a] ^= value
    elif kind == 1:
        del stream[a : a + 1 + value % 4]
    elif kind == 2:
        stream[a:a] = bytes([0xFF, 0xFF, value])
    elif kind == 3:
        stream[a:a] = stream[a:b]
    elif kind == 4:
        del stream[b:]
    elif kind == 5:
        stream[a], stream[b] = stream[b], stream[a]


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("protocol", sorted(FRAMINGS))
def test_codec(protocol: str, count: int) -> None:
    """The parser gives what an independent search of the whole stream gives, however it is cut."""
    framing, size = FRAMINGS[protocol], {"feetech": 4, "dynamixel": 6}[protocol]
    found = raw_found = 0
    for i, stream in enumerate(streams(framing, (1, 2), size, count, seed=20)):
        parser, cut = framing.scanner(size), i % 37
        given = parser.feed(stream[:cut]) + parser.feed(stream[cut:])
        assert given == framing.search(stream, size), stream.hex()
        found += len(given)
        raw_found += len(given) if i % 2 == 0 else 0
    assert found > count / 4  # of one packet per stream on average, damaged ones included
    assert raw_found < count / 1000


class ScriptedPort:
    """A port on which the answers to every question are known before; no waiting."""

    def __init__(self) -> None:
        self.name, self.answers = "scripted", list[bytes]()

    @property
    def last_sent_s(self) -> float:
        """Just now: no watchdog is due."""
        return self.now_s()

    def now_s(self) -> float:
        """The machine's time."""
        return time.monotonic()

    def latency_s(self) -> float:
        """Nothing to wait for."""
        return 0.0

    def ask(
        self, request: bytes, scanner: StatusScanner, servos: Any, wait_s: float
    ) -> dict[int, Status]:
        """The next answers."""
        found: dict[int, Status] = {}
        for status in scanner.feed(self.answers.pop(0) if self.answers else b""):
            if status.servo in servos:
                found.setdefault(status.servo, status)
        return found


def small(protocol: str) -> ArmDescription:
    """An arm of two joints and a gripper."""
    whole = load_description(ARMS[protocol])
    return msgspec.structs.replace(whole, joints=whole.joints[:2])


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("protocol", sorted(FRAMINGS))
def test_driver(protocol: str, count: int) -> None:
    """A reading holds what whole packets said, or the servos without one are named."""
    port: Any = ScriptedPort()
    framing, description = FRAMINGS[protocol], small(protocol)
    # Size of the block that is read; offset, size and sign of the position in it.
    size, at, width = {"feetech": (15, 0, 2), "dynamixel": (21, 6, 4)}[protocol]
    arm: Any = connect(description, port, cycle_s=60.0)
    servos = description.servos
    once = streams(framing, servos, size, count, seed=21)
    # The second question is longer; the number of its answers has no factor of `count`.
    again = cycle(list(streams(framing, servos, size + 1, 4000, seed=22))[:3989])
    readings = 0
    for first, second in zip(once, again, strict=False):
        arm._bus._one_more = False
        port.answers = [first, second]
        held: dict[int, bytes] = {}
        for status in framing.search(first, size):
            if status.servo in servos:
                held.setdefault(status.servo, status.data)
        missing = [servo for servo in servos if servo not in held]
        for status in framing.search(second, size + 1) if missing else ():
            if status.servo in missing:
                held.setdefault(status.servo, status.data[1:])
        try:
            reading = arm.read()
        except SilentServos as error:
            assert error.servos == tuple(s for s in servos if s not in held), first.hex()
            continue
        readings += 1
        for joint, angle in zip(description.joints, reading.joints, strict=True):
            word = int.from_bytes(held[joint.servo][at : at + width], "little")
            if protocol == "feetech":
                steps = (word & 0x7FFF) * (-1 if word >> 15 else 1)
            else:
                steps = word - (1 << 32 if word >> 31 else 0)
            expected = joint.direction * (steps - joint.zero_step) * 2 * math.pi / 4096
            assert abs(angle - expected) <= 1e-9 * (1 + abs(expected))
        assert len(reading.servos) == 3 and 0 <= reading.gripper <= 1
    assert readings > count / 20
