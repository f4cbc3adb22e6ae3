"""What a checkpoint's numbers mean: its actions, states and cameras.

Data sets differ in scale, anchor, rotation form, gripper polarity, rate, state layout and
image flip, and none of that is in the weights. So every bundle carries a `Specification`;
nothing about a data set is implied anywhere else.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class Contract(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Immutable record that refuses unknown fields and wrong types when read from a file."""


class Dimension(Contract):
    """One number of an action or state vector.

    The network's number x and the physical value v are tied by v = scale · x + offset.
    """

    name: str
    unit: Literal["m", "rad", "1"]
    scale: float = 1.0
    offset: float = 0.0


class GripperCommand(Contract):
    """The seventh action: the network's g means *upper* when g > threshold, else *lower*.

    The executed value is +1 for upper and -1 for lower.
    """

    threshold: float = 0.5
    upper_means: Literal["open", "closed"]


class ActionSpecification(Contract):
    """How the seven numbers of one predicted action become a motion.

    kind: `delta_pose` (tool translation and rotation), `delta_joints` or `joints` (absolute).
    dimensions: the six arm values in order; a dimension named `unused` is ignored.
    frame: in which frame a pose delta is expressed.
    rotation: `euler_add` adds fixed-axis xyz Euler angles, `axis_angle_left` multiplies the
        rotation exp(delta) from the left, `none` for joint actions.
    anchor: a delta is added to the last `target` or to the `measured` pose.
    rate_hz: control rate of the data set; one predicted step lasts 1 / rate_hz [s].
    chunk: `first` executes the first action of every chunk; `ensemble` averages all predictions
        made for the present step with weights exp(-ensemble_decay · i), i = 0 the oldest
        (ACT, arXiv 2304.13705, section IV-C).
    round_to_float16: the released CALVIN loop sends float16 actions.
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


class StateSpecification(Contract):
    """The state vector: six arm values, then the gripper.

    gripper: `command` is one value, the last command (-1 or +1); `fingers` is two finger
        positions [m]. A network cannot tell which (both feed a two-wide encoder).
    """

    dimensions: tuple[Dimension, ...]
    gripper: Literal["command", "fingers"]

    @property
    def size(self) -> int:
        """Length of the raw state vector: 7 or 8."""
        return len(self.dimensions) + (1 if self.gripper == "command" else 2)


class CameraSpecification(Contract):
    """One camera as the network saw it in training.

    height, width: size of the raw frame [pixel]; flip: applied before anything else;
    crop: (top, left, height, width) [pixel] of the flipped frame that is kept, or None.
    """

    role: Literal["primary", "wrist"]
    height: int
    width: int
    flip: Literal["none", "vertical", "horizontal", "both"] = "none"
    crop: tuple[int, int, int, int] | None = None


class Specification(Contract):
    """Everything about one data set that a checkpoint's weights do not hold."""

    name: str
    action: ActionSpecification
    state: StateSpecification
    cameras: tuple[CameraSpecification, CameraSpecification]
