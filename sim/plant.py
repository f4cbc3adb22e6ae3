"""What servos turn when they are part of something: a body with physics of its own."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from dreamvla_edge.sim.motor import Drive, Motor


class Turned(NamedTuple):
    """One servo's shaft: position [step], speed [step/s], torque as a share of the stall torque."""

    position: float
    speed: float
    load: float


class Plant(Protocol):
    """A body whose joints are turned by servos, in the units of their encoders."""

    def drive(self, servo: int, drive: Drive) -> None:
        """What a servo's electronics ask of its motor from now on."""

    def advance(self, now_s: float) -> None:
        """Moves on to a time [s]; the first call says when it begins."""

    def turned(self, servo: int) -> Turned:
        """How a servo's shaft turns now."""


class PlantMotor(Motor):
    """The motor of a servo in a plant: shows what the plant does, and warms up.

    motor: the one in whose place it comes. An offset that is preset moves the encoder, not the
    plant. stuck and slowness, like obstacle and gravity, belong to the motor without a load and
    do nothing here; what is in the way in a plant is part of it.
    """

    def __init__(self, motor: Motor, plant: Plant, servo: int) -> None:
        super().__init__(motor.kind, plant.turned(servo).position)
        self._plant, self._servo = plant, servo
        self._shown, self._shift = self.position, 0.0

    def advance(self, left_s: float, drive: Drive) -> None:
        """Looks at the plant, which is there already."""
        shaft = self._plant.turned(self._servo)
        self._shift += self.position - self._shown  # what was preset by hand since
        self.position = self._shown = shaft.position + self._shift
        self.speed, self.load = shaft.speed, shaft.load
        self._heat(left_s)
