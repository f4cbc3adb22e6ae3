"""Adapters from a tree like Linux's /sys, and the udev rules for them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dreamvla_edge.runtime.arms import adapters as module
from dreamvla_edge.runtime.arms.adapters import Adapter, adapters, udev_rule

FTDI = Adapter("/dev/ttyUSB0", "/dev/serial/by-id/usb-FTDI", "0403", "6014", "FT1", "ftdi_sio")


def plug(
    root: Path, tty: str, usb: str, driver: str, identity: dict[str, str], below: bool
) -> None:
    """One adapter as the kernel lays it out; below: with a port device below the interface."""
    device = root / "sys/devices/usb1" / usb
    interface = device / f"{usb}:1.0"
    port = interface / tty if below else interface
    port.mkdir(parents=True)
    for name, value in identity.items():
        (device / name).write_text(value + "\n")
    drivers = root / "sys/bus/drivers" / driver
    drivers.mkdir(parents=True, exist_ok=True)
    (port / "driver").symlink_to(drivers)
    entry = root / "sys/class/tty" / tty
    entry.mkdir(parents=True)
    (entry / "device").symlink_to(port)
    (root / "dev" / tty).touch()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with two adapters and a port of its own."""
    (tmp_path / "dev/serial/by-id").mkdir(parents=True)
    identity = {"idVendor": "1a86", "idProduct": "55d3", "serial": "5A7A"}
    plug(tmp_path, "ttyACM0", "1-1", "cdc_acm", identity, below=False)
    plug(tmp_path, "ttyUSB0", "1-2", "ftdi_sio", {"idVendor": "0403", "idProduct": "6014"}, True)
    (tmp_path / "sys/class/tty/ttyS0").mkdir()
    (tmp_path / "dev/serial/by-id/usb-servo").symlink_to("../../ttyACM0")
    monkeypatch.setattr(module, "SYS", tmp_path / "sys")
    monkeypatch.setattr(module, "DEV", tmp_path / "dev")
    return tmp_path


def test_adapters(machine: Path) -> None:
    """USB adapters only, each with the name that lasts, if it has one."""
    dev = machine / "dev"
    assert adapters() == (
        Adapter(
            f"{dev}/ttyACM0", f"{dev}/serial/by-id/usb-servo", "1a86", "55d3", "5A7A", "cdc_acm"
        ),
        Adapter(f"{dev}/ttyUSB0", f"{dev}/ttyUSB0", "0403", "6014", "", "ftdi_sio"),
    )


def keys(rule: str) -> list[dict[str, str]]:
    """Every rule as key and operator → value, by a parser that knows nothing else."""
    lines = [line for line in rule.splitlines() if not line.startswith("#")]
    for line in lines:
        assert re.fullmatch(r'([A-Z]+(\{\w+\})?(==|=|\+=)"[^"]*"(, |$))+', line), line
    return [dict(re.findall(r'([A-Z]+(?:\{\w+\})?(?:==|=|\+=))"([^"]*)"', x)) for x in lines]


def test_the_rule_of_an_ftdi_adapter() -> None:
    """Group and name for the port, and a latency timer of 1 ms for its chip."""
    identity = {
        "ATTRS{idVendor}==": "0403",
        "ATTRS{idProduct}==": "6014",
        "ATTRS{serial}==": "FT1",
    }
    assert keys(udev_rule(FTDI, "left arm")) == [
        {
            "SUBSYSTEM==": "tty",
            **identity,
            "MODE=": "0660",
            "GROUP=": "dialout",
            "SYMLINK+=": "dreamvla-left-arm",
        },
        {
            "ACTION==": "add",
            "SUBSYSTEM==": "usb-serial",
            "DRIVER==": "ftdi_sio",
            **identity,
            "ATTR{latency_timer}=": "1",
        },
    ]


def test_a_serial_number_cannot_add_to_the_rule() -> None:
    """It comes from whatever was plugged in and is read by a program that runs as root."""
    evil = Adapter("/dev/ttyACM0", "/dev/x", "1a86", "55d3", '1", RUN+="/bin/sh\n*', "cdc_acm")
    (rule,) = keys(udev_rule(evil, 'a", RUN+="b'))
    assert rule["ATTRS{serial}=="] == "1?? RUN???/bin/sh??"
    assert rule["SYMLINK+="] == "dreamvla-a---RUN---b"
    assert "RUN+=" not in rule


def test_an_adapter_without_a_serial_number() -> None:
    """Matches all of its kind, and the rule says so."""
    plain = Adapter("/dev/ttyUSB0", "/dev/ttyUSB0", "1a86", "7523", "", "ch341")
    rule = udev_rule(plain, "so101")
    assert "every other of its kind" in rule
    assert "ATTRS{serial}==" not in keys(rule)[0]
