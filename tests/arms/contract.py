"""What the tests of every arm have in common."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import numpy as np

from dreamvla_edge.runtime.arms import connect
from dreamvla_edge.runtime.arms.arm import Arm
from dreamvla_edge.runtime.arms.description import ArmDescription
from dreamvla_edge.sim.virtual_bus import VirtualBus

STEP = 2 * math.pi / 4096
# Addresses: torque_enable, goal_position (with its size), error bits, and the end of the EEPROM.
TORQUE = {"feetech": 40, "dynamixel": 64}
GOAL = {"feetech": (42, 2), "dynamixel": (116, 4)}
FAULTS = {"feetech": 65, "dynamixel": 70}
MODE = {"feetech": 33, "dynamixel": 11}
EEPROM_END = {"feetech": 40, "dynamixel": 64}
TEMPERATURE = {"feetech": 63, "dynamixel": 146}


@contextmanager
def quick(description: ArmDescription, bus: VirtualBus) -> Iterator[Arm]:
    """The driver with a short patience, for tests in which somebody stays silent."""
    with closing(connect(description, bus.port, latency_s=0.1)) as arm:
        yield arm


def goals(bus: VirtualBus, description: ArmDescription) -> list[tuple[int, int]]:
    """Servo and goal of the writes that set one, in order."""
    address = GOAL[description.protocol][0]
    return [(w.servo, int.from_bytes(w.data, "little")) for w in bus.writes if w.address == address]


def torque(bus: VirtualBus, description: ArmDescription) -> list[int]:
    """Whether each servo has its torque on."""
    return [bus.registers(s)[TORQUE[description.protocol]] for s in description.servos]


def somewhere(description: ArmDescription, share: float) -> np.ndarray:
    """Angles at this share of every joint's range."""
    return np.array([j.lower_rad + share * (j.upper_rad - j.lower_rad) for j in description.joints])


def wait_until(true: Callable[[], bool]) -> None:
    """Waits as long as a slow machine may need."""
    start = time.monotonic()
    while not true():
        assert time.monotonic() - start < 60
        time.sleep(0.005)
