"""The wire format of Feetech STS/SMS servos ("protocol 0"): packets, registers, units.

    instruction  FF FF ID LEN INST PARAMETER.. CK      LEN = parameters + 2
    status       FF FF ID LEN ERR  DATA..      CK      LEN = data bytes + 2
    CK = ~(ID + LEN + .. + last parameter) & FF

Words are little-endian. There is no byte stuffing: FF FF may occur inside data. The checksum is
a sum, so two errors that compensate each other pass it. Nothing here does I/O or reads a clock.
Sources: Feetech's SDK (`scservo_sdk`), LeRobot `motors/feetech/tables.py`; the unit of current is
that of the STS3215's memory table (protection and present current count 6.5 mA).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dreamvla_edge.runtime.arms.control_table import ControlTable, Register
from dreamvla_edge.runtime.arms.status import HIGHEST_ID, Status, StatusScanner
from dreamvla_edge.runtime.arms.steps import radians_from_steps as radians_from_steps
from dreamvla_edge.runtime.arms.steps import steps_from_radians as steps_from_radians

PING, READ, WRITE, SYNC_READ, SYNC_WRITE = 0x01, 0x02, 0x03, 0x82, 0x83
BROADCAST = 0xFE
CURRENT_A = 0.0065  # per unit of present_current
STATUS_BYTES = 6  # of a status without data
PING_DATA_BYTES = 0

_HEADER = b"\xff\xff"
_HIGHEST_ERROR = 0x7F

# Bits of the error byte. Public tables disagree on bits 2 and 4: an unknown bit is a fault too.
ERRORS: Mapping[int, str] = {
    0: "voltage",
    1: "angle sensor",
    2: "overheated",
    3: "over-current",
    5: "overload",
}


REGISTERS: Mapping[str, Register] = {
    "firmware_major": Register(0),
    "firmware_minor": Register(1),
    "model": Register(3, 2),
    "id": Register(5),
    "baud_index": Register(6),
    "return_delay": Register(7),  # 2 µs
    "status_level": Register(8),
    "min_position": Register(9, 2),
    "max_position": Register(11, 2),
    "max_temperature": Register(13),
    "max_voltage": Register(14),  # 0.1 V
    "min_voltage": Register(15),
    "max_torque": Register(16, 2),  # 0.1 %
    "phase": Register(18),
    "unloading_condition": Register(19),
    "led_alarm": Register(20),
    "p_gain": Register(21),
    "d_gain": Register(22),
    "i_gain": Register(23),
    "min_startup_force": Register(24, 2),
    "clockwise_dead_zone": Register(26),
    "counterclockwise_dead_zone": Register(27),
    "protection_current": Register(28, 2),
    "angular_resolution": Register(30),
    "homing_offset": Register(31, 2, 11),  # present = actual - offset
    "operating_mode": Register(33),  # 0 position
    "protective_torque": Register(34),
    "protection_time": Register(35),
    "overload_torque": Register(36),
    "velocity_p_gain": Register(37),
    "over_current_time": Register(38),
    "velocity_i_gain": Register(39),
    "torque_enable": Register(40, highest=1),  # 128 would store a new middle
    "acceleration": Register(41),
    "goal_position": Register(42, 2, 15),
    "goal_time": Register(44, 2),
    "goal_velocity": Register(46, 2, 15),
    "torque_limit": Register(48, 2),
    "lock": Register(55),  # 1 = the registers below 40 are protected
    "present_position": Register(56, 2, 15),
    "present_velocity": Register(58, 2, 15),
    "present_load": Register(60, 2, 10),  # 0.1 %
    "present_voltage": Register(62),  # 0.1 V
    "present_temperature": Register(63),  # °C
    "status": Register(65),
    "moving": Register(66),
    "present_current": Register(69, 2, 15),  # 6.5 mA
    "moving_threshold": Register(80),
    "dts": Register(81),
    "velocity_unit_factor": Register(82),  # unit of velocities [step/s]
    "max_velocity": Register(84),
    "max_acceleration": Register(85),
    "acceleration_multiplier": Register(86),
}


TABLE = ControlTable(
    REGISTERS,
    stored_below=40,
    fixed=frozenset({"firmware_major", "firmware_minor", "model", "id", "baud_index"}),
)
encode, decode, block, decode_block = (
    TABLE.encode,
    TABLE.decode,
    TABLE.block,
    TABLE.decode_block,
)


def checksum(body: bytes) -> int:
    """Checksum of the bytes between header and checksum."""
    return ~sum(body) & 0xFF


def packet(servo: int, instruction: int, parameters: bytes = b"") -> bytes:
    """Instruction packet. Raises ValueError for an id above 254 or more than 250 parameters."""
    if not 0 <= servo <= BROADCAST or len(parameters) > 250:
        raise ValueError(f"no packet for id {servo} with {len(parameters)} parameter bytes")
    body = bytes([servo, len(parameters) + 2, instruction]) + parameters
    return _HEADER + body + bytes([checksum(body)])


def ping(servo: int) -> bytes:
    """Asks one servo, or all (BROADCAST), for a status without data."""
    return packet(servo, PING)


def read(servo: int, address: int, size: int) -> bytes:
    """Asks one servo for `size` bytes from `address` on."""
    return packet(servo, READ, bytes([address, size]))


def write(servo: int, address: int, data: bytes) -> bytes:
    """Writes data into one servo, which acknowledges with a status."""
    return packet(servo, WRITE, bytes([address]) + data)


def sync_read(servos: Sequence[int], address: int, size: int) -> bytes:
    """Asks several servos; each answers with its own status, in the order given."""
    return packet(BROADCAST, SYNC_READ, bytes([address, size, *servos]))


def sync_write(address: int, data: Mapping[int, bytes]) -> bytes:
    """Writes equally long data into several servos at once; none of them answers."""
    (size,) = {len(part) for part in data.values()}
    parts = b"".join(bytes([servo]) + part for servo, part in data.items())
    return packet(BROADCAST, SYNC_WRITE, bytes([address, size]) + parts)


def fault_names(error: int) -> tuple[str, ...]:
    """Names of the faults in an error byte."""
    return tuple(
        ERRORS.get(bit, f"unknown fault {1 << bit}") for bit in range(8) if error >> bit & 1
    )


class StatusParser(StatusScanner):
    """Finds the status packets with `data_size` data bytes."""

    def __init__(self, data_size: int) -> None:
        super().__init__(data_size + STATUS_BYTES)

    def _take(self, candidate: bytes) -> tuple[Status | None, int]:
        if not self._may_begin(candidate):
            return None, 1
        if len(candidate) < self._longest:
            return None, 0
        if checksum(candidate[2:-1]) != candidate[-1]:
            return None, 1
        return Status(candidate[2], candidate[4], candidate[5:-1]), self._longest

    def _may_begin(self, candidate: bytes) -> bool:
        """Whether these bytes, however few, can begin a status packet."""
        return (
            _HEADER.startswith(candidate[:2])
            and all(servo <= HIGHEST_ID for servo in candidate[2:3])
            and all(length == self._longest - 4 for length in candidate[3:4])
            and all(error <= _HIGHEST_ERROR for error in candidate[4:5])
        )
