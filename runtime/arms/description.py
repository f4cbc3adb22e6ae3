"""The description of an arm: servos, limits and geometry, one TOML file per kind of arm."""

from __future__ import annotations

from importlib.resources import files
from typing import Literal

import msgspec

from dreamvla_edge.runtime.arms.feetech import steps_from_radians
from dreamvla_edge.runtime.errors import ArmError
from dreamvla_edge.runtime.specification import Contract

Vector = tuple[float, float, float]


class Joint(Contract, frozen=True):
    """One revolute joint and the servo that turns it.

    zero_step: servo position [step] at angle 0; direction: +1 if steps grow with the angle.
    origin_m, origin_rpy_rad: the joint's frame in the frame of the joint before it (URDF
    convention); axis: the axis of rotation in the joint's frame. lower_rad, upper_rad: limits.
    """

    name: str
    servo: int
    zero_step: int
    direction: Literal[1, -1]
    lower_rad: float
    upper_rad: float
    max_speed_rad_s: float
    origin_m: Vector
    origin_rpy_rad: Vector
    axis: Vector = (0.0, 0.0, 1.0)

    def __post_init__(self) -> None:
        """Raises ValueError if the limits are empty or leave the servo's single turn."""
        if not self.lower_rad < self.upper_rad:
            raise ValueError(f"the limits of {self.name} are empty")
        ends = [
            steps_from_radians(angle, self.zero_step, self.direction)
            for angle in (self.lower_rad, self.upper_rad)
        ]
        if not (0 <= min(ends) and max(ends) < 4096):
            raise ValueError(f"the limits of {self.name} are {ends} steps, outside 0 to 4095")
        if abs(sum(x * x for x in self.axis) - 1) > 1e-6:
            raise ValueError(f"the axis of {self.name} is no unit vector")


class Gripper(Contract, frozen=True):
    """The gripper's servo; finger_travel_m: way of each finger from closed to open."""

    servo: int
    closed_step: int
    open_step: int
    finger_travel_m: float

    def __post_init__(self) -> None:
        """Raises ValueError if the ends are equal or leave the servo's single turn."""
        ends = sorted((self.closed_step, self.open_step))
        if not 0 <= ends[0] < ends[1] < 4096:
            raise ValueError(f"the gripper's ends {ends} are not two steps within 0 to 4095")


class Tool(Contract, frozen=True):
    """The tool point in the frame of the last joint.

    orientation_weight_m: how many metres one radian of orientation error is worth to the inverse
    kinematics; small for an arm with fewer than six joints, which must choose.
    """

    origin_m: Vector
    origin_rpy_rad: Vector
    orientation_weight_m: float


class ArmDescription(Contract, frozen=True):
    """Everything about one kind of arm. model: the number all its servos report."""

    name: str
    model: int
    baud: int
    joints: tuple[Joint, ...]
    gripper: Gripper
    tool: Tool

    def __post_init__(self) -> None:
        """Raises ValueError if two servos share an id or two joints a name."""
        if len(set(self.servos)) < len(self.servos):
            raise ValueError(f"two servos share an id in {self.servos}")
        if len({joint.name for joint in self.joints}) < len(self.joints):
            raise ValueError("two joints share a name")

    @property
    def servos(self) -> tuple[int, ...]:
        """Servo ids: joints in order, then the gripper."""
        return (*(joint.servo for joint in self.joints), self.gripper.servo)


def load_description(name: str) -> ArmDescription:
    """The description that ships as `<name>.toml`. Raises ArmError if it is wrong."""
    file = files("dreamvla_edge.runtime.arms") / f"{name}.toml"
    try:
        return msgspec.toml.decode(file.read_bytes(), type=ArmDescription)
    except (OSError, msgspec.DecodeError) as error:
        raise ArmError(
            f"the description {file} cannot be used ({error})",
            "a readable description with valid values",
            "install dreamvla-edge again",
        ) from error
