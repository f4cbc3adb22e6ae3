"""What an arm may be asked to do: numbers of one arm, without the code that applies them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from dreamvla_edge.runtime.rotation import Array
from dreamvla_edge.runtime.specification import Contract

Vector = tuple[float, float, float]
Quantity = Literal[
    "velocity_rad_s", "acceleration_rad_s2", "stop_acceleration_rad_s2", "windup_rad"
]


class Temperature(NamedTuple):
    """Above `warn` [°C] a warning, above `stop` [°C] the end of a run."""

    warn: float
    stop: float


class Voltage(NamedTuple):
    """Between `min` and `max` [V] a servo works as it should."""

    min: float
    max: float


class Box(NamedTuple):
    """Corners (x, y, z) [m] in the arm's base frame."""

    min: Vector
    max: Vector


class Stall(Contract, frozen=True):
    """A joint stalls when current [A] and position error [rad] exceed these for so long [s]."""

    current_a: float
    error_rad: float
    persistence_s: float

    def __post_init__(self) -> None:
        """Raises ValueError unless all are positive."""
        _require_positive(self, ("current_a", "error_rad", "persistence_s"))


class ArmLimits(Contract, frozen=True):
    """Limits of an arm's motion and health.

    velocity_rad_s, acceleration_rad_s2: of the goals, per joint; stop_acceleration_rad_s2: how
    hard a stop may brake; windup_rad: largest distance of a goal from the measured angle;
    joints: joint name -> quantity -> another value for this joint; workspace_m: where the tool
    point may go, None for everywhere; stall, temperature_c, voltage_v: what ends a run.
    """

    velocity_rad_s: float
    acceleration_rad_s2: float
    stop_acceleration_rad_s2: float
    windup_rad: float
    stall: Stall
    temperature_c: Temperature
    voltage_v: Voltage
    workspace_m: Box | None = None
    joints: Mapping[str, Mapping[Quantity, float]] = {}

    def __post_init__(self) -> None:
        """Raises ValueError if a limit is not positive and finite or a range is empty."""
        _require_positive(self, QUANTITIES)
        for name, own in self.joints.items():
            for quantity, value in own.items():
                if not 0 < value < math.inf:
                    raise ValueError(f"{quantity} of {name} is {value}, not above zero")
        for name, low, high in (
            ("temperature_c", *self.temperature_c),
            ("voltage_v", *self.voltage_v),
            *(("workspace_m", *ends) for ends in zip(*(self.workspace_m or ()), strict=True)),
        ):
            if not -math.inf < low < high < math.inf:
                raise ValueError(f"{name} from {low} to {high} is empty")

    def per_joint(self, quantity: Quantity, names: Sequence[str]) -> Array:
        """One limit for the joints `names`: (n,)."""
        common = getattr(self, quantity)
        return np.array([self.joints.get(name, {}).get(quantity, common) for name in names], float)


QUANTITIES: tuple[Quantity, ...] = (
    "velocity_rad_s",
    "acceleration_rad_s2",
    "stop_acceleration_rad_s2",
    "windup_rad",
)


def _require_positive(record: Contract, names: Sequence[str]) -> None:
    for name in names:
        if not 0 < getattr(record, name) < math.inf:
            raise ValueError(f"{name} is {getattr(record, name)}, not a number above zero")
