"""The description of an arm: servos, limits and geometry, one TOML file per kind of arm."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import msgspec

from dreamvla_edge.runtime.arms.geometry import with_geometry
from dreamvla_edge.runtime.arms.limits import ArmLimits as ArmLimits
from dreamvla_edge.runtime.arms.limits import Vector
from dreamvla_edge.runtime.arms.steps import (
    STEPS_PER_TURN,
    radians_from_steps,
    steps_from_radians,
)
from dreamvla_edge.runtime.errors import ArmError
from dreamvla_edge.runtime.specification import Contract

_LAST_STEP = STEPS_PER_TURN - 1


class Joint(Contract, frozen=True):
    """One revolute joint and the servo that turns it.

    zero_step: servo position [step] at angle 0; direction: +1 if steps grow with the angle.
    origin_m, origin_rpy_rad: the joint's frame in the frame of the joint before it (URDF
    convention); axis: the axis of rotation in the joint's frame. lower_rad, upper_rad: limits.
    model: the number this servo reports, where it is not the arm's; operating_mode: where it is
    not the position mode of its kind (a Dynamixel's 3 may be 4 or 5); homing_offset: the offset
    [step] that must be stored in the servo, None if any will do.
    """

    name: str
    servo: int
    zero_step: int
    direction: Literal[1, -1]
    lower_rad: float
    upper_rad: float
    origin_m: Vector
    origin_rpy_rad: Vector
    axis: Vector = (0.0, 0.0, 1.0)
    model: int | None = None
    operating_mode: Literal[4, 5] | None = None
    homing_offset: int | None = None

    def __post_init__(self) -> None:
        """Raises ValueError if the limits are empty or leave the servo's single turn."""
        if not self.lower_rad < self.upper_rad:
            raise ValueError(f"the limits of {self.name} are empty")
        ends = [
            steps_from_radians(angle, self.zero_step, self.direction)
            for angle in (self.lower_rad, self.upper_rad)
        ]
        if not (0 <= min(ends) and max(ends) <= _LAST_STEP):
            raise ValueError(f"the limits of {self.name} are {ends} steps, outside 0 to 4095")
        if abs(sum(x * x for x in self.axis) - 1) > 1e-6:
            raise ValueError(f"the axis of {self.name} is no unit vector")


class Gripper(Contract, frozen=True):
    """The gripper's servo.

    finger_travel_m: way of each finger from closed to open; torque_limit: share of the servo's
    full torque that it may use, 0 to 1; model, operating_mode, homing_offset: as of a joint.
    """

    servo: int
    closed_step: int
    open_step: int
    finger_travel_m: float
    torque_limit: float = 0.5
    model: int | None = None
    operating_mode: Literal[4, 5] | None = None
    homing_offset: int | None = None

    def __post_init__(self) -> None:
        """Raises ValueError if the ends are equal or leave the servo's single turn."""
        ends = sorted((self.closed_step, self.open_step))
        if not 0 <= ends[0] < ends[1] <= _LAST_STEP:
            raise ValueError(f"the gripper's ends {ends} are not two steps within 0 to 4095")
        if not 0 < self.torque_limit <= 1:
            raise ValueError(f"torque_limit is {self.torque_limit}, not above 0 up to 1")


class Tool(Contract, frozen=True):
    """The tool point in the frame of the last joint.

    orientation_weight_m: how many metres one radian of orientation error is worth to the inverse
    kinematics; small for an arm with fewer than six joints, which must choose.
    """

    origin_m: Vector
    origin_rpy_rad: Vector
    orientation_weight_m: float


class ArmDescription(Contract, frozen=True):
    """Everything about one kind of arm. model: the number its servos report."""

    name: str
    protocol: Literal["feetech", "dynamixel"]
    model: int
    baud: int
    joints: tuple[Joint, ...]
    gripper: Gripper
    tool: Tool
    limits: ArmLimits

    def __post_init__(self) -> None:
        """Raises ValueError if servos share an id, joints a name, or a limit has no joint."""
        names = {joint.name for joint in self.joints}
        if len(set(self.servos)) < len(self.servos):
            raise ValueError(f"two servos share an id in {self.servos}")
        if len(names) < len(self.joints):
            raise ValueError("two joints share a name")
        if strangers := sorted(self.limits.joints.keys() - names):
            raise ValueError(f"limits are given for {', '.join(strangers)}, which is no joint")
        modes = {part.operating_mode for part in self.parts}
        if self.protocol == "feetech" and modes != {None}:
            raise ValueError("a Feetech servo keeps its position only in its position mode")

    @property
    def parts(self) -> tuple[Joint | Gripper, ...]:
        """What has a servo: joints in order, then the gripper."""
        return (*self.joints, self.gripper)

    @property
    def servos(self) -> tuple[int, ...]:
        """Servo ids in the order of the parts."""
        return tuple(part.servo for part in self.parts)

    @property
    def models(self) -> Mapping[int, int]:
        """Servo id -> the model number that it must report."""
        return {p.servo: self.model if p.model is None else p.model for p in self.parts}


class Calibration(Contract, frozen=True):
    """What was found out about one servo of one arm.

    homing_offset: stored in the servo [step], None if unknown; lower_step, upper_step: ends of
    the range that the joint was moved through [step], 0 and 4095 for one that turns freely.
    """

    homing_offset: int | None
    lower_step: int
    upper_step: int

    def __post_init__(self) -> None:
        """Raises ValueError if the range is empty or leaves the servo's single turn."""
        if not 0 <= self.lower_step < self.upper_step <= _LAST_STEP:
            ends = f"{self.lower_step} to {self.upper_step}"
            raise ValueError(f"the range {ends} is not within 0 to {_LAST_STEP}")


# Known with the module: msgspec 0.22 crashes where two threads use a type for the first time.
msgspec.json.Decoder(ArmDescription)


def calibrated(
    description: ArmDescription, calibration: Mapping[str, Calibration]
) -> ArmDescription:
    """The description of one arm: joints by name, and `gripper`; those not named stay as they are.

    The middle of the range found is the middle of the joint's limits: the ends are where the
    same mechanics stop. The limits become no wider. A joint that turns freely keeps its zero.
    Raises ArmError for a name that is no joint or a range that leaves nothing to move.
    """
    unknown = sorted(
        calibration.keys() - {joint.name for joint in description.joints} - {"gripper"}
    )
    if unknown:
        raise _bad_calibration(
            f"the calibration names {', '.join(unknown)}",
            f"joints of {description.name}: "
            + ", ".join([joint.name for joint in description.joints] + ["gripper"]),
        )
    try:
        return msgspec.structs.replace(
            description,
            joints=tuple(
                _calibrated_joint(joint, calibration[joint.name])
                if joint.name in calibration
                else joint
                for joint in description.joints
            ),
            gripper=_calibrated_gripper(description.gripper, calibration.get("gripper")),
        )
    except ValueError as error:
        raise _bad_calibration(
            f"the calibration does not fit {description.name} ({error})",
            "ranges like those of the description",
        ) from error


def _calibrated_joint(joint: Joint, found: Calibration) -> Joint:
    if (found.lower_step, found.upper_step) == (0, _LAST_STEP):
        return msgspec.structs.replace(joint, homing_offset=found.homing_offset)
    middle = steps_from_radians((joint.lower_rad + joint.upper_rad) / 2, 0, joint.direction)
    zero = round((found.lower_step + found.upper_step) / 2) - middle
    ends = sorted(
        radians_from_steps(step, zero, joint.direction)
        for step in (found.lower_step, found.upper_step)
    )
    return msgspec.structs.replace(
        joint,
        zero_step=zero,
        lower_rad=max(joint.lower_rad, ends[0]),
        upper_rad=min(joint.upper_rad, ends[1]),
        homing_offset=found.homing_offset,
    )


def _calibrated_gripper(gripper: Gripper, found: Calibration | None) -> Gripper:
    if found is None:
        return gripper
    ends = (found.lower_step, found.upper_step)
    closed, opened = ends if gripper.closed_step < gripper.open_step else ends[::-1]
    return msgspec.structs.replace(
        gripper, closed_step=closed, open_step=opened, homing_offset=found.homing_offset
    )


def _bad_calibration(found: str, expected: str) -> ArmError:
    return ArmError(found, expected, "calibrate this arm again: dreamvla arm calibrate")


def shipped_arms() -> tuple[str, ...]:
    """Names of the descriptions that come with dreamvla-edge."""
    folder = files("dreamvla_edge.runtime.arms")
    return tuple(sorted(f.name[:-5] for f in folder.iterdir() if f.name.endswith(".toml")))


def load_description(name: str) -> ArmDescription:
    """The description that ships as `<name>.toml`, or the one in the TOML file `name`.

    Raises ArmError if there is none or it is wrong.
    """
    own = name.endswith(".toml")
    file = Path(name) if own else Path(str(files("dreamvla_edge.runtime.arms"))) / f"{name}.toml"
    try:
        raw = msgspec.toml.decode(file.read_bytes(), type=dict[str, Any])
        return msgspec.convert(with_geometry(raw, file.parent), ArmDescription)
    except (OSError, ValueError) as error:  # msgspec's errors are ValueErrors
        raise ArmError(
            f"the description {file} cannot be used ({error})",
            "a readable description with valid values",
            "correct the place named above"
            if own
            else f"name a TOML file, or one of {', '.join(shipped_arms())}",
        ) from error
