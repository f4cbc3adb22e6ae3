"""A serial port with Feetech servos behind it."""

from __future__ import annotations

import errno
import select
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from dreamvla_edge.runtime.arms import feetech
from dreamvla_edge.runtime.errors import ArmError


@dataclass(frozen=True)
class Answers:
    """What servos answered to one question.

    values: servo id -> register name -> integer; errors: servo id -> error byte (0 = no fault);
    silent: the ids that did not answer in time.
    """

    values: Mapping[int, Mapping[str, int]]
    errors: Mapping[int, int]
    silent: tuple[int, ...]


class FeetechBus:
    """One owner of one port; half-duplex, one transaction at a time, not for several threads.

    port: device path, best from /dev/serial/by-id; baud [bit/s]; reply_s: how long a transaction
    waits for its answers [s] (6 servos need 1 ms at 1 Mbit/s, but an FTDI adapter holds bytes
    back for up to 16 ms and the factory return delay is 0.5 ms per servo).
    Every method raises ArmError if the port is gone.
    """

    def __init__(self, port: str, baud: int = 1_000_000, reply_s: float = 0.05) -> None:
        import serial

        self.port, self._reply_s = port, reply_s
        try:
            # timeout 0: the deadline of a transaction is kept here, by the monotonic clock.
            self._serial = serial.Serial(port, baud, timeout=0, write_timeout=1.0, exclusive=True)
        except (OSError, termios.error, ValueError) as error:
            raise _cannot_open(port, error) from error

    def close(self) -> None:
        """Gives the port back."""
        self._serial.close()

    def ping(self, servo: int) -> int | None:
        """Error byte of one servo, or None if it does not answer."""
        status = self._ask(feetech.ping(servo), [servo], 0).get(servo)
        return None if status is None else status.error

    def sync_read(self, servos: Sequence[int], first: str, last: str) -> Answers:
        """Reads the registers `first` to `last` of several servos in one transaction."""
        address, size = feetech.block(first, last)
        found = self._ask(feetech.sync_read(servos, address, size), servos, size)
        return Answers(
            {s: feetech.decode_block(first, last, status.data) for s, status in found.items()},
            {s: status.error for s, status in found.items()},
            tuple(s for s in servos if s not in found),
        )

    def write(self, servo: int, register: str, value: int) -> int | None:
        """Writes one register; the error byte of the acknowledgement, or None if there is none.

        Without acknowledgement it is unknown whether the servo took the value. Raises TypeError
        or ValueError, before a byte is sent, if the value does not fit.
        """
        address, _ = feetech.block(register, register)
        request = feetech.write(servo, address, feetech.encode(register, value))
        status = self._ask(request, [servo], 0).get(servo)
        return None if status is None else status.error

    def sync_write(self, register: str, values: Mapping[int, int]) -> None:
        """Writes one register of several servos at once. Nobody acknowledges.

        Raises TypeError or ValueError, before a byte is sent, if any value does not fit.
        """
        address, _ = feetech.block(register, register)
        data = {servo: feetech.encode(register, value) for servo, value in values.items()}
        with self._port_in_use():
            self._serial.write(feetech.sync_write(address, data))

    def _ask(
        self, request: bytes, servos: Sequence[int], data_size: int
    ) -> dict[int, feetech.Status]:
        """Sends a request and collects the answers until all are there or time is up."""
        parser = feetech.StatusParser(data_size)
        found: dict[int, feetech.Status] = {}
        with self._port_in_use():
            self._serial.reset_input_buffer()  # an answer that came too late is nobody's answer
            self._serial.write(request)
            deadline = time.monotonic() + self._reply_s
            while len(found) < len(servos):
                left = deadline - time.monotonic()
                if left <= 0 or not select.select([self._serial], [], [], left)[0]:
                    break
                for status in parser.feed(self._serial.read(self._serial.in_waiting or 1)):
                    if status.servo in servos:
                        found.setdefault(status.servo, status)
        return found

    @contextmanager
    def _port_in_use(self) -> Iterator[None]:
        """Turns every way in which pyserial reports a vanished port into one error."""
        try:
            yield
        except (OSError, termios.error) as error:  # termios.error is no OSError
            raise ArmError(
                f"the serial port {self.port} broke off ({error})",
                "a port that stays open",
                "check the USB cable and the power of the arm, then start again",
            ) from error


def silent_servos(port: str, servos: Sequence[int]) -> ArmError:
    """The error for servos that do not answer."""
    ids = ", ".join(map(str, servos))
    return ArmError(
        f"no answer from servo {ids} on {port}",
        "every servo of the arm answers",
        "check servo power and the cable before the first silent servo; after an overload, "
        "switch the servo power off and on",
    )


def _cannot_open(port: str, error: Exception) -> ArmError:
    from serial.tools import list_ports

    known = ", ".join(sorted(info.device for info in list_ports.comports())) or "none"
    cures = {
        errno.ENOENT: (
            "does not exist",
            f"connect the arm's USB cable and name its port; ports here: {known}",
        ),
        errno.EACCES: (
            "may not be opened by this user",
            "add the user to the group dialout (sudo usermod -aG dialout $USER), log in again",
        ),
        errno.EBUSY: (
            "is used by another program",
            "stop that program (fuser -v names it), then try again",
        ),
    }
    cures[errno.EPERM], cures[errno.EAGAIN] = cures[errno.EACCES], cures[errno.EBUSY]
    number = error.errno if isinstance(error, OSError) else None
    what, cure = cures.get(
        number or 0, (f"cannot be opened ({error})", f"name a serial port; ports here: {known}")
    )
    return ArmError(f"the port {port} {what}", "a serial port that can be opened", cure)
