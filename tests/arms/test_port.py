"""The serial port: opening it, what its errors say, what kind of adapter it is."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import serial

from dreamvla_edge.runtime.arms import port as port_module
from dreamvla_edge.runtime.arms.port import Port
from dreamvla_edge.runtime.arms.port_holder import port_holder
from dreamvla_edge.runtime.errors import ArmError
from dreamvla_edge.sim.virtual_bus import VirtualBus

BAUD = 1_000_000
HOLDER = """
import serial, sys
port = serial.Serial(sys.argv[1], exclusive=True)
print("open", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def virtual() -> Iterator[VirtualBus]:
    """A device that can be opened."""
    with VirtualBus({1: 2048}) as bus:
        yield bus


def test_no_such_port() -> None:
    """The error lists the ports there are."""
    with pytest.raises(ArmError, match="does not exist") as caught:
        Port("/dev/serial/by-id/nothing", BAUD)
    assert "ports here" in caught.value.cure


def test_a_port_that_another_program_uses(virtual: VirtualBus, tmp_path: Path) -> None:
    """Its process id and command line are named, behind a link too; closed, the port is free."""
    link = tmp_path / "arm"
    link.symlink_to(virtual.port)
    program = [sys.executable, "-c", HOLDER, virtual.port]
    with subprocess.Popen(program, stdin=-1, stdout=-1, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "open\n"
        for name in (virtual.port, str(link)):
            with pytest.raises(ArmError) as caught:
                Port(name, BAUD)
            assert f"used by process {holder.pid} (" in caught.value.found
            assert caught.value.found.endswith(f"{virtual.port})")
            # This very process has the device open as well, but not locked.
            assert str(os.getpid()) not in caught.value.found
        holder.communicate()
    Port(virtual.port, BAUD).close()


def test_a_holder_that_cannot_be_seen(tmp_path: Path) -> None:
    """Another user's open files are hidden."""
    assert port_holder(str(tmp_path / "nobody has this open")) == "another user's process"


def test_a_port_without_permission(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cure is the group, not chmod. (Root may open everything, so the refusal is staged.)"""

    def refuse(*_: object, **__: object) -> None:
        raise serial.SerialException(errno.EACCES, "Permission denied")

    monkeypatch.setattr(serial, "Serial", refuse)
    with pytest.raises(ArmError, match="this user") as caught:
        Port("/dev/ttyACM0", BAUD)
    assert "dialout" in caught.value.cure


def test_a_file_is_no_port(tmp_path: Path, virtual: VirtualBus) -> None:
    """Neither is an impossible speed a speed."""
    (tmp_path / "file").touch()
    with pytest.raises(ArmError, match="cannot be opened"):
        Port(str(tmp_path / "file"), BAUD)
    with pytest.raises(ArmError, match="cannot be opened"):
        Port(virtual.port, -1)


@pytest.mark.parametrize(
    ("timer", "expected_s"), [(None, 0.008), ("16\n", 0.020), ("1\n", 0.005), ("?", 0.008)]
)
def test_an_adapter_with_a_latency_timer_is_waited_for(
    virtual: VirtualBus,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    timer: str | None,
    expected_s: float,
) -> None:
    """An FTDI adapter as it comes holds bytes back for 16 ms; Linux says so in /sys."""
    if timer is not None:
        file = tmp_path / Path(virtual.port).name / "device" / "latency_timer"
        file.parent.mkdir(parents=True)
        file.write_text(timer)
    monkeypatch.setattr(
        port_module, "Path", lambda *p: tmp_path.joinpath(*p[1:]) if len(p) > 1 else Path(*p)
    )
    with closing(Port(virtual.port, BAUD)) as port:
        assert port.latency_s() == pytest.approx(expected_s)
