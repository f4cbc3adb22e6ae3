"""Arms by name. To add one: a driver class as in `arm.py`, a `<name>.toml`, a row in ARMS."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from dreamvla_edge.runtime.errors import ArmError

if TYPE_CHECKING:
    from dreamvla_edge.runtime.arms.arm import Arm

# name of the arm and of its description -> (module, class of the driver), imported on request
ARMS: Mapping[str, tuple[str, str]] = {
    "so101": ("dreamvla_edge.runtime.arms.feetech_arm", "FeetechArm"),
}


def open_arm(name: str, port: str) -> Arm:
    """Connects to the arm `name` on a serial port; moves nothing and leaves torque as it is.

    Raises ArmError for an unknown name, a port that cannot be opened, a silent or wrong servo.
    """
    from dreamvla_edge.runtime.arms.description import load_description

    if name not in ARMS:
        raise ArmError(
            f"no arm is called {name!r}", f"one of {', '.join(sorted(ARMS))}", "name one of them"
        )
    module, driver = ARMS[name]
    arm: Arm = getattr(import_module(module), driver)(load_description(name), port)
    return arm
