"""Arms by protocol. An arm of Feetech or Dynamixel servos needs a TOML file and no code.

To add a protocol: a codec as `feetech.py`, a driver as `feetech_arm.py`, a row in ARMS. An arm
of another kind: a class of your own with the methods of `arm.Arm`, named as "module:Class", whose
`description` can be asked of the class itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from dreamvla_edge.runtime.errors import ArmError

if TYPE_CHECKING:
    from dreamvla_edge.runtime.arms.arm import Arm
    from dreamvla_edge.runtime.arms.bus import Line
    from dreamvla_edge.runtime.arms.description import ArmDescription

# protocol of a description -> (module, class of the driver), imported on request
ARMS: Mapping[str, tuple[str, str]] = {
    "feetech": ("dreamvla_edge.runtime.arms.feetech_arm", "FeetechArm"),
    "dynamixel": ("dreamvla_edge.runtime.arms.dynamixel_arm", "DynamixelArm"),
}


def connect(description: ArmDescription, port: str | Line, **timing: float) -> Arm:
    """Opens the port of the arm described, given by its path or as a line that is open.

    timing: `cycle_s` and `latency_s`, see `ServoArm`.
    """
    module, driver = ARMS[description.protocol]
    arm: Arm = getattr(import_module(module), driver)(description, port, **timing)
    return arm


def own_driver(name: str) -> Any:
    """The class that "module:Class" names. Raises ArmError if it cannot be imported."""
    module, _, driver = name.partition(":")
    try:
        return getattr(import_module(module), driver)
    except (ImportError, AttributeError, ValueError) as error:
        raise ArmError(
            f"the arm {name!r} cannot be imported ({error})",
            "module:Class of an arm's driver",
            "install the module, or correct the name",
        ) from error
