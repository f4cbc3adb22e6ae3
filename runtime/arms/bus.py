"""Servos on one bus: registers by name, in the protocol of a codec."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from dreamvla_edge.runtime.arms.control_table import ControlTable
from dreamvla_edge.runtime.arms.port import Port
from dreamvla_edge.runtime.arms.status import Status, StatusScanner

_BITS_PER_BYTE = 10  # a start bit and a stop bit around eight
# A servo's pause before it answers [s]: the largest that can be set is 254 times 2 µs.
_RETURN_DELAY_S = 254 * 2e-6


class Codec(Protocol):
    """What the bus needs of a protocol: the modules `feetech` and `dynamixel` are codecs."""

    @property
    def TABLE(self) -> ControlTable:
        """The registers."""

    @property
    def STATUS_BYTES(self) -> int:
        """Length of a status packet without data."""

    @property
    def PING_DATA_BYTES(self) -> int:
        """Data bytes of the answer to a ping."""

    @property
    def StatusParser(self) -> Callable[[int], StatusScanner]:
        """Finds the answers with so many data bytes."""

    def ping(self, servo: int) -> bytes:
        """Packet that asks for a sign of life."""

    def write(self, servo: int, address: int, data: bytes) -> bytes:
        """Packet that writes into one servo, which acknowledges."""

    def sync_read(self, servos: Sequence[int], address: int, size: int) -> bytes:
        """Packet that asks several servos."""

    def sync_write(self, address: int, data: Mapping[int, bytes]) -> bytes:
        """Packet that writes into several servos, which do not acknowledge."""


class Line(Protocol):
    """Bytes to servos and back: `Port`, or one whose time a simulation makes."""

    name: str
    last_sent_s: float

    def now_s(self) -> float:
        """The line's own time, monotonic [s]."""

    def latency_s(self) -> float:
        """How long bytes may be held back [s]."""

    def send(self, packet: bytes) -> None:
        """Sends a packet that nobody answers. Raises PortGone."""

    def ask(
        self, request: bytes, scanner: StatusScanner, servos: Sequence[int], wait_s: float
    ) -> dict[int, Status]:
        """Sends a request; the answers by servo that arrive within wait_s. Raises PortGone."""

    def close(self) -> None:
        """Gives the line back."""


@dataclass(frozen=True)
class Answers:
    """What servos answered to one question.

    values: servo id -> register name -> integer; errors: servo id -> error byte (0 = no fault);
    silent: the ids that did not answer in time.
    """

    values: Mapping[int, Mapping[str, int]]
    errors: Mapping[int, int]
    silent: tuple[int, ...]


class Bus:
    """The servos behind one port, given by its path or as a line that is open.

    A transaction waits for its answers as long as the bytes take on the wire, every servo may
    pause, and adapter and host hold bytes back (`latency_s` [s]; None for what the adapter is
    known for: 8 ms, or 4 ms more than the latency timer of an FTDI adapter).
    Stored settings (EEPROM) are written by `store` alone.
    Raises ArmError if the port cannot be opened; every method raises PortGone.
    """

    def __init__(
        self, codec: Codec, port: str | Line, baud: int, latency_s: float | None = None
    ) -> None:
        self._codec, self._table = codec, codec.TABLE
        self._port: Line = Port(port, baud) if isinstance(port, str) else port
        self._byte_s = _BITS_PER_BYTE / baud
        self._latency_s = self._port.latency_s() if latency_s is None else latency_s
        self._one_more = False

    @property
    def port(self) -> str:
        """The port's name, as it was given."""
        return self._port.name

    @property
    def last_sent_s(self) -> float:
        """Monotonic time [s] of the last packet."""
        return self._port.last_sent_s

    def now_s(self) -> float:
        """The time that all stamps and deadlines of this bus are in, monotonic [s]."""
        return self._port.now_s()

    def close(self) -> None:
        """Gives the port back."""
        self._port.close()

    def wire_s(self, servos: int, size: int) -> float:
        """Time [s] for a question to so many servos and their answers of `size` data bytes."""
        answer = self._codec.STATUS_BYTES + size
        question = self._codec.STATUS_BYTES + 4 + servos
        return (question + servos * answer) * self._byte_s + servos * _RETURN_DELAY_S

    def ping(self, servo: int) -> int | None:
        """Error byte of one servo, or None if it does not answer."""
        size = self._codec.PING_DATA_BYTES
        return self._ask_one(self._codec.ping(servo), servo, size)

    def sync_read(
        self,
        servos: Sequence[int],
        first: str,
        last: str,
        wait_s: float = math.inf,
        more_s: float = 0.0,
    ) -> Answers:
        """Reads the registers `first` to `last` of several servos in one transaction.

        more_s: how much longer [s] than answers may take to wait; wait_s: but no longer [s].
        """
        start, wanted = self._table.block(first, last)
        # After a silence the next question has another length, so that an answer which comes
        # late, in the middle of the next transaction, cannot pass for the answer to that one.
        before = int(self._one_more and start > 0)
        address, size = start - before, wanted + int(self._one_more)
        longest_s = self.wire_s(len(servos), size) + self._latency_s + more_s
        found = self._port.ask(
            self._codec.sync_read(servos, address, size),
            self._codec.StatusParser(size),
            servos,
            min(wait_s, longest_s),
        )
        silent = tuple(servo for servo in servos if servo not in found)
        self._one_more ^= bool(silent)
        return Answers(
            {
                servo: self._table.decode_block(first, last, status.data[before : before + wanted])
                for servo, status in found.items()
            },
            {servo: status.error for servo, status in found.items()},
            silent,
        )

    def sync_write(self, register: str, values: Mapping[int, int]) -> None:
        """Writes one register of several servos at once. Nobody acknowledges.

        Raises TypeError or ValueError, before a byte is sent, if any value does not fit or the
        register is a stored one.
        """
        if self._table.is_stored(register):
            raise ValueError(f"{register} is a stored setting")
        address, _ = self._table.block(register, register)
        data = {servo: self._table.encode(register, value) for servo, value in values.items()}
        self._port.send(self._codec.sync_write(address, data))

    def store(self, servo: int, register: str, value: int) -> int | None:
        """Writes a stored setting; the error byte of the acknowledgement, None without one.

        Raises TypeError or ValueError, before a byte is sent, if the value does not fit, the
        register is none that is stored or the servo could not be found again afterwards.
        """
        if not self._table.is_stored(register) or register in self._table.fixed:
            raise ValueError(f"{register} is no setting that may be stored")
        address, _ = self._table.block(register, register)
        data = self._table.encode(register, value)
        return self._ask_one(self._codec.write(servo, address, data), servo, 0)

    def _ask_one(self, request: bytes, servo: int, size: int) -> int | None:
        parser = self._codec.StatusParser(size)
        wait_s = self.wire_s(1, size) + self._latency_s
        status = self._port.ask(request, parser, [servo], wait_s).get(servo)
        return None if status is None else status.error
