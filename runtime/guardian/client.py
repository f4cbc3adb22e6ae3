"""The other end of the guardian's socket: a policy, a monitor, or a person's command."""

from __future__ import annotations

import hashlib
import os
import select
import socket
import time
from pathlib import Path
from types import TracebackType

import numpy as np

from dreamvla_edge.runtime.errors import GuardianError

from .message import REPORT, Command, MessageError, Order, decode_report, encode


def socket_path(port: str) -> Path:
    """Where the guardian of a serial port listens, for this user."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    shared = Path(f"/tmp/dreamvla-edge-{os.getuid()}")
    folder = Path(runtime) / "dreamvla-edge" if runtime else shared
    # The name the user gave: a cable that is plugged in again may get another device.
    return folder / f"{hashlib.sha256(port.encode()).hexdigest()[:16]}.socket"


class Client:
    """A connection to a running guardian.

    order: WATCH for reports only, DRIVE to send waypoints. Raises GuardianError if none runs.
    Every method raises GuardianError when the guardian has ended.
    """

    def __init__(self, path: Path, order: Order = Order.WATCH) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            raise GuardianError(
                f"no guardian listens at {path} ({error.strerror})",
                "a guardian that runs, started by `dreamvla run`",
                "start `dreamvla run` with this robot file first",
            ) from error
        self._sequence = 0
        self.send(Command(order))

    def __enter__(self) -> Client:
        """Is connected since it was made."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes."""
        self.close()

    def next_sequence(self) -> int:
        """A number for a command that no earlier command of this client had."""
        self._sequence += 1
        return self._sequence

    def send(self, command: Command) -> None:
        """Sends one command."""
        try:
            self._socket.send(encode(command), socket.MSG_NOSIGNAL)
        except OSError as error:
            raise _ended() from error

    def reports(self, timeout_s: float = 0.0) -> list[bytes]:
        """The reports that wait, oldest first; waits for the first one up to timeout_s [s]."""
        packets: list[bytes] = []
        deadline = time.monotonic() + timeout_s
        while select.select(
            [self._socket], [], [], 0.0 if packets else max(0.0, deadline - time.monotonic())
        )[0]:
            try:
                packet = self._socket.recv(REPORT.itemsize + 1)
            except OSError as error:
                raise _ended() from error
            if not packet:
                if packets:
                    break
                raise _ended()
            packets.append(packet)
        return packets

    def report(self, timeout_s: float = 1.0) -> np.void:
        """The newest report; waits for one up to timeout_s [s].

        Raises GuardianError if none comes or it is of another version.
        """
        packets = self.reports(timeout_s)
        if not packets:
            raise GuardianError(
                f"the guardian has been silent for {timeout_s:g} s",
                "a report in every cycle",
                "look at the machine's load; start the guardian again",
            )
        try:
            return decode_report(packets[-1])
        except MessageError as error:
            raise GuardianError(
                f"the guardian speaks otherwise ({error})",
                "a guardian of this version",
                "end it with `dreamvla arm stop`, then start it again with this version",
            ) from error

    def close(self) -> None:
        """Ends the connection; a guardian whose policy goes holds the arm."""
        self._socket.close()


def _ended() -> GuardianError:
    return GuardianError(
        "the guardian has ended",
        "a guardian that runs as long as its policy",
        "read what it printed, look at the arm, then start again",
    )
