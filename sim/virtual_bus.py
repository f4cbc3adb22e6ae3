"""Virtual servos behind a real serial device, for work without an arm."""

from __future__ import annotations

import heapq
import math
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random

from dreamvla_edge.sim.bus_log import BusLog
from dreamvla_edge.sim.dynamixel_bus import DYNAMIXEL
from dreamvla_edge.sim.fault import FAULTS, Fault
from dreamvla_edge.sim.feetech_bus import FEETECH
from dreamvla_edge.sim.protocol import Answer, Protocol, Write
from dreamvla_edge.sim.pseudo_terminal import PseudoTerminal
from dreamvla_edge.sim.servo import Servo

PROTOCOLS: Mapping[str, Protocol] = {"feetech": FEETECH, "dynamixel": DYNAMIXEL}

_BITS_PER_BYTE = 10  # a start bit and a stop bit around eight
# How often the motors are looked at while one moves, and while none does [s].
_MOVING_S, _IDLE_S = 0.004, 0.04


class VirtualBus:
    """Servos on a pseudo-terminal: any program can open `port` as if an arm were connected.

        with VirtualBus({1: 2048, 2: 2048}) as bus:
            open_the_arm(bus.port)

    positions: servo id -> position at the start [step]; baud [bit/s]: an answer is complete no
    sooner than the bytes of question, return delays and answers take on a wire of this speed;
    protocol: a key of PROTOCOLS; models: servo id -> model number; usb_latency_s: the adapter
    passes bytes on to the host only every so often; link: a path that leads to the device even
    after it was plugged in again; seed: of the faults; log: what to write everything into;
    kept_writes: how many of the latest writes are kept (0.1 kB each), None for all.
    Limits: any speed that the host sets on the port is accepted; bytes cannot collide; answers
    that nobody reads are lost beyond the terminal's buffer (about 4 kB); a real adapter also
    passes on a full frame at once. What a motor and its registers do and do not: see `Motor`,
    `FeetechServo` and `DynamixelServo`.
    """

    def __init__(
        self,
        positions: Mapping[int, int],
        baud: int = 1_000_000,
        *,
        protocol: str = "feetech",
        models: Mapping[int, int] | None = None,
        usb_latency_s: float = 0.0,
        link: Path | None = None,
        seed: int = 0,
        log: BusLog | None = None,
        kept_writes: int | None = None,
    ) -> None:
        now = time.monotonic()
        self._protocol, models = PROTOCOLS[protocol], models or {}
        self._servos = {
            servo: self._protocol.servo(servo, at, now, models.get(servo, self._protocol.model))
            for servo, at in positions.items()
        }
        self._baud, self._usb_latency_s, self._log = baud, usb_latency_s, log
        self._wire_free_s = self._look_s = now
        self._received = bytearray()
        # due [s], number, bytes to the host, whether a fault makes them late
        self._waiting: list[tuple[float, int, bytes, bool]] = []
        self._sent = 0
        self._writes: deque[Write] = deque(maxlen=kept_writes)
        self._faults: dict[int | None, Fault] = {}
        self._random = Random(seed)
        self._lock = threading.RLock()
        self._terminal = PseudoTerminal(link)
        self._requests: list[tuple[Callable[[], None], threading.Event]] = []
        self._bell, self._ringer = os.pipe()
        self._open = True
        self._thread = threading.Thread(target=self._serve, name="virtual-bus", daemon=True)
        self._thread.start()

    def __enter__(self) -> VirtualBus:
        """Is ready since it was made."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes."""
        self.close()

    def close(self) -> None:
        """Unplugs the device for good."""
        if self._open:
            self._open = False
            self._ring()
            self._thread.join()
            os.close(self._bell)
            os.close(self._ringer)

    @property
    def port(self) -> str:
        """The device to open, or the link to it."""
        return self._terminal.port

    @property
    def writes(self) -> tuple[Write, ...]:
        """What was written so far and is kept, oldest first; a SYNC_WRITE gives one per servo."""
        return tuple(self._writes)

    def position(self, servo: int) -> float:
        """Where a servo is now [step]."""
        return self.servo(servo).position

    def registers(self, servo: int) -> bytearray:
        """The registers of a servo, to look at or to set; see `Servo`."""
        return self.servo(servo).registers

    def servo(self, servo: int) -> Servo:
        """A servo by its id at the start, brought up to the present time."""
        with self._lock:
            self._servos[servo].advance(time.monotonic())
            return self._servos[servo]

    def set(self, servo: int, address: int, value: int) -> None:
        """Sets one byte of a servo's registers; see `Servo`. Raises ValueError if impossible."""
        with self._lock:
            registers = self.servo(servo).registers
            if not 0 <= address < len(registers):
                raise ValueError(f"no register {address}, only 0 to {len(registers) - 1}")
            registers[address] = value
        self._ring()

    def obstruct(self, servo: int, obstacle: tuple[float, float] | None) -> None:
        """Puts something in the way of a servo, or takes it away; see `Motor`."""
        with self._lock:
            self.servo(servo).motor.obstacle = obstacle
        self._ring()

    def weigh(self, servo: int, gravity: float) -> None:
        """Hangs a weight on a servo; see `Motor`."""
        with self._lock:
            self.servo(servo).motor.gravity = gravity
        self._ring()

    def fault(self, fault: Fault) -> None:
        """Begins a fault, which takes the place of an earlier one of the same target.

        Raises KeyError if there is no such servo.
        """
        if fault.target is not None:
            self._servos[fault.target]
        with self._lock:
            self._faults[fault.target] = fault
            self._apply_faults()

    def mend(self, target: int | None = None) -> None:
        """Ends the fault of a servo, or that of the bus (None)."""
        with self._lock:
            self._faults.pop(target, None)
            self._apply_faults()

    def unplug(self) -> None:
        """Pulls the USB cable; the servos go on."""
        self._in_thread(self._terminal.unplug)

    def replug(self) -> None:
        """Plugs the USB cable in again. Without a link, `port` is another one now."""
        self._in_thread(self._terminal.plug)

    def _in_thread(self, request: Callable[[], None]) -> None:
        """Has the thread do it that waits for the device, and waits for that."""
        done = threading.Event()
        self._requests.append((request, done))
        self._ring()
        while self._thread.is_alive() and not done.wait(0.1):
            pass

    def _ring(self) -> None:
        """Wakes the thread, so that what was changed is seen at once."""
        os.write(self._ringer, b"\0")

    def _apply_faults(self) -> None:
        """Brings power and motors in line with the faults there are."""
        now, bus = time.monotonic(), self._faults.get(None)
        for number, servo in self._servos.items():
            own = self._faults.get(number)
            kinds = {fault.kind for fault in (own, bus) if fault}
            servo.advance(now)
            servo.power("off" not in kinds)
            servo.motor.stuck = "stuck" in kinds
            servo.motor.slowness = own.value if own and own.kind == "slow" else 1.0
        self._ring()

    def _serve(self) -> None:
        """Answers until closed. If the log cannot be written, the host loses the device."""
        try:
            while self._open:
                self._wait()
                self._deliver()
                if time.monotonic() >= self._look_s:
                    self._look()
        finally:
            self._terminal.unplug()

    def _wait(self) -> None:
        """Until the host says something, or somebody rings, or something is due."""
        due = min([self._look_s, *(entry[0] for entry in self._waiting[:1])])
        ends = [self._bell, *([self._terminal.master] if self._terminal.is_plugged else [])]
        ready = select.select(ends, [], [], max(0.0, due - time.monotonic()))[0]
        if self._bell in ready:
            self._do_requests()
        elif ready:
            self._receive(self._terminal.read())

    def _do_requests(self) -> None:
        os.read(self._bell, 4096)
        self._look_s = time.monotonic()
        while self._requests:
            request, done = self._requests.pop(0)
            request()
            self._waiting.clear()
            self._received.clear()
            done.set()

    def _receive(self, data: bytes) -> None:
        """Bytes take their time on the wire, then answers follow, each at its absolute time."""
        now = time.monotonic()
        if self._log:
            self._log.received(data)
        self._wire_free_s = now + self._wire_s(data)
        self._received += data
        with self._lock:
            for instruction in self._protocol.instructions(self._received):
                self._collide()
                for servo in self._servos.values():
                    servo.advance(now)
                powered = [servo for servo in self._servos.values() if servo.powered]
                for answer in self._protocol.execute(instruction, powered, self._store):
                    self._answer(answer)

    def _collide(self) -> None:
        """A host that asks again before it has all answers talks over them: they are lost.

        So no queue of answers builds up behind a process that had to wait for its turn.
        """
        self._waiting = [entry for entry in self._waiting if entry[3]]
        heapq.heapify(self._waiting)

    def _wire_s(self, data: bytes) -> float:
        bus = self._faults.get(None)
        fraction = bus.value if bus and bus.kind == "slow" else 1.0
        return len(data) * _BITS_PER_BYTE / (self._baud * fraction)

    def _answer(self, answer: Answer) -> None:
        """Puts a packet, or what a fault makes of it, in line for the host."""
        self._wire_free_s += answer.sender.return_delay_s
        for later_s, packet in self._faulty(answer):
            self._wire_free_s += self._wire_s(packet)
            due = self._wire_free_s + later_s
            if self._usb_latency_s:
                due = math.ceil(due / self._usb_latency_s) * self._usb_latency_s
            self._sent += 1
            heapq.heappush(self._waiting, (due, self._sent, packet, later_s > 0))

    def _faulty(self, answer: Answer) -> tuple[tuple[float, bytes], ...]:
        numbers = (n for n, servo in self._servos.items() if servo is answer.sender)
        for target in (*numbers, None):
            fault = self._faults.get(target)
            if fault and FAULTS[fault.kind].effect:
                return fault.apply(answer, self._protocol.status, self._random)
        return ((0.0, self._protocol.status(answer)),)

    def _deliver(self) -> None:
        """Gives the host what the wire has carried by now."""
        data, now = b"", time.monotonic()
        while self._waiting and self._waiting[0][0] <= now:
            data += heapq.heappop(self._waiting)[2]
        if data and self._terminal.is_plugged:
            fitted = self._terminal.write(data)
            if self._log and fitted:
                self._log.sent(data[:fitted])

    def _look(self) -> None:
        """Moves the motors on and notes where they are."""
        with self._lock:
            now_ns = time.monotonic_ns()
            now = now_ns / 1e9
            for servo in self._servos.values():
                servo.advance(now)
            motors = {n: (s.position, s.motor.speed) for n, s in self._servos.items()}
        if self._log:
            self._log.motion(now_ns, motors)
        is_moving = any(speed for _, speed in motors.values())
        self._look_s = now + (_MOVING_S if is_moving else _IDLE_S)

    def _store(self, servo: Servo, address: int, data: bytes) -> int:
        error = servo.write(address, data)
        now = time.monotonic()
        self._writes.append(Write(now, servo.id, address, data))
        self._look_s = min(self._look_s, now + _MOVING_S)
        return error
