"""Virtual servos behind a real serial device, for work without an arm."""

from __future__ import annotations

import heapq
import math
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from dreamvla_edge.sim.bus_log import BusLog
from dreamvla_edge.sim.fault import Fault
from dreamvla_edge.sim.plant import Plant
from dreamvla_edge.sim.protocol import Write
from dreamvla_edge.sim.pseudo_terminal import PseudoTerminal
from dreamvla_edge.sim.servo import Servo
from dreamvla_edge.sim.servo_chain import ServoChain

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
    kept_writes: how many of the latest writes are kept (0.1 kB each), None for all; plant: what
    the servos turn, if not motors without a load; nobody else may move it on meanwhile.
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
        plant: Plant | None = None,
    ) -> None:
        now = time.monotonic()
        self._chain = ServoChain(
            positions, baud, protocol, models or {}, seed, now, self._note_write
        )
        if plant is not None:
            self._chain.couple(plant)
        self._usb_latency_s, self._log = usb_latency_s, log
        self._look_s = now
        # due [s], number, bytes to the host, whether a fault makes them late
        self._waiting: list[tuple[float, int, bytes, bool]] = []
        self._sent = 0
        self._writes: deque[Write] = deque(maxlen=kept_writes)
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

    @contextmanager
    def held(self) -> Iterator[None]:
        """Brings everything up to the present time; nothing moves on meanwhile."""
        with self._lock:
            self._chain.advance(time.monotonic())
            yield

    def position(self, servo: int) -> float:
        """Where a servo is now [step]."""
        return self.servo(servo).position

    def registers(self, servo: int) -> bytearray:
        """The registers of a servo, to look at or to set; see `Servo`."""
        return self.servo(servo).registers

    def servo(self, servo: int) -> Servo:
        """A servo by its id at the start, brought up to the present time."""
        with self._lock:
            self._chain.advance(time.monotonic())
            return self._chain.servos[servo]

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
        with self._lock:
            self._chain.fault(fault, time.monotonic())
        self._ring()

    def mend(self, target: int | None = None) -> None:
        """Ends the fault of a servo, or that of the bus (None)."""
        with self._lock:
            self._chain.mend(target, time.monotonic())
        self._ring()

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
            self._chain.forget()
            done.set()

    def _receive(self, data: bytes) -> None:
        """Answers follow, each at its absolute time.

        A host that asks again before it has all answers talks over them: they are lost. So no
        queue of answers builds up behind a process that had to wait for its turn.
        """
        if self._log:
            self._log.received(data)
        with self._lock:
            asked, sent = self._chain.receive(data, time.monotonic())
        if asked:
            self._waiting = [entry for entry in self._waiting if entry[3]]
            heapq.heapify(self._waiting)
        for due, packet, late in sent:
            if self._usb_latency_s:
                due = math.ceil(due / self._usb_latency_s) * self._usb_latency_s
            self._sent += 1
            heapq.heappush(self._waiting, (due, self._sent, packet, late))

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
            self._chain.advance(now)
            motors = {n: (s.position, s.motor.speed) for n, s in self._chain.servos.items()}
        if self._log:
            self._log.motion(now_ns, motors)
        is_moving = any(speed for _, speed in motors.values())
        self._look_s = now + (_MOVING_S if is_moving else _IDLE_S)

    def _note_write(self, write: Write) -> None:
        self._writes.append(write)
        self._look_s = min(self._look_s, write.stamp_s + _MOVING_S)
