"""What the transport does to any protocol: its pace, its adapter, its cable."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import serial

from dreamvla_edge.sim.bus_log import BusLog
from dreamvla_edge.sim.virtual_bus import VirtualBus
from sim_bus.wire import Client, client, feetech

IDS = bytes(range(1, 7))
BLOCK = feetech(0xFE, 0x82, b"\x38\x0f" + IDS)
ANSWER_BYTES = 6 * 21


@pytest.mark.parametrize("delay", [0, 250])
def test_a_transaction_takes_what_its_bytes_take(
    delay: int, record_property: pytest.RecordProperty
) -> None:
    """Never less than bytes and return delays need; the median is printed, and no burst of sleeps.

    The bound is generous: late sleeps on a loaded machine must not add up to more than twice.
    """
    with VirtualBus(dict.fromkeys(IDS, 2048)) as bus, client(bus.port) as host:
        for servo in IDS:
            bus.registers(servo)[7] = delay
        needed = (len(BLOCK) + ANSWER_BYTES) * 10 / 1_000_000 + 6 * delay * 2e-6
        durations = []
        for _ in range(101):
            start = time.monotonic()
            assert len(host.ask(BLOCK, ANSWER_BYTES)) == ANSWER_BYTES
            durations.append(time.monotonic() - start)
            time.sleep(0.002)
    ratio = sorted(durations)[50] / needed
    print(f"return delay {delay * 2} µs: {ratio:.3f} of what the bytes need")
    record_property("ratio", ratio)
    assert min(durations) >= needed
    assert ratio < 2


def test_the_adapter_holds_bytes_back() -> None:
    """Six answers that the wire carries in 1.4 ms arrive at a tick of 16 ms, all at once."""
    with (
        VirtualBus(dict.fromkeys(IDS, 2048), usb_latency_s=0.016) as bus,
        client(bus.port) as host,
    ):
        for servo in IDS:
            bus.registers(servo)[7] = 0
        ticks = []
        for _ in range(10):
            host.serial.write(BLOCK)
            while not host.serial.in_waiting:
                time.sleep(0.0002)
            ticks.append(time.monotonic() % 0.016)
            assert len(host.serial.read(ANSWER_BYTES)) == ANSWER_BYTES
            time.sleep(0.003)
    assert sorted(ticks)[5] < 0.008


def test_a_cable_that_is_pulled_and_put_back(tmp_path: Path) -> None:
    """The host gets an error; the link leads to the new device; the servos went on turning."""
    link = tmp_path / "arm"
    with VirtualBus({1: 2000}, link=link) as bus:
        assert bus.port == str(link)
        host = Client(bus.port)
        host.ask(feetech(1, 3, b"\x28\x01"), 6)
        host.ask(feetech(1, 3, b"\x2a" + (2500).to_bytes(2, "little")), 6)
        bus.unplug()
        assert not link.exists()
        with pytest.raises((OSError, serial.SerialException)):
            for _ in range(3):
                host.serial.write(feetech(1, 1))
                host.serial.read(6)
        with pytest.raises(FileNotFoundError):
            os.stat(bus.port)
        bus.unplug()
        bus.replug()
        bus.replug()
        with client(bus.port) as again:
            start = time.monotonic()
            while again.ask(feetech(1, 2, b"\x38\x02"), 8)[5:7] != (2500).to_bytes(2, "little"):
                assert time.monotonic() - start < 30
    host.serial.close()
    assert not os.path.lexists(link)


def test_a_new_device_without_a_link() -> None:
    """Its name may be another one; it answers."""
    with VirtualBus({1: 2000}) as bus:
        bus.unplug()
        assert bus.port == ""
        bus.replug()
        with client(bus.port) as host:
            assert host.ask(feetech(1, 1), 6) == bytes.fromhex("FFFF010200FC")


def test_a_servo_that_was_renamed_answers_to_its_new_id() -> None:
    """The bus itself goes on calling it by its first id."""
    with VirtualBus({1: 2000, 2: 1900}) as bus, client(bus.port) as host:
        host.ask(feetech(1, 3, b"\x05\x07"), 6)
        assert host.hear(feetech(1, 1)) == b""
        assert host.ask(feetech(7, 2, b"\x38\x02"), 8)[5:7] == (2000).to_bytes(2, "little")
        assert bus.position(1) == 2000


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_log_that_cannot_be_written_takes_the_device_away(tmp_path: Path) -> None:
    """A host must not go on as if it were recorded; closing still works."""
    log = BusLog(tmp_path / "log", "arm", "feetech", 1_000_000, [1])
    with VirtualBus({1: 2000}, link=tmp_path / "arm", log=log) as bus:
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, log._file)
        start = time.monotonic()
        while os.path.lexists(bus.port):
            assert time.monotonic() - start < 30
            time.sleep(0.01)
        bus.unplug()
    os.close(full)


def test_nothing_is_left_behind() -> None:
    """Opening and closing costs no descriptors and no threads."""
    with VirtualBus({1: 2000}):
        pass
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with VirtualBus({1: 2000}) as bus:
            bus.unplug()
            bus.replug()
        bus.close()
    assert len(os.listdir("/proc/self/fd")) == before
