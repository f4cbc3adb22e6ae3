"""A virtual arm behind a real serial port, and its robot file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dreamvla_edge.cli.robot_text import new_text
from dreamvla_edge.runtime.cameras.source import CameraSource
from dreamvla_edge.sim.bus_process import BusProcess

SIMULATED = {role: CameraSource(kind="simulated") for role in ("primary", "wrist")}


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[BusProcess]:
    """Servos of an SO-101, every joint in its middle."""
    with BusProcess("so101", link=tmp_path / "port", log=tmp_path / "bus.log") as process:
        yield process


@pytest.fixture
def robot(bus: BusProcess, tmp_path: Path) -> Path:
    """The robot file of that arm, with simulated cameras."""
    file = tmp_path / "robot.toml"
    file.write_text(new_text("table", "so101", bus.port, SIMULATED))
    return file
