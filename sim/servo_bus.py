"""Virtual Feetech STS servos behind a real serial device, for work without an arm."""

from __future__ import annotations

import os
import select
import threading
import time
import tty
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType

from dreamvla_edge.sim.servo import Servo

_PING, _READ, _WRITE, _SYNC_READ, _SYNC_WRITE = 1, 2, 3, 0x82, 0x83
_BROADCAST = 0xFE
_BITS_PER_BYTE = 10  # a start bit and a stop bit around eight


@dataclass(frozen=True)
class Write:
    """What a servo was told: monotonic time [s], id, first register, bytes."""

    stamp_s: float
    servo: int
    address: int
    data: bytes

    def as_dict(self) -> dict[str, float | int | list[int]]:
        """The same in types that JSON has."""
        return {
            "stamp_s": self.stamp_s,
            "servo": self.servo,
            "address": self.address,
            "data": list(self.data),
        }


class VirtualBus:
    """Servos on a pseudo-terminal: any program can open `port` as if an arm were connected.

        with VirtualBus({1: 2048, 2: 2048}) as bus:
            open_the_arm(bus.port)

    positions: servo id -> position at the start [step]; baud [bit/s]: an answer is complete no
    sooner than the bytes of question, return delays and answers take on a wire of this speed.
    Understands PING (also broadcast), READ, WRITE, SYNC_READ and SYNC_WRITE; other instructions,
    broken packets and unknown ids get silence, as from real servos.
    Limits: any speed that the host sets on the port is accepted; bytes cannot collide; answers
    that nobody reads are lost beyond the terminal's buffer (about 4 kB); every write is kept in
    memory (0.1 kB each). What a servo's motor does and does not do: see `Servo`.
    """

    def __init__(self, positions: Mapping[int, int], baud: int = 1_000_000) -> None:
        now = time.monotonic()
        self._servos = {servo: Servo(servo, at, now) for servo, at in positions.items()}
        self._byte_s = _BITS_PER_BYTE / baud
        self._wire_free_s = now
        self._writes: list[Write] = []
        self._lock = threading.Lock()
        # The device end stays open here too: hosts may come and go.
        self._master, self._device = os.openpty()
        tty.setraw(self._device)
        os.set_blocking(self._master, False)
        self.port = os.ttyname(self._device)
        self._open = True
        self._thread = threading.Thread(target=self._serve, name="virtual-bus", daemon=True)
        self._thread.start()

    def __enter__(self) -> VirtualBus:
        """Is ready since it was made."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes."""
        self.close()

    def close(self) -> None:
        """Unplugs the device; a host that has it open gets an error from its next read."""
        if self._open:
            self._open = False
            self._thread.join()
            os.close(self._master)
            os.close(self._device)

    @property
    def writes(self) -> tuple[Write, ...]:
        """Everything that was written so far, oldest first; a SYNC_WRITE gives one per servo."""
        return tuple(self._writes)

    def position(self, servo: int) -> float:
        """Where a servo is now [step]."""
        return self._now(servo).position

    def registers(self, servo: int) -> bytearray:
        """The registers of a servo, to look at, or to set a fault (65) or a temperature (63)."""
        return self._now(servo).registers

    def _serve(self) -> None:
        """Answers until closed."""
        received = bytearray()
        while self._open:
            if not select.select([self._master], [], [], 0.05)[0]:
                continue
            data = os.read(self._master, 4096)
            self._occupy(len(data))
            received += data
            for servo, instruction, parameters in take_instructions(received):
                for answerer, answer in self._execute(servo, instruction, parameters):
                    self._send(answerer, answer)

    def _occupy(self, count: int) -> None:
        """Bytes take their time on the wire, after whatever is on it."""
        free = max(self._wire_free_s, time.monotonic())
        self._wire_free_s = free + count * self._byte_s

    def _send(self, servo: Servo, data: bytes) -> None:
        """One status packet, when the wire has carried it."""
        packet = status_packet(servo.registers[5], servo.error, data)
        self._wire_free_s += servo.return_delay_s
        self._occupy(len(packet))
        time.sleep(max(0.0, self._wire_free_s - time.monotonic()))
        try:
            os.write(self._master, packet)
        except BlockingIOError:
            pass  # nobody reads: on a wire these bytes would be gone as well

    def _execute(
        self, target: int, instruction: int, parameters: bytes
    ) -> Iterator[tuple[Servo, bytes]]:
        """Does what a packet says; the servos that answer it, with their data."""
        everyone = tuple(self._servos) if target == _BROADCAST else (target,)
        if instruction == _PING:
            for servo in self._present(everyone):
                yield servo, b""
        elif instruction == _READ and len(parameters) == 2 and target != _BROADCAST:
            for servo in self._present(everyone):
                yield servo, servo.read(*parameters)
        elif instruction == _WRITE and parameters:
            for servo in self._present(everyone):
                self._store(servo, parameters[0], parameters[1:])
                if servo.acknowledges and target != _BROADCAST:
                    yield servo, b""
        elif instruction == _SYNC_READ and len(parameters) >= 2:
            for servo in self._present(tuple(parameters[2:])):
                yield servo, servo.read(parameters[0], parameters[1])
        elif instruction == _SYNC_WRITE and len(parameters) >= 2:
            stride = parameters[1] + 1
            for start in range(2, len(parameters) - stride + 1, stride):
                for servo in self._present((parameters[start],)):
                    self._store(servo, parameters[0], parameters[start + 1 : start + stride])

    def _present(self, servos: tuple[int, ...]) -> Iterator[Servo]:
        """Those of these servos that exist, as they are now."""
        for servo in servos:
            if servo in self._servos:
                yield self._now(servo)

    def _now(self, servo: int) -> Servo:
        """A servo, brought up to the present time."""
        with self._lock:
            self._servos[servo].advance(time.monotonic())
            return self._servos[servo]

    def _store(self, servo: Servo, address: int, data: bytes) -> None:
        with self._lock:
            servo.write(address, data)
        self._writes.append(Write(time.monotonic(), servo.registers[5], address, data))


def take_instructions(received: bytearray) -> Iterator[tuple[int, int, bytes]]:
    """Takes the complete instruction packets out of a buffer: id, instruction, parameters."""
    while (start := received.find(b"\xff\xff")) >= 0:
        del received[:start]
        size = 4 + received[3] if len(received) > 3 else 6
        if len(received) < size:
            return  # more will follow
        packet = bytes(received[:size])
        whole = size >= 6 and packet[2] != 0xFF and sum(packet[2:]) & 0xFF == 0xFF
        del received[: size if whole else 1]
        if whole:
            yield packet[2], packet[4], packet[5:-1]


def status_packet(servo: int, error: int, data: bytes) -> bytes:
    """What a servo answers."""
    body = bytes([servo, len(data) + 2, error, *data])
    return b"\xff\xff" + body + bytes([255 - sum(body) % 256])
