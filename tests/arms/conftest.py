"""A virtual arm of every kind that ships."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from dreamvla_edge.runtime.arms import connect
from dreamvla_edge.runtime.arms.arm import Arm
from dreamvla_edge.runtime.arms.description import ArmDescription, load_description, shipped_arms
from dreamvla_edge.sim.virtual_arm import virtual_arm
from dreamvla_edge.sim.virtual_bus import VirtualBus

# A loaded test machine is no reason to fail. Nobody waits that long where everybody answers.
PATIENT_S = 5.0


@pytest.fixture(params=shipped_arms())
def description(request: pytest.FixtureRequest) -> ArmDescription:
    """Each arm that ships, in turn."""
    return load_description(request.param)


@pytest.fixture
def virtual(description: ArmDescription) -> Iterator[VirtualBus]:
    """Its servos on a bus, in the middle of their ranges."""
    with virtual_arm(description) as bus:
        yield bus


@pytest.fixture
def arm(description: ArmDescription, virtual: VirtualBus) -> Iterator[Arm]:
    """Its driver; the port is open, nothing has been asked yet."""
    with closing(connect(description, virtual.port, latency_s=PATIENT_S)) as arm:
        yield arm
