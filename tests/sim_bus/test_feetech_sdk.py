"""The vendor's SDK on the virtual bus: it says what our codec says, and understands the answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import scservo_sdk as sdk

from dreamvla_edge.runtime.arms import feetech
from dreamvla_edge.sim.virtual_bus import VirtualBus

SUCCESS = 0


@pytest.fixture
def port(virtual_bus: VirtualBus) -> Iterator[Any]:
    """The SDK's port on the virtual bus."""
    port = sdk.PortHandler(virtual_bus.port)
    assert port.openPort()
    # Its deadline is 34 ms on the wall clock and it waits in a busy loop, which starves the
    # thread of the virtual bus: not what is tested here.
    port.setPacketTimeout = lambda length: port.setPacketTimeoutMillis(5000)
    yield port
    port.closePort()


class _Recorder:
    """A port that keeps what it is told to send."""

    is_using = False
    sent = b""

    def clearPort(self) -> None:
        """Nothing to drop."""

    def setPacketTimeout(self, length: int) -> None:
        """Nothing will be waited for."""

    def writePort(self, packet: list[int]) -> int:
        """Keeps the packet."""
        self.sent = bytes(packet)
        return len(packet)


def test_the_sdk_sends_the_same_bytes() -> None:
    """PING, READ, WRITE, SYNC_READ and SYNC_WRITE."""
    handler, port = sdk.PacketHandler(0), _Recorder()

    def sent(parameters: list[int], servo: int, instruction: int) -> bytes:
        packet = [0, 0, servo, len(parameters) + 2, instruction, *parameters, 0]
        handler.txPacket(port, packet)
        port.is_using = False
        return port.sent

    assert sent([], 1, 1) == feetech.ping(1)
    assert sent([56, 15], 253, 2) == feetech.read(253, 56, 15)
    assert sent([42, 255, 255], 3, 3) == feetech.write(3, 42, b"\xff\xff")
    handler.syncReadTx(port, 56, 2, [1, 2, 3], 3)
    port.is_using = False
    assert port.sent == feetech.sync_read([1, 2, 3], 56, 2)
    handler.syncWriteTxOnly(port, 42, 2, [1, 0, 8, 2, 232, 3], 6)
    assert port.sent == feetech.sync_write(42, {1: b"\x00\x08", 2: b"\xe8\x03"})


@pytest.mark.parametrize("value", [0, 1, 2047, -1, -2047, 32767, -32767])
def test_the_sdk_means_the_same_by_a_sign(value: int) -> None:
    """Sign bit 15, in the SDK's own functions."""
    word = int.from_bytes(feetech.encode("goal_position", value), "little")
    assert sdk.SCS_TOSCS(value, 15) == word
    assert sdk.SCS_TOHOST(word, 15) == value


def test_the_sdk_reads_and_writes_virtual_servos(virtual_bus: VirtualBus, port: Any) -> None:
    """Ping with model, single read and write, an error byte."""
    handler = sdk.PacketHandler(0)
    assert handler.ping(port, 2) == (777, SUCCESS, 0)
    assert handler.read2ByteTxRx(port, 3, 56) == (2200, SUCCESS, 0)
    virtual_bus.registers(3)[65] = 0x20
    assert handler.write2ByteTxRx(port, 3, 42, 2201) == (SUCCESS, 0x20)
    assert [(w.servo, w.address, w.data) for w in virtual_bus.writes] == [(3, 42, b"\x99\x08")]


def test_the_sdk_reads_and_writes_many_servos_at_once(virtual_bus: VirtualBus, port: Any) -> None:
    """Group sync read and group sync write."""
    handler = sdk.PacketHandler(0)
    reader, writer = (
        sdk.GroupSyncRead(port, handler, 56, 2),
        sdk.GroupSyncWrite(port, handler, 42, 2),
    )
    for servo in range(1, 7):
        assert reader.addParam(servo)
        assert writer.addParam(servo, [servo, 8])
    assert writer.txPacket() == SUCCESS
    assert reader.txRxPacket() == SUCCESS
    assert [reader.getData(s, 56, 2) for s in range(1, 7)] == [2000, 1900, 2200, 2300, 1800, 2100]
    assert [(w.servo, w.address, w.data) for w in virtual_bus.writes] == [
        (servo, 42, bytes([servo, 8])) for servo in range(1, 7)
    ]
