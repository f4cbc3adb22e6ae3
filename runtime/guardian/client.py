"""The other end of the guardian's socket: a policy, a monitor, or a person's command."""

from __future__ import annotations

import hashlib
import os
import select
import socket
import time
from pathlib import Path

import numpy as np

from dreamvla_edge.runtime.errors import GuardianError
from dreamvla_edge.runtime.robot import VIRTUAL, load_robot

from .message import REPORT, Command, MessageError, Order, decode_report, encode, readable

_SERVICES, _SERVICES_RUN = Path("/etc/dreamvla"), Path("/run/dreamvla")
"""Settings of robots that have a service, and where systemd gives each service a folder."""
_LONGEST_FOLDER = 80
"""The kernel takes 107 bytes as the path of a socket, and the name of the file has 24."""


def socket_path(robot: Path) -> Path:
    """Where the guardian of a robot file listens, for this user. Raises RobotError.

    There is one per serial port, by the name that the robot file gives: a cable that is plugged
    in again may get another device. Every robot file has a virtual arm of its own. The robot of a
    service that is up has the service's folder, so that a login finds what the service started.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    shared = Path(f"/tmp/dreamvla-edge-{os.getuid()}")
    folder = Path(runtime) / "dreamvla-edge" if runtime else shared
    if len(os.fsencode(folder)) > _LONGEST_FOLDER:
        folder = shared
    settings = robot.resolve().parent
    if settings.parent == _SERVICES and (_SERVICES_RUN / settings.name).is_dir():
        folder = _SERVICES_RUN / settings.name
    port = load_robot(robot).arm.port
    arm = f"{port} of {robot.resolve()}" if port == VIRTUAL else port
    return folder / f"{hashlib.sha256(arm.encode()).hexdigest()[:16]}.socket"


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
        self._sequence, self._last = 0, b""
        self.send(Command(order))

    def __enter__(self) -> Client:
        """Is connected since it was made."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes."""
        self.close()

    def next_sequence(self) -> int:
        """A number for a command that no earlier command of this client had."""
        self._sequence += 1
        return self._sequence

    def send(self, command: Command) -> None:
        """Sends one command; never waits for a guardian that does not read."""
        try:
            self._socket.send(encode(command), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except BlockingIOError as error:
            raise GuardianError(
                "the guardian takes no commands",
                "a guardian that reads its commands in every cycle",
                "look whether its process is stopped and at the machine's load",
            ) from error
        except OSError as error:
            raise self._ended() from error

    def reports(self, timeout_s: float = 0.0) -> list[bytes]:
        """The reports that wait, oldest first; waits for the first one up to timeout_s [s]."""
        packets: list[bytes] = []
        deadline = time.monotonic() + timeout_s
        while select.select(
            [self._socket], [], [], 0.0 if packets else max(0.0, deadline - time.monotonic())
        )[0]:
            try:
                packet = self._socket.recv(REPORT.itemsize + 1)
            except ConnectionResetError:
                continue  # comes before what is left to read
            except OSError as error:
                raise self._ended() from error
            if not packet:
                if packets:
                    break
                raise self._ended()
            packets.append(packet)
            self._last = packet
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

    def _ended(self) -> GuardianError:
        """The error of a connection that has ended, with the last word of the guardian."""
        try:
            said = readable(decode_report(self._last)["reason"])
        except MessageError:
            said = ""
        return GuardianError(
            f"the guardian has ended{said and ': '}{said}",
            "a guardian that runs as long as its policy",
            "read what it printed, look at the arm, then start again",
        )
