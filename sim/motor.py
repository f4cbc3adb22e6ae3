"""The motor, gear and joint of a virtual servo: motion, torque, current, heat. No registers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

_TIME_STEP = 0.001  # of the motion's integration [s]

# Fractions of the stall torque. The gear's friction also holds a limp joint.
FRICTION, INERTIA = 0.05, 0.15
# How far a blocked motor is from its goal when it gives all its torque [step].
FULL_TORQUE_STEPS = 128.0
# At which a limp joint sinks that needs all the torque to be held, as a fraction of full speed.
SINK_SPEED = 0.5
AMBIENT_C = 30.0
# A motor that gives all its torque for ever ends so much warmer than the air [K], slowly [s].
HEAT_RISE_C, HEAT_TIME_S = 120.0, 300.0
# Resistance of cable and supply [ohm].
RESISTANCE = 0.3


@dataclass(frozen=True)
class MotorKind:
    """What differs between motors: speed [step/s], acceleration [step/s²], amperes, volts."""

    max_speed: float
    max_acceleration: float
    stall_current_a: float
    supply_v: float


class Drive(NamedTuple):
    """What the electronics ask of the motor.

    torque: the most it may give, as a fraction of the stall torque; 0 makes it limp.
    goal: where to go [step], or None to turn for ever at `speed`, which then has a sign.
    """

    torque: float
    goal: float | None
    speed: float
    acceleration: float


class Motor:
    """Turns towards a goal with a ramp of speed, and meets friction, gravity and obstacles.

    Its state may be set: obstacle, a range of steps that cannot be entered; gravity, the torque
    that holds the joint (positive: towards higher steps), as a fraction of the stall torque; stuck;
    slowness, a factor on its speed.
    Limits: the speed follows the ramp whatever the torque, unless the torque cannot move the joint
    at all; a held joint does not sag; backlash and the gains of the position loop are missing;
    an obstacle is rigid; gravity does not depend on the pose; the supply sags under this motor's
    current only. Torque and heat constants are choices of the right order, not a data sheet's.
    """

    def __init__(self, kind: MotorKind, position: float) -> None:
        """position: of the encoder at the start [step]."""
        self.kind, self.position = kind, float(position)
        self.speed, self.load = 0.0, 0.0  # [step/s], fraction of the stall torque, signed
        self.temperature_c = AMBIENT_C
        self.obstacle: tuple[float, float] | None = None
        self.gravity, self.slowness, self.stuck = 0.0, 1.0, False

    @property
    def current_a(self) -> float:
        """Its current [A], never negative."""
        return abs(self.load) * self.kind.stall_current_a

    @property
    def voltage_v(self) -> float:
        """What is left of the supply's voltage [V]."""
        return self.kind.supply_v - RESISTANCE * self.current_a

    def advance(self, left_s: float, drive: Drive) -> None:
        """Moves on by left_s seconds."""
        while left_s > 0:
            step_s = min(_TIME_STEP, left_s)
            if self.speed == 0.0 and self._wanted_speed(drive) == 0.0:
                self.load = _clip(self.gravity, drive.torque)
                step_s = left_s  # nothing but the temperature changes any more
            else:
                self._move(step_s, drive)
            self._heat(step_s)
            left_s -= step_s

    def _move(self, step_s: float, drive: Drive) -> None:
        before, start = self.speed, self.position
        change = min(drive.acceleration, self.kind.max_acceleration) * step_s
        limp = not drive.torque
        way = math.inf if limp or drive.goal is None else drive.goal - start
        if abs(way) <= change * step_s and abs(before) <= change:
            self.position, self.speed = start + way, 0.0
        else:
            self.speed += _clip(self._wanted_speed(drive) - before, change)
            self.position += self.speed * step_s
        if self._is_blocked(start, drive.torque):
            self.speed, self.load = 0.0, self._pressing(drive)
        else:
            friction = math.copysign(FRICTION, self.speed) if self.speed else 0.0
            pushing = INERTIA * (self.speed - before) / step_s / self.kind.max_acceleration
            self.load = _clip(self.gravity + friction + pushing, drive.torque)

    def _wanted_speed(self, drive: Drive) -> float:
        """The speed to ramp to: one from which it can still stop at the goal."""
        fastest = self.kind.max_speed * self.slowness
        if not drive.torque:
            sinking = max(abs(self.gravity) - FRICTION, 0.0) / (1 - FRICTION)
            return -math.copysign(fastest * SINK_SPEED * sinking, self.gravity) if sinking else 0.0
        if drive.goal is None:
            return _clip(drive.speed, fastest)
        way = drive.goal - self.position
        # In whole time steps, so that it does not run past its goal.
        change = min(drive.acceleration, self.kind.max_acceleration) * _TIME_STEP
        stopping = math.sqrt(change**2 / 4 + 2 * abs(way) * change / _TIME_STEP) - change / 2
        speed = min(fastest, drive.speed, stopping, abs(way) / _TIME_STEP)
        return math.copysign(speed, way) if way else 0.0

    def _is_blocked(self, start: float, torque: float) -> bool:
        """Takes back a motion that cannot be: a defect, an obstacle, or too little torque."""
        if self.speed == 0.0:
            return False
        direction = math.copysign(1.0, self.speed)
        if self.stuck or (torque and FRICTION + direction * self.gravity > torque):
            self.position = start
            return True
        if self.obstacle is None:
            return False
        low, high = self.obstacle
        if direction > 0 and start < high and self.position >= low:
            self.position = max(start, low)
        elif direction < 0 and start > low and self.position <= high:
            self.position = min(start, high)
        else:
            return False
        return True

    def _pressing(self, drive: Drive) -> float:
        """The torque against what blocks it: more, the further it is from its goal."""
        if drive.goal is None:
            return math.copysign(drive.torque, drive.speed)
        return _clip((drive.goal - self.position) / FULL_TORQUE_STEPS, drive.torque)

    def _heat(self, step_s: float) -> None:
        end = AMBIENT_C + HEAT_RISE_C * self.load**2
        self.temperature_c += (end - self.temperature_c) * -math.expm1(-step_s / HEAT_TIME_S)


def _clip(value: float, most: float) -> float:
    return min(max(value, -most), most)
