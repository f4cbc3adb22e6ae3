"""What servos can refuse, in words."""

from __future__ import annotations

from collections.abc import Sequence

from dreamvla_edge.runtime.arms.arm import SilentServos
from dreamvla_edge.runtime.errors import ArmError


def silence(port: str, servos: Sequence[int]) -> SilentServos:
    """The error for servos that do not answer."""
    return SilentServos(
        tuple(servos),
        f"no answer from servo {_ids(servos)} on {port}",
        "every servo of the arm answers",
        "check servo power and the cable before the first silent servo; after an overload, switch"
        " the servo power off and on",
    )


def refusal(port: str, register: str, servos: Sequence[int]) -> ArmError:
    """The error for servos that answer but do not keep what is written."""
    return ArmError(
        f"servo {_ids(servos)} on {port} does not take {register}",
        "a servo that keeps what is written",
        "remove the cause of a fault (obstacle, heat, weak supply), then switch the servo power off"
        " and on",
    )


def _ids(servos: Sequence[int]) -> str:
    return ", ".join(map(str, servos))
