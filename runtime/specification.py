"""What a checkpoint's numbers mean: its actions, states and cameras.

Data sets differ in scale, anchor, rotation form, gripper polarity, rate, state layout and
image flip, and none of that is in the weights. So every bundle carries a `Specification`;
nothing about a data set is implied anywhere else.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec

UNUSED = "unused"
"""Name of a dimension that the arm does not have; its value is ignored."""


class Contract(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Immutable record that refuses unknown fields and wrong types when read from a file.

    Values that cannot be meant raise ValueError, which msgspec's decoders turn into a
    `msgspec.ValidationError` that names the place in the file. Subclasses inherit all this; they
    repeat `frozen=True` for type checkers, which do not see that it is inherited.
    """


class Dimension(Contract, frozen=True):
    """One number of an action or state vector.

    The network's number x and the physical value v are tied by v = scale · x + offset.
    A negative scale mirrors the axis; zero would lose the value and is refused.
    """

    name: str
    unit: Literal["m", "rad", "1"]
    scale: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        _require(self.name != "", "a dimension needs a name")
        _require(math.isfinite(self.scale) and self.scale != 0, "scale must be finite, not zero")
        _require(math.isfinite(self.offset), "offset must be finite")


class GripperCommand(Contract, frozen=True):
    """The seventh action: the network's g means *upper* when g > threshold, else *lower*.

    The executed value is +1 for upper and -1 for lower.
    """

    upper_means: Literal["open", "closed"]
    threshold: float = 0.5

    def __post_init__(self) -> None:
        _require(math.isfinite(self.threshold), "threshold must be finite")


class ActionSpecification(Contract, frozen=True):
    """How the seven numbers of one predicted action become a motion.

    kind: `delta_pose` (tool translation and rotation), `delta_joints` or `joints` (absolute).
    dimensions: the six arm values in order; a dimension named `unused` is ignored. A pose delta
        has three lengths [m], then three angles [rad].
    frame: in which frame a pose delta is expressed.
    rotation: `euler_add` adds fixed-axis xyz Euler angles, `axis_angle_left` multiplies the
        rotation exp(delta) from the left, `none` for joint actions.
    anchor: a delta is added to the last `target` or to the `measured` pose.
    rate_hz: control rate of the data set; one predicted step lasts 1 / rate_hz [s].
    chunk: `first` executes the first action of every chunk; `ensemble` averages all predictions
        made for the present step with weights exp(-ensemble_decay · i), i = 0 the oldest
        (ACT, arXiv 2304.13705, section IV-C).
    round_to_float16: the released CALVIN loop sends float16 actions.
    clip: arm values beyond ±clip are cut before they are scaled, as the data set's own controller
        does; None where it does not.
    """

    kind: Literal["delta_pose", "delta_joints", "joints"]
    dimensions: tuple[Dimension, ...]
    gripper: GripperCommand
    rate_hz: float
    frame: Literal["world", "tool"] = "world"
    rotation: Literal["euler_add", "axis_angle_left", "none"] = "none"
    anchor: Literal["target", "measured"] = "target"
    chunk: Literal["first", "ensemble"] = "first"
    ensemble_decay: float = 0.01
    round_to_float16: bool = False
    clip: float | None = None

    def __post_init__(self) -> None:
        _require_six(self.dimensions)
        rate, decay = self.rate_hz, self.ensemble_decay
        _require(math.isfinite(rate) and rate > 0, "rate_hz must be finite and above zero")
        _require(math.isfinite(decay) and decay >= 0, "ensemble_decay must be finite and >= 0")
        clip = self.clip
        _require(clip is None or (math.isfinite(clip) and clip > 0), "clip must be above zero")
        if self.kind == "delta_pose":
            _require(self.rotation != "none", "a delta_pose needs a rotation form")
            for dimension, unit in zip(self.dimensions, POSE_UNITS, strict=True):
                _require_unit(dimension, unit)
        else:
            _require(self.rotation == "none", f"a rotation form has no meaning for {self.kind}")
            for dimension in self.dimensions:
                _require_unit(dimension, "rad")


class StateSpecification(Contract, frozen=True):
    """The state vector: six arm values, then the gripper.

    dimensions: the names say which values: `x`, `y`, `z` [m] and `roll`, `pitch`, `yaw` [rad]
        (fixed-axis xyz Euler angles) of the tool, a joint's name [rad], or `unused`.
    gripper: `command` is one value, the last command (-1 or +1); `fingers` is two finger
        positions [m]. A network cannot tell which (both feed a two-wide encoder).
    """

    dimensions: tuple[Dimension, ...]
    gripper: Literal["command", "fingers"]

    def __post_init__(self) -> None:
        _require_six(self.dimensions)
        for dimension in self.dimensions:
            _require_unit(dimension, "m" if dimension.name in ("x", "y", "z") else "rad")

    @property
    def size(self) -> int:
        """Length of the raw state vector: 7 or 8."""
        return len(self.dimensions) + (1 if self.gripper == "command" else 2)


class CameraSpecification(Contract, frozen=True):
    """One camera as the network saw it in training.

    height, width: size of the raw frame [pixel]; flip: applied before anything else;
    crop: (top, left, height, width) [pixel] of the flipped frame that is kept, or None.
    """

    role: Literal["primary", "wrist"]
    height: int
    width: int
    flip: Literal["none", "vertical", "horizontal", "both"] = "none"
    crop: tuple[int, int, int, int] | None = None

    def __post_init__(self) -> None:
        _require(self.height > 0 and self.width > 0, "height and width must be above zero")
        if self.crop is not None:
            top, left, height, width = self.crop
            inside = (
                top >= 0
                and left >= 0
                and height > 0
                and width > 0
                and top + height <= self.height
                and left + width <= self.width
            )
            _require(inside, f"the crop must lie inside the {self.height} x {self.width} frame")


class Specification(Contract, frozen=True):
    """Everything about one data set that a checkpoint's weights do not hold."""

    name: str
    action: ActionSpecification
    state: StateSpecification
    cameras: tuple[CameraSpecification, CameraSpecification]

    def __post_init__(self) -> None:
        _require(self.name != "", "a specification needs a name")
        roles = tuple(camera.role for camera in self.cameras)
        _require(roles == ("primary", "wrist"), "the cameras must be primary, then wrist")


POSE_UNITS = ("m", "m", "m", "rad", "rad", "rad")


def _require_six(dimensions: tuple[Dimension, ...]) -> None:
    used = [dimension.name for dimension in dimensions if dimension.name != UNUSED]
    _require(
        len(dimensions) == 6,
        f"six arm dimensions are needed, {len(dimensions)} are given (fill up with `{UNUSED}`)",
    )
    _require(len(used) > 0, f"at least one dimension must not be `{UNUSED}`")
    _require(len(used) == len(set(used)), "two dimensions have the same name")


def _require(true: bool, message: str) -> None:
    if not true:
        raise ValueError(message)


def _require_unit(dimension: Dimension, unit: str) -> None:
    """Degrees taken for radians would be a dangerous motion, so units are never guessed."""
    message = f"{dimension.name} has the unit {dimension.unit}, it must be {unit}"
    _require(dimension.name == UNUSED or dimension.unit == unit, message)
