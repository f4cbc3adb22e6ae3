"""The text of `robot.toml`: a new one with comments, and an old one with another calibration."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dreamvla_edge.runtime.arms.description import Calibration
    from dreamvla_edge.runtime.cameras.source import CameraSource

_TABLE = re.compile(r"\s*\[")
_CALIBRATION = re.compile(r"\s*\[\s*arm\s*\.\s*calibration\b")


def new_text(
    name: str, arm: str, port: str, cameras: Mapping[str, CameraSource], notes: Sequence[str] = ()
) -> str:
    """A whole robot file with a comment at every field.

    cameras: by role, `primary` and `wrist`; notes: lines for the top, about what was found.
    """
    head = "".join(f"# {note}\n" for note in notes)
    return _TEMPLATE.format(
        head=head + "#\n" if head else "",
        name=_string(name),
        arm=_string(arm),
        port=_string(port),
        primary=_camera(cameras["primary"]),
        wrist=_camera(cameras["wrist"]),
    )


def with_calibration(text: str, calibration: Mapping[str, Calibration]) -> str:
    """The file's text with this calibration instead of its own; all other lines stay.

    Raises ValueError if its calibration is not written in tables `[arm.calibration.NAME]`.
    """
    import msgspec

    kept: list[str] = []
    inside = False
    for line in text.splitlines():
        if _TABLE.match(line):
            inside = _CALIBRATION.match(line) is not None
        if not inside or line.lstrip().startswith("#"):
            kept.append(line)
    new = [
        f"[arm.calibration.{_key(name)}]\n"
        f"homing_offset = {found.homing_offset}\n"
        f"lower_step = {found.lower_step}\n"
        f"upper_step = {found.upper_step}\n"
        for name, found in calibration.items()
    ]
    changed = "\n".join(kept).rstrip("\n") + "\n\n" + "\n".join(new)
    wanted: dict[str, Any] = msgspec.toml.decode(text)
    wanted.setdefault("arm", {})["calibration"] = msgspec.to_builtins(calibration)
    if msgspec.toml.decode(changed) != wanted:
        raise ValueError("its calibration does not stand in tables [arm.calibration.NAME]")
    return changed


def _camera(source: CameraSource) -> str:
    """The fields of a camera that are not what they are by default."""
    import msgspec

    fields = msgspec.to_builtins(source)
    usual = msgspec.to_builtins(type(source)(kind=source.kind))
    return "\n".join(
        f"{name} = {_value(value)}"
        for name, value in fields.items()
        if name in ("kind", "fps") or value != usual[name]
    )


def _value(value: Any) -> str:
    """As TOML writes it; text, numbers, truth values and lists are as in JSON."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _string(name)


def _string(value: str) -> str:
    """As TOML's basic strings, whose escapes are those of JSON."""
    return json.dumps(value, ensure_ascii=False)


_TEMPLATE = """\
# One robot: the arm on this table, and the two cameras that look at it.
{head}# Every field is explained in docs/robot-file.md. After a change: dreamvla robot check

name = {name}

# ---- the arm ------------------------------------------------------------------------------------
[arm]

# The kind of arm: so101, koch, a TOML description of your own (a path beside this file), or
# "module:Class" for a driver of your own.
type = {arm}

# The serial port. A name from /dev/serial/by-id stays the same when other adapters are plugged in;
# "virtual" is a simulated arm.
port = {port}

# Where the arm may lose its torque, one angle [rad] per joint: `dreamvla arm home` goes there, and
# it is where the arm is lowered to before it is switched off.
# rest = [0.0, -1.7, 1.65, 0.9, 0.0]

# Instead of the limits of this kind of arm. All of them must be given together;
# `dreamvla arm limits robot.toml` shows those that hold now.
# [arm.limits]
# velocity_rad_s = 1.0              # of every joint
# acceleration_rad_s2 = 8.0
# stop_acceleration_rad_s2 = 30.0   # how hard a stop may brake
# windup_rad = 0.35                 # largest distance of a goal from the measured angle
# stall = {{ current_a = 1.2, error_rad = 0.15, persistence_s = 0.4 }}
# temperature_c = [60.0, 65.0]      # warns above the first, ends the run above the second
# voltage_v = [5.0, 14.0]
# workspace_m = [[-0.45, -0.45, 0.01], [0.45, 0.45, 0.45]]  # corners of a box, base frame
# joints = {{ wrist_roll = {{ velocity_rad_s = 2.0 }} }}        # another value for one joint

# The tool point in the frame of the last joint, if your gripper is not the one of this kind of arm.
# [arm.tool]
# origin_m = [-0.0079, -0.000218121, -0.0981274]
# origin_rpy_rad = [3.141592653589793, 0.0, 0.0]
# orientation_weight_m = 0.01

# Another gripper.
# [arm.gripper]
# servo = 6
# closed_step = 1422
# open_step = 2674
# finger_travel_m = 0.04            # way of each finger from closed to open
# torque_limit = 0.5                # share of the servo's full torque

# ---- cameras: what the network calls primary, and the one at the wrist --------------------------
# kind: v4l2, gstreamer, file, simulated, or "module:Class"; device: best from /dev/v4l/by-path.
# `dreamvla camera swap robot.toml` exchanges the two.
[cameras.primary]
{primary}
# crop = [0, 80, 480, 480]          # top, left, height, width of the raw frame that is kept [pixel]
# rotate = 180                      # clockwise: 0, 90, 180 or 270
# may_be_dark = true                # no fault, as where the camera looks into a dark box
# options = {{ fourcc = "MJPG" }}     # of this kind of camera, see docs/robot-file.md

[cameras.wrist]
{wrist}

# ---- calibration --------------------------------------------------------------------------------
# Written by `dreamvla arm calibrate robot.toml`: per servo the offset that is stored in it and the
# ends of its range [step]. Not to be changed by hand.
"""
