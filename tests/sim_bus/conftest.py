"""A virtual SO-101."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dreamvla_edge.sim.virtual_bus import VirtualBus

# Somewhere inside every joint's limits, all different.
START = {1: 2000, 2: 1900, 3: 2200, 4: 2300, 5: 1800, 6: 2100}


@pytest.fixture
def virtual_bus() -> Iterator[VirtualBus]:
    """Six servos at 1 Mbit/s with the factory's return delay."""
    with VirtualBus(START) as bus:
        yield bus
