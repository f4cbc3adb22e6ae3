"""The Dynamixel codec against the maker's SDK: the same bytes, the same CRC, the same table."""

from __future__ import annotations

from pathlib import Path

import dynamixel_easy_sdk
import dynamixel_sdk as sdk
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamvla_edge.runtime.arms import dynamixel
from dreamvla_edge.runtime.arms.status import Status

HANDLER = sdk.PacketHandler(2.0)
# Names that the maker's tables and ours have for the same register.
NAMES = {
    "model": "Model Number",
    "firmware": "Firmware Version",
    "id": "ID",
    "baud_index": "Baud Rate",
    "return_delay": "Return Delay Time",
    "secondary_id": "Secondary(Shadow) ID",
    "protocol": "Protocol Type",
    "max_temperature": "Temperature Limit",
    "max_voltage": "Max Voltage Limit",
    "min_voltage": "Min Voltage Limit",
    "max_position": "Max Position Limit",
    "min_position": "Min Position Limit",
    "status_level": "Status Return Level",
    "hardware_error": "Hardware Error Status",
    "d_gain": "Position D Gain",
    "i_gain": "Position I Gain",
    "p_gain": "Position P Gain",
    "feedforward_acceleration_gain": "Feedforward 2nd Gain",
    "feedforward_velocity_gain": "Feedforward 1st Gain",
    "present_voltage": "Present Input Voltage",
}


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


def sent_by_sdk(servo: int, instruction: int, parameters: bytes) -> bytes:
    """The packet that the SDK makes of an instruction.

    Its `txPacket` (4.1.0) stuffs a copy and sends the original, so the stuffing is called before.
    """
    port, length = _Recorder(), len(parameters) + 3
    packet = [0, 0, 0, 0, servo, length & 0xFF, length >> 8, instruction, *parameters, 0, 0]
    assert HANDLER.txPacket(port, HANDLER.addStuffing(packet)) == sdk.COMM_SUCCESS
    return port.sent


# Bytes that make up what has to be stuffed far oftener than chance would.
tricky = st.lists(st.sampled_from([0xFF, 0xFF, 0xFD, 0x00]), max_size=40).map(bytes)
payloads = st.binary(max_size=40) | tricky


@given(st.integers(0, 254), st.integers(1, 255), payloads)
def test_packets_are_those_of_the_sdk(servo: int, instruction: int, parameters: bytes) -> None:
    """Header, length, stuffing and CRC."""
    assert dynamixel.packet(servo, instruction, parameters) == sent_by_sdk(
        servo, instruction, parameters
    )


@given(st.binary(max_size=300))
def test_the_crc_is_that_of_the_sdk(data: bytes) -> None:
    """Of any bytes; and of the manual's example."""
    assert dynamixel.crc16(data) == HANDLER.updateCRC(0, data, len(data))


def test_the_manuals_packets() -> None:
    """PING of servo 1, and READ of present_position, as the e-manual prints them."""
    assert dynamixel.ping(1) == bytes.fromhex("FF FF FD 00 01 03 00 01 19 4E")
    assert dynamixel.read(1, 132, 4) == bytes.fromhex("FF FF FD 00 01 07 00 02 84 00 04 00 1D 15")
    assert dynamixel.write(1, 116, (512).to_bytes(4, "little")) == bytes.fromhex(
        "FF FF FD 00 01 09 00 03 74 00 00 02 00 00 CA 89"
    )
    assert dynamixel.sync_read([1, 2], 132, 4) == bytes.fromhex(
        "FF FF FD 00 FE 09 00 82 84 00 04 00 01 02 CE FA"
    )
    assert dynamixel.sync_write(
        116, {1: (150).to_bytes(4, "little"), 2: (170).to_bytes(4, "little")}
    ) == bytes.fromhex("FF FF FD 00 FE 11 00 83 74 00 04 00 01 96 00 00 00 02 AA 00 00 00 82 87")


def test_a_status_of_the_manual() -> None:
    """Servo 1 at step 166; the same without an answer to that question."""
    answer = bytes.fromhex("FF FF FD 00 01 08 00 55 00 A6 00 00 00 8C C0")
    assert dynamixel.StatusParser(4).feed(answer) == [Status(1, 0, b"\xa6\0\0\0")]
    assert dynamixel.StatusParser(3).feed(answer) == []


@given(st.integers(0, 253), st.sampled_from([0, 0x80, 4, 0x87]), payloads)
def test_the_sdk_reads_the_same_out_of_a_status(servo: int, error: int, data: bytes) -> None:
    """Both undo the stuffing; the SDK only at the end: it looks back at bytes it has moved."""
    wire = sent_by_sdk(servo, 0x55, bytes([error]) + data)
    assert dynamixel.StatusParser(len(data)).feed(wire) == [Status(servo, error, data)]
    if b"\xff\xff\xfd" not in data[:-1]:
        unstuffed = HANDLER.removeStuffing(list(wire))
        size = 7 + unstuffed[5] + 256 * unstuffed[6]
        assert bytes(unstuffed[9 : size - 2]) == data


@pytest.mark.parametrize("model", sorted(dynamixel.MODELS))
def test_registers_are_where_the_makers_table_has_them(model: int) -> None:
    """Address and size of every register that the model has, for every model that we know."""
    folder = Path(dynamixel_easy_sdk.__file__).parent / "control_table"
    names = dict(
        line.split("\t")[:2] for line in (folder / "dynamixel.model").read_text().splitlines()[1:]
    )
    assert dynamixel.MODELS[model].name.lower().replace("-", "_") == names[str(model)][:-6]
    _, _, table = (folder / names[str(model)]).read_text().partition("[control table]")
    theirs = {
        line.split("\t")[2].strip(): tuple(map(int, line.split("\t")[:2]))
        for line in table.strip().splitlines()[1:]
    }
    found = 0
    for name, register in dynamixel.REGISTERS.items():
        called = NAMES.get(name, name.replace("_", " ").title().replace("Pwm", "PWM"))
        called = called.replace("Led", "LED")
        if name == "present_current" and dynamixel.MODELS[model].current_a is None:
            called = "Present Load"
        if called in theirs:
            assert (register.address, register.size) == theirs[called], name
            found += 1
    measures_current = dynamixel.MODELS[model].current_a is not None
    assert found == len(dynamixel.REGISTERS) - (0 if measures_current else 2)


def test_every_fault_bit_has_a_name() -> None:
    """Bits that no table explains are faults too."""
    assert dynamixel.fault_names(0) == ()
    assert dynamixel.fault_names(0x3D) == (
        "voltage",
        "overheated",
        "angle sensor",
        "electrical shock",
        "overload",
    )
    assert dynamixel.fault_names(0x42) == ("unknown fault 2", "unknown fault 64")


@pytest.mark.parametrize(("servo", "size"), [(255, 1), (-1, 1), (1, 1001)])
def test_a_packet_that_cannot_be_is_refused(servo: int, size: int) -> None:
    """Nobody has the id 255, and servos take no packets beyond 1 kB."""
    with pytest.raises(ValueError, match="no packet"):
        dynamixel.packet(servo, dynamixel.WRITE, bytes(size))
