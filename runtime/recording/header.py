"""What a recording is a recording of: `header.json`."""

from __future__ import annotations

from dreamvla_edge.runtime.arms.description import ArmDescription
from dreamvla_edge.runtime.specification import Contract, Specification

SCHEMA_VERSION = 1
"""Version of the recordings that this code writes and reads."""

HEADER_NAME = "header.json"


class Header(Contract, frozen=True):
    """Written once, when a recording begins.

    robot: name in the robot file; arm: its description, calibrated; specification: what the
    numbers of steps mean; rate_hz: steps wanted per second; started: wall clock, ISO 8601;
    version: of dreamvla-edge; lossless: frames are PNG, not JPEG; bundle: name of the bundle,
    empty for a demonstration; contract_sha256: as in the bundle's golden data.
    """

    robot: str
    arm: ArmDescription
    specification: Specification
    rate_hz: float
    started: str
    version: str
    lossless: bool = False
    bundle: str = ""
    contract_sha256: str = ""
    schema_version: int = SCHEMA_VERSION

    @property
    def joints(self) -> tuple[str, ...]:
        """Names of the joints, in the order of all arrays."""
        return tuple(joint.name for joint in self.arm.joints)
