"""The wire format of Dynamixel X servos ("protocol 2.0"): packets, registers, units.

    instruction  FF FF FD 00 ID LEN LEN INST PARAMETER.. CRC CRC    LEN = parameters + 3
    status       FF FF FD 00 ID LEN LEN 55 ERR DATA..    CRC CRC    LEN = data bytes + 4

Words are little-endian, signs two's complement. FF FF FD among parameters or data is followed by
one more FD, which LEN counts. The CRC (polynomial 8005, start 0) covers everything before it.
Nothing here does I/O or reads a clock.
Sources: ROBOTIS e-manual "Protocol 2.0" and "Control table" of the X series; dynamixel-sdk.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from dreamvla_edge.runtime.arms.control_table import ControlTable, Register
from dreamvla_edge.runtime.arms.status import HIGHEST_ID, Status, StatusScanner

PING, READ, WRITE, SYNC_READ, SYNC_WRITE = 0x01, 0x02, 0x03, 0x82, 0x83
BROADCAST = 0xFE
STATUS_BYTES = 11  # of a status without data
PING_DATA_BYTES = 3  # model and firmware
ALERT = 0x80  # bit of the error byte: the register hardware_error says more
VELOCITY_RAD_S = 0.229 * 2 * math.pi / 60  # per unit of present_velocity
WATCHDOG_S = 0.02  # per unit of bus_watchdog

_HEADER, _STATUS = b"\xff\xff\xfd\x00", 0x55
_STUFFED, _STUFFING = b"\xff\xff\xfd", b"\xfd"
_HIGHEST_ERROR = 7

# Bits of the register hardware_error.
ERRORS: Mapping[int, str] = {
    0: "voltage",
    2: "overheated",
    3: "angle sensor",
    4: "electrical shock",
    5: "overload",
}

REGISTERS: Mapping[str, Register] = {
    "model": Register(0, 2),
    "firmware": Register(6),
    "id": Register(7),
    "baud_index": Register(8),
    "return_delay": Register(9),  # 2 µs
    "drive_mode": Register(10),  # 1 reversed, 4 profile by time, 8 torque on with a goal
    "operating_mode": Register(11),  # 3 position, 4 several turns, 5 with a limit of current
    "secondary_id": Register(12),
    "protocol": Register(13),
    "homing_offset": Register(20, 4, "two"),  # present = actual + offset
    "moving_threshold": Register(24, 4),
    "max_temperature": Register(31),
    "max_voltage": Register(32, 2),  # 0.1 V
    "min_voltage": Register(34, 2),
    "pwm_limit": Register(36, 2),
    "current_limit": Register(38, 2),
    "velocity_limit": Register(44, 4),
    "max_position": Register(48, 4),
    "min_position": Register(52, 4),
    "shutdown": Register(63),
    "torque_enable": Register(64, highest=1),
    "led": Register(65),
    "status_level": Register(68),
    "registered_instruction": Register(69),
    "hardware_error": Register(70),
    "velocity_i_gain": Register(76, 2),
    "velocity_p_gain": Register(78, 2),
    "d_gain": Register(80, 2),
    "i_gain": Register(82, 2),
    "p_gain": Register(84, 2),
    "feedforward_acceleration_gain": Register(88, 2),
    "feedforward_velocity_gain": Register(90, 2),
    "bus_watchdog": Register(98, 1, "two"),  # 20 ms; -1 after it has stopped the servo
    "goal_pwm": Register(100, 2, "two"),
    "goal_current": Register(102, 2, "two"),
    "goal_velocity": Register(104, 4, "two"),
    "profile_acceleration": Register(108, 4),
    "profile_velocity": Register(112, 4),
    "goal_position": Register(116, 4, "two"),
    "realtime_tick": Register(120, 2),
    "moving": Register(122),
    "moving_status": Register(123),
    "present_pwm": Register(124, 2, "two"),
    "present_current": Register(126, 2, "two"),  # a load [0.1 %] in models that do not measure it
    "present_velocity": Register(128, 4, "two"),
    "present_position": Register(132, 4, "two"),
    "velocity_trajectory": Register(136, 4, "two"),
    "position_trajectory": Register(140, 4, "two"),
    "present_voltage": Register(144, 2),  # 0.1 V
    "present_temperature": Register(146),  # °C
}
TABLE = ControlTable(
    REGISTERS,
    stored_below=64,
    fixed=frozenset({"model", "firmware", "id", "baud_index", "secondary_id", "protocol"}),
)


class Model(NamedTuple):
    """What the kinds of servo do not share.

    current_a: unit of present_current [A], None if that register holds the load; stall_a:
    current [A] of the blocked servo at its usual voltage, which turns one into the other.
    """

    name: str
    current_a: float | None
    stall_a: float


# By the number that a servo reports; figures of the e-manual.
MODELS: Mapping[int, Model] = {
    1020: Model("XM430-W350", 0.00269, 2.3),
    1030: Model("XM430-W210", 0.00269, 2.3),
    1060: Model("XL430-W250", None, 1.4),
    1090: Model("2XL430-W250", None, 1.4),
    1120: Model("XM540-W270", 0.00269, 4.4),
    1130: Model("XM540-W150", 0.00269, 4.4),
    1190: Model("XL330-M077", 0.001, 1.47),
    1200: Model("XL330-M288", 0.001, 1.47),
}


def _crc_of_high_byte(byte: int) -> int:
    crc = byte << 8
    for _ in range(8):
        crc = crc << 1 ^ (0x8005 if crc & 0x8000 else 0)
    return crc & 0xFFFF


_CRC = tuple(_crc_of_high_byte(byte) for byte in range(256))


def crc16(data: bytes) -> int:
    """CRC of a packet's bytes before the CRC, header included."""
    crc = 0
    for byte in data:
        crc = crc << 8 & 0xFFFF ^ _CRC[crc >> 8 ^ byte]
    return crc


def packet(servo: int, instruction: int, parameters: bytes = b"") -> bytes:
    """Instruction packet. Raises ValueError for an id above 254 or more than 1000 parameters."""
    if not 0 <= servo <= BROADCAST or len(parameters) > 1000:
        raise ValueError(f"no packet for id {servo} with {len(parameters)} parameter bytes")
    body = (bytes([instruction]) + parameters).replace(_STUFFED, _STUFFED + _STUFFING)
    packet = _HEADER + bytes([servo]) + (len(body) + 2).to_bytes(2, "little") + body
    return packet + crc16(packet).to_bytes(2, "little")


def ping(servo: int) -> bytes:
    """Asks one servo, or all (BROADCAST), for a status with PING_DATA_BYTES."""
    return packet(servo, PING)


def read(servo: int, address: int, size: int) -> bytes:
    """Asks one servo for `size` bytes from `address` on."""
    return packet(servo, READ, _word(address) + _word(size))


def write(servo: int, address: int, data: bytes) -> bytes:
    """Writes data into one servo, which acknowledges with a status."""
    return packet(servo, WRITE, _word(address) + data)


def sync_read(servos: Sequence[int], address: int, size: int) -> bytes:
    """Asks several servos; each answers with its own status, in the order given."""
    return packet(BROADCAST, SYNC_READ, _word(address) + _word(size) + bytes(servos))


def sync_write(address: int, data: Mapping[int, bytes]) -> bytes:
    """Writes equally long data into several servos at once; none of them answers."""
    (size,) = {len(part) for part in data.values()}
    parts = b"".join(bytes([servo]) + part for servo, part in data.items())
    return packet(BROADCAST, SYNC_WRITE, _word(address) + _word(size) + parts)


def fault_names(hardware_error: int) -> tuple[str, ...]:
    """Names of the faults in the register hardware_error."""
    return tuple(
        ERRORS.get(bit, f"unknown fault {1 << bit}")
        for bit in range(8)
        if hardware_error >> bit & 1
    )


class StatusParser(StatusScanner):
    """Finds the status packets with `data_size` data bytes, stuffing not counted."""

    def __init__(self, data_size: int) -> None:
        self._data_size = data_size
        super().__init__(data_size + data_size // 3 + STATUS_BYTES)

    def _take(self, candidate: bytes) -> tuple[Status | None, int]:
        if not self._may_begin(candidate):
            return None, 1
        size = 7 + int.from_bytes(candidate[5:7], "little")
        if len(candidate) < 7 or len(candidate) < size:
            return None, 0
        packet = candidate[:size]
        data = packet[9:-2].replace(_STUFFED + _STUFFING, _STUFFED)
        # Stuffed again it must give the same bytes: FF FF FD without FD is no data.
        whole = data.replace(_STUFFED, _STUFFED + _STUFFING) == packet[9:-2]
        crc = int.from_bytes(packet[-2:], "little")
        if len(data) != self._data_size or not whole or crc16(packet[:-2]) != crc:
            return None, 1
        return Status(packet[4], packet[8], data), size

    def _may_begin(self, candidate: bytes) -> bool:
        """Whether these bytes, however few, can begin a status packet."""
        length = int.from_bytes(candidate[5:7], "little")
        return (
            _HEADER.startswith(candidate[:4])
            and all(servo <= HIGHEST_ID for servo in candidate[4:5])
            and (len(candidate) < 7 or self._data_size + 4 <= length <= self._longest - 7)
            and all(instruction == _STATUS for instruction in candidate[7:8])
            and all(error & ~ALERT <= _HIGHEST_ERROR for error in candidate[8:9])
        )


def _word(number: int) -> bytes:
    return number.to_bytes(2, "little")
