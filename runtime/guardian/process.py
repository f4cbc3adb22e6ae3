"""Starts the guardian beside a policy and ends it again."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
import time
from pathlib import Path

from dreamvla_edge.runtime import fresh_python
from dreamvla_edge.runtime.errors import GuardianError

from .client import Client, socket_path
from .lock import holder
from .message import Command, Order

_START_S, _END_S = 15.0, 20.0  # to listen; to stand, or to be lowered, and leave


class GuardianProcess:
    """A guardian in a process and session of its own: neither a Ctrl-C nor a crash here ends it.

    robot: path of the robot file; port: instead of the file's; speed, shadow, limp, ordinary: as
    of the program. Use as a context: leaving it tells the guardian to end, which leaves the arm
    held (or limp). A guardian whose own run has died is told to end before; one that is driven
    stays. Raises GuardianError if it does not start.
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
        self.socket = socket_path(robot)
        command = fresh_python.command("dreamvla_edge.runtime.guardian", robot)
        command += [f"--speed={speed}", *(["--port", port] if port else [])]
        flags = {"--shadow": shadow, "--limp": limp, "--ordinary": ordinary}
        command += [name for name, wanted in flags.items() if wanted]
        self._output = tempfile.TemporaryFile()
        _end_orphan(self.socket)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # whoever reads ours must not wait for a guardian left over
            stderr=self._output,
            start_new_session=True,
        )
        try:
            self._wait()
        except BaseException:
            self._process.terminate()
            raise

    def __enter__(self) -> GuardianProcess:
        """Runs since it was made."""
        return self

    def __exit__(self, *_: object) -> None:
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
        """Tells it to end and waits; raises GuardianError if it does not in time, or had failed."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            code = self._process.wait(_END_S)
            if code > 0:
                raise GuardianError(
                    f"the guardian failed (exit code {code}): {self.output.strip() or 'silently'}",
                    "a guardian that ends when it is told to",
                    "look at the arm: its servos keep their last goal; then start again",
                )
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
            if holder(self.socket.with_suffix(".lock")) == self.pid and self._listens():
                return
            time.sleep(0.02)
        self._process.kill()
        raise GuardianError(
            f"the guardian did not listen within {_START_S:g} s",
            "a guardian that runs",
            "look at the machine's load, then start again",
        )

    def _listens(self) -> bool:
        try:
            Client(self.socket).close()
        except GuardianError:
            return False
        return True


def _end_orphan(socket: Path) -> None:
    """Ends a guardian that nobody drives; the arm stays as that one leaves it.

    Where somebody drives, the connection is refused before the order is read.
    """
    with contextlib.suppress(GuardianError), Client(socket, Order.DRIVE) as client:
        client.send(Command(Order.END))
        deadline = time.monotonic() + _END_S
        while time.monotonic() < deadline:
            client.reports(0.1)
