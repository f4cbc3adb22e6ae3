"""Starts the guardian beside a policy and ends it again."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

from dreamvla_edge.runtime.errors import GuardianError
from dreamvla_edge.runtime.robot import load_robot

from .client import Client, socket_path
from .message import Command, Order

_START_S, _END_S = 15.0, 20.0  # to listen; to stand, or to be lowered, and leave


class GuardianProcess:
    """A guardian in a process and session of its own: neither a Ctrl-C nor a crash here ends it.

    robot: path of the robot file; port: instead of the file's; speed, shadow, limp, ordinary: as
    of the program. Use as a context: leaving it tells the guardian to end, which leaves the arm
    held (or limp). Raises GuardianError if it does not start.
    """

    def __init__(
        self,
        robot: Path,
        port: str | None = None,
        speed: float = 1.0,
        shadow: bool = False,
        limp: bool = False,
        ordinary: bool = False,
    ) -> None:
        self.socket = socket_path(load_robot(robot).arm.port)
        command = [sys.executable, "-m", "dreamvla_edge.runtime.guardian", str(robot)]
        command += [f"--speed={speed}", *(["--port", port] if port else [])]
        flags = {"--shadow": shadow, "--limp": limp, "--ordinary": ordinary}
        command += [name for name, wanted in flags.items() if wanted]
        self._output = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stderr=self._output, start_new_session=True
        )
        self._wait()

    def __enter__(self) -> GuardianProcess:
        """Runs since it was made."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends it."""
        self.end()

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def output(self) -> str:
        """What it said so far, for people."""
        self._output.seek(0)
        return self._output.read().decode(errors="replace")

    def end(self) -> None:
        """Tells it to end and waits; raises GuardianError if it does not in time."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired as error:
            raise GuardianError(
                f"the guardian (process {self.pid}) does not end",
                f"an end within {_END_S:g} s",
                "cut the servo power if the arm moves, then kill the process",
            ) from error
        finally:
            self._output.close()

    def _wait(self) -> None:
        """Until it listens."""
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                said = self.output.strip() or f"exit code {self._process.returncode}"
                raise GuardianError(
                    f"the guardian ended at once: {said}",
                    "a guardian that runs",
                    "correct what it says, then start again",
                )
            try:
                Client(self.socket).close()
                return
            except GuardianError:
                time.sleep(0.02)
        self._process.kill()
        raise GuardianError(
            f"the guardian did not listen within {_START_S:g} s",
            "a guardian that runs",
            "look at the machine's load, then start again",
        )


def tell(socket: Path, order: Order, reason: str) -> None:
    """Gives a running guardian one order. Raises GuardianError if none runs."""
    with Client(socket) as client:
        client.send(Command(order, reason=reason))
