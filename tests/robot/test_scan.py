"""`dreamvla arm scan` on virtual servos of both protocols."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from commands import cure_of, document, dreamvla
from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.runtime.arms.port import Port
from dreamvla_edge.runtime.arms.scan import BROADCAST_S, fits, scan
from dreamvla_edge.sim.bus_process import BusProcess
from dreamvla_edge.sim.virtual_bus import VirtualBus


def test_the_servos_of_an_so101(bus: BusProcess) -> None:
    """All six with what they say of themselves; none is written to."""
    done = dreamvla("arm", "scan", bus.port, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    (port,) = document(done)["ports"]
    assert [servo["servo"] for servo in port["servos"]] == [1, 2, 3, 4, 5, 6]
    for servo in port["servos"]:
        assert (servo["protocol"], servo["baud"]) == ("feetech", 1_000_000)
        assert (servo["model"], servo["name"], servo["voltage_v"]) == (777, "STS3215", 12.0)
        assert bus.command(f"eeprom {servo['servo']}") == "0"


def test_the_servos_of_a_koch() -> None:
    """Two models on one bus, in the other protocol."""
    koch = load_description("koch")
    with BusProcess("koch") as bus:
        found = scan(bus.port, "dynamixel", [koch.baud])
        assert scan(bus.port, "feetech", [koch.baud]) == ()
    assert {servo.servo: servo.model for servo in found} == koch.models
    assert {servo.name for servo in found} == {"XL430-W250", "XL330-M288"}
    assert fits(koch, found) and not fits(load_description("so101"), found)
    assert not fits(koch, found[1:])


def test_unusual_ids() -> None:
    """As servos come from the shop (all 1), or as somebody has numbered them."""
    with VirtualBus({1: 2048, 42: 2048, 253: 2048}) as bus:
        assert [servo.servo for servo in scan(bus.port, "feetech", [1_000_000])] == [1, 42, 253]


def test_answers_to_a_broadcast_may_be_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servos with the usual ids are then found one by one."""
    assert BROADCAST_S > 0.7  # 254 ids, 3 ms each
    monkeypatch.setattr("dreamvla_edge.runtime.arms.scan.BROADCAST_S", 0.0)
    with VirtualBus({2: 2048, 5: 2048}) as bus:
        assert [servo.servo for servo in scan(bus.port, "feetech", [1_000_000])] == [2, 5]


def test_nobody_answers() -> None:
    """It says at which speeds it has asked."""
    with VirtualBus({}) as bus:
        done = dreamvla("arm", "scan", bus.port, "--baud", "57600")
    assert done.returncode == 0
    assert "no servo answers" in done.stdout
    assert "tried dynamixel at 57600 baud" in done.stdout


def test_a_busy_port_names_its_holder(bus: BusProcess) -> None:
    """The process that has it open."""
    port = Port(bus.port, 1_000_000)
    try:
        done = dreamvla("arm", "scan", bus.port)
    finally:
        port.close()
    assert done.returncode == 8
    assert f"is used by process {os.getpid()} (" in cure_of(done.stderr)[0]


def test_no_such_port(tmp_path: Path) -> None:
    """A clear error, and no servo is invented."""
    done = dreamvla("arm", "scan", tmp_path / "nothing", "--json")
    assert done.returncode == 8
    assert "does not exist" in cure_of(done.stderr)[0]
