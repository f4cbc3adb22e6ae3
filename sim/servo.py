"""One virtual STS3215: a file of registers and a motor that needs time."""

from __future__ import annotations

import math

MODEL = 777
# 46 rpm without load at 12 V; full speed is reached in 0.15 s (a choice, not a data sheet).
MAX_SPEED = 46 / 60 * 4096  # [step/s]
MAX_ACCELERATION = MAX_SPEED / 0.15  # [step/s²]
_TIME_STEP = 0.001  # of the motion's integration [s]

_ID, _RETURN_DELAY, _STATUS_LEVEL = 5, 7, 8
_MIN_POSITION, _MAX_POSITION, _HOMING = 9, 11, 31
_TORQUE, _GOAL, _LOCK = 40, 42, 55
_PRESENT_POSITION, _PRESENT_SPEED, _LOAD, _VOLTAGE, _TEMPERATURE = 56, 58, 60, 62, 63
_FAULTS, _MOVING = 65, 66
_READ_ONLY = range(_PRESENT_POSITION, 80)


class Servo:
    """A servo with 256 registers, which turns towards its goal while torque is on.

    The motion is a speed ramp with MAX_SPEED and MAX_ACCELERATION. Torque off stops it at once.
    Not modelled: load, gravity, backlash, stall, heat, operating modes other than position,
    gains, the registers acceleration, goal_time and goal_velocity, and the EEPROM lock: these
    registers keep what is written and change nothing. Writing 128 to torque_enable does not set
    the middle.
    """

    def __init__(self, servo: int, position: int, now_s: float) -> None:
        """position: present position at the start [step]; now_s: monotonic [s]."""
        self.registers = bytearray(256)
        self._position, self._speed, self._now_s = float(position), 0.0, now_s
        for address, size, value in (
            (3, 2, MODEL),
            (_ID, 1, servo),
            (_RETURN_DELAY, 1, 250),
            (_STATUS_LEVEL, 1, 1),
            (_MAX_POSITION, 2, 4095),
            (_GOAL, 2, position),
            (_LOCK, 1, 1),
            (_VOLTAGE, 1, 120),
            (_TEMPERATURE, 1, 30),
            (82, 1, 1),
        ):
            self._store(address, size, value)
        self._show()

    @property
    def position(self) -> float:
        """Present position [step], as it reports it but not rounded."""
        return self._position - self._signed(_HOMING, 11)

    @property
    def return_delay_s(self) -> float:
        """Pause before its answer [s]."""
        return self.registers[_RETURN_DELAY] * 2e-6

    @property
    def error(self) -> int:
        """Error byte of its answers: the bits of the status register."""
        return self.registers[_FAULTS]

    @property
    def acknowledges(self) -> bool:
        """Whether it answers a WRITE."""
        return self.registers[_STATUS_LEVEL] == 1

    def read(self, address: int, size: int) -> bytes:
        """Registers from `address` on; beyond the last one nothing follows."""
        return bytes(self.registers[address : address + size])

    def write(self, address: int, data: bytes) -> None:
        """Stores data; measured values and what lies beyond the last register stay as they are."""
        for at, byte in enumerate(data, address):
            if at not in _READ_ONLY and at < len(self.registers):
                self.registers[at] = byte

    def advance(self, now_s: float) -> None:
        """Moves on to the time now_s [s], monotonic."""
        low, high = self._word(_MIN_POSITION), self._word(_MAX_POSITION)
        goal = min(max(self._signed(_GOAL, 15), low), high) + self._signed(_HOMING, 11)
        if not self.registers[_TORQUE]:
            self._speed = 0.0
        elif self._position != goal or self._speed != 0.0:
            self._turn(goal, now_s - self._now_s)
        self._now_s = now_s
        self._show()

    def _turn(self, goal: float, left_s: float) -> None:
        """Integrates the speed ramp towards the goal [step] over left_s seconds."""
        while left_s > 0:
            step_s = min(_TIME_STEP, left_s)
            left_s -= step_s
            way = goal - self._position
            change = MAX_ACCELERATION * step_s
            if abs(way) <= change * step_s and abs(self._speed) <= change:
                self._position, self._speed = goal, 0.0
                return
            # The speed from which it can still stop at the goal.
            wanted = math.copysign(min(MAX_SPEED, math.sqrt(2 * MAX_ACCELERATION * abs(way))), way)
            self._speed += min(max(wanted - self._speed, -change), change)
            self._position += self._speed * step_s

    def _show(self) -> None:
        """Brings the measured registers up to date."""
        for address, value in (
            (_PRESENT_POSITION, self.position),
            (_PRESENT_SPEED, self._speed),
        ):
            self._store(address, 2, min(abs(round(value)), 0x7FFF) | (value < 0) << 15)
        self.registers[_MOVING] = self._speed != 0.0

    def _store(self, address: int, size: int, value: int) -> None:
        self.registers[address : address + size] = value.to_bytes(size, "little")

    def _word(self, address: int) -> int:
        return int.from_bytes(self.registers[address : address + 2], "little")

    def _signed(self, address: int, bit: int) -> int:
        """A word whose bit `bit` is the sign."""
        word = self._word(address)
        magnitude = word & ((1 << bit) - 1)
        return -magnitude if word >> bit & 1 else magnitude
