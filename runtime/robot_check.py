"""Whether a robot is what its file and a bundle expect. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dreamvla_edge.runtime import motion
from dreamvla_edge.runtime.arms.arm import ArmReading
from dreamvla_edge.runtime.arms.description import ArmDescription
from dreamvla_edge.runtime.arms.kinematics import Chain, chain_of
from dreamvla_edge.runtime.bundle import Bundle
from dreamvla_edge.runtime.cameras import health
from dreamvla_edge.runtime.cameras.source import CameraSource
from dreamvla_edge.runtime.errors import ArmError
from dreamvla_edge.runtime.specification import (
    UNUSED,
    CameraSpecification,
    Dimension,
    Specification,
    StateSpecification,
)

NORMALISED = 4.0
"""Largest network number of a state that training can have seen: four standard deviations from
the mean, or four half ranges from the middle, whichever the data set was normalised with."""
RATE_SHARE = 0.9
"""Share of the frames asked for that must arrive."""
OUTSIDE_RAD = 0.05
"""How far beyond a limit a joint may hang: the ends of its range give, and gears have play."""


@dataclass(frozen=True)
class Finding:
    """One row of the verdict: what was looked at, what was found, what was expected."""

    what: str
    found: str
    expected: str
    good: bool


def arm_findings(description: ArmDescription, reading: ArmReading) -> tuple[Finding, ...]:
    """Fault bits, temperature and voltage of every servo; joints within their limits."""
    limits = description.limits
    names = [*(joint.name for joint in description.joints), "gripper"]
    found = []
    for name, servo in zip(names, reading.servos, strict=True):
        good = (
            not servo.faults
            and servo.temperature_c < limits.temperature_c.warn
            and limits.voltage_v.min <= servo.voltage_v <= limits.voltage_v.max
        )
        faults = ", ".join(servo.faults) or "no fault"
        found.append(
            Finding(
                name,
                f"{servo.voltage_v:.1f} V, {servo.temperature_c:.0f} °C, {faults}",
                f"{limits.voltage_v.min:g} to {limits.voltage_v.max:g} V, below"
                f" {limits.temperature_c.warn:g} °C, no fault",
                good,
            )
        )
    for joint, angle in zip(description.joints, reading.joints, strict=True):
        low, high = joint.lower_rad, joint.upper_rad
        found.append(
            Finding(
                f"{joint.name} angle",
                f"{angle:.3f} rad",
                f"{low:.3f} to {high:.3f} rad",
                bool(low - OUTSIDE_RAD <= angle <= high + OUTSIDE_RAD),
            )
        )
    return tuple(found)


def camera_findings(
    source: CameraSource,
    camera: CameraSpecification,
    image: NDArray[np.uint8],
    stamps_s: Sequence[float],
) -> tuple[Finding, ...]:
    """Size, rate and light of one camera.

    image: RGB (height, width, 3), one of those that it gave; stamps_s: of two or more successive
    frames, monotonic [s].
    """
    shape, wanted = image.shape, (camera.height, camera.width, 3)
    measured = (len(stamps_s) - 1) / (stamps_s[-1] - stamps_s[0])
    light, spread = float(image.mean()), float(image.std())
    limits = health.Limits.at_rate(source.fps, source.may_be_dark)
    return (
        Finding(
            f"{camera.role} camera",
            f"frames of {' x '.join(map(str, shape))}",
            " x ".join(map(str, wanted)),
            shape == wanted,
        ),
        Finding(
            f"{camera.role} rate",
            f"{measured:.1f} Hz",
            f"{source.fps:g} Hz",
            measured >= RATE_SHARE * source.fps,
        ),
        Finding(
            f"{camera.role} light",
            f"mean brightness {light:.0f} of 255",
            f"{limits.dark_mean:g} or more",
            light >= limits.dark_mean or spread >= limits.dark_spread,
        ),
    )


def bundle_findings(
    description: ArmDescription,
    specification: Specification,
    reading: ArmReading,
    frames: Mapping[str, NDArray[np.uint8]],
) -> tuple[Finding, ...]:
    """Whether a bundle's actions, state and cameras are those of this robot.

    specification: of the bundle; frames: RGB (height, width, 3) by role, one of each camera.
    """
    chain = chain_of(description)
    try:
        motion.require_fit(specification, chain)
    except ArmError as error:
        return (Finding("actions", error.found, error.expected, False),)
    kind, names = specification.action.kind, ", ".join(chain.names)
    found = [Finding("actions", f"{kind} of {specification.name!r}", f"for {names}", True)]
    for camera in specification.cameras:
        shape = frames[camera.role].shape
        wanted = (camera.height, camera.width, 3)
        found.append(
            Finding(f"{camera.role} frame", str(shape), str(wanted), tuple(shape) == wanted)
        )
    return (*found, *_state_findings(description, chain, specification.state, reading))


def mismatches(
    description: ArmDescription,
    bundle: Bundle,
    reading: ArmReading,
    frames: Mapping[str, NDArray[np.uint8]],
) -> tuple[str, ...]:
    """Why this bundle must not drive this robot, a sentence each; none if it may.

    description: of this very arm, as `describe` gives it; frames: RGB (height, width, 3) uint8
    by role.
    """
    return tuple(
        f"{row.what}: {row.found}, expected {row.expected}"
        for row in bundle_findings(description, bundle.manifest.specification, reading, frames)
        if not row.good
    )


def _state_findings(
    description: ArmDescription, chain: Chain, state: StateSpecification, reading: ArmReading
) -> list[Finding]:
    """The live state beside the range that the data set's normalisation tells.

    A dimension that the data set does not normalise (scale 1, offset 0) tells no range.
    """
    values = motion.state_vector(state, description, chain, reading, command=1.0)
    found = []
    for dimension, value in zip(state.dimensions, values[: len(state.dimensions)], strict=True):
        if dimension.name == UNUSED or (dimension.scale == 1.0 and dimension.offset == 0.0):
            continue
        low, high = _range(dimension)
        found.append(
            Finding(
                f"state {dimension.name}",
                f"{value:.3f} {dimension.unit}",
                f"{low:.3f} to {high:.3f} {dimension.unit}, as in training",
                bool(low <= value <= high),
            )
        )
    return found


def _range(dimension: Dimension) -> tuple[float, float]:
    """Values [of its unit] that the network can have seen."""
    reach = NORMALISED * abs(dimension.scale)
    return dimension.offset - reach, dimension.offset + reach
