"""A serial port with servos behind it: questions and answers against the clock."""

from __future__ import annotations

import errno
import os
import select
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from dreamvla_edge.runtime.arms.arm import PortGone
from dreamvla_edge.runtime.arms.port_holder import port_holder
from dreamvla_edge.runtime.arms.status import Status, StatusScanner
from dreamvla_edge.runtime.errors import ArmError

# How long an adapter without a latency timer and the host may hold bytes back [s]; what a timer
# of n ms (16 in an FTDI adapter as it comes) adds to.
_LATENCY_S, _BESIDES_TIMER_S = 0.008, 0.004
# A packet leaves the host in a millisecond. One that takes this long [s] goes nowhere.
_WRITE_S = 0.2
_MOST_BYTES = 4096  # what a serial port's buffer in the kernel holds
# Share of a question's fastest time that is slept through.
_SLEPT = 0.9


class Port:
    """One owner of one port; half-duplex, one transaction at a time, not for several threads.

    port: device path, best from /dev/serial/by-id; baud [bit/s]. The port is locked against
    other programs. Raises ArmError if it cannot be opened, which names the program that has it;
    every method raises PortGone if the port vanishes.
    """

    def __init__(self, port: str, baud: int) -> None:
        import serial

        self.name = port
        self.last_sent_s = 0.0  # monotonic time of the last packet
        # By length of the request and number of answers.
        self._fastest_s: dict[tuple[int, int], float] = {}
        try:
            # timeout 0: the deadline of a transaction is kept here, by the monotonic clock.
            self._serial = serial.Serial(
                port, baud, timeout=0, write_timeout=_WRITE_S, exclusive=True
            )
        except (OSError, termios.error, ValueError) as error:
            raise _cannot_open(port, error) from error
        with suppress(OSError, ValueError, termios.error):  # not every adapter has such a mode
            self._serial.set_low_latency_mode(True)

    def close(self) -> None:
        """Gives the port back."""
        with suppress(OSError, termios.error):  # a port that is gone is given back
            self._serial.close()

    def now_s(self) -> float:
        """Monotonic time [s]."""
        return time.monotonic()

    def latency_s(self) -> float:
        """How long adapter and host may hold bytes back [s]; a property of the adapter."""
        timer = Path("/sys/class/tty", Path(self.name).resolve().name, "device/latency_timer")
        try:
            return int(timer.read_text()) / 1000 + _BESIDES_TIMER_S
        except (OSError, ValueError):
            return _LATENCY_S

    def send(self, packet: bytes) -> None:
        """Sends a packet that nobody answers."""
        with self._in_use():
            self._send(packet)

    def ask(
        self, request: bytes, scanner: StatusScanner, servos: Sequence[int], wait_s: float
    ) -> dict[int, Status]:
        """Sends a request; the answers by servo that arrive within wait_s [s].

        Servos answer in the order they were asked in, so nothing is waited for after the last.
        Most of the time that this question took at its fastest is slept through: waking up for
        every answer would take more of a core than the answers do.
        """
        found: dict[int, Status] = {}
        with self._in_use():
            self._serial.reset_input_buffer()  # an answer that came too late is nobody's answer
            self._send(request)
            deadline = self.last_sent_s + wait_s
            kind = len(request), len(servos)
            time.sleep(min(_SLEPT * self._fastest_s.get(kind, 0.0), wait_s))
            while servos[-1] not in found:
                left = deadline - time.monotonic()
                if left <= 0 or not select.select([self._serial], [], [], left)[0]:
                    break
                for status in scanner.feed(self._received()):
                    if status.servo in servos:
                        found.setdefault(status.servo, status)
        if servos[-1] in found:
            took_s = time.monotonic() - self.last_sent_s
            self._fastest_s[kind] = min(took_s, self._fastest_s.get(kind, took_s))
        return found

    def _received(self) -> bytes:
        """What has arrived; pyserial would ask the kernel four times for it, every cycle."""
        try:
            data = os.read(self._serial.fileno(), _MOST_BYTES)
        except BlockingIOError:  # somebody else's
            return b""
        if not data:
            raise OSError(errno.EIO, "end of file")
        return data

    def _send(self, packet: bytes) -> None:
        try:
            sent = os.write(self._serial.fileno(), packet)
        except BlockingIOError:
            sent = 0
        if sent < len(packet):
            self._serial.write(packet[sent:])  # this one waits for room
        self.last_sent_s = time.monotonic()

    @contextmanager
    def _in_use(self) -> Iterator[None]:
        """Turns every way in which pyserial reports a vanished port into one error."""
        try:
            yield
        except (OSError, termios.error) as error:  # termios.error is no OSError
            raise PortGone(
                f"the serial port {self.name} broke off ({error})",
                "a port that stays open",
                "check the USB cable and the power of the arm, then start again",
            ) from error


def _cannot_open(port: str, error: Exception) -> ArmError:
    from serial.tools import list_ports

    known = ", ".join(sorted(info.device for info in list_ports.comports())) or "none"
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.EBUSY, errno.EAGAIN):
        found = f"is used by {port_holder(port)}"
        cure = "stop that program, then try again"
    elif number in (errno.EACCES, errno.EPERM):
        found = "may not be opened by this user"
        cure = (
            "add the user to the group dialout (sudo usermod -aG dialout $USER) and log in again;"
            " if the port belongs to another group, write a rule for it:"
            " dreamvla robot init --udev-rule 99-dreamvla.rules"
        )
    elif number == errno.ENOENT:
        found = "does not exist"
        cure = f"connect the arm's USB cable and name its port; ports here: {known}"
    else:
        found = f"cannot be opened ({error})"
        cure = f"name a serial port; ports here: {known}"
    return ArmError(f"the port {port} {found}", "a serial port that can be opened", cure)
