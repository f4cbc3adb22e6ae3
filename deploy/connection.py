"""The way to a device: the user's own OpenSSH, or none where the device is this machine.

One connection carries everything: an agent (`deploy/device/`) is sent to the device's Python, then
requests and files. So ssh asks for a password at most once.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from dreamvla_edge.runtime.errors import DeviceError

from .device import FOLDER
from .device.agent import GREETING
from .ssh import FAILED, NO_PROGRAM, last_words, no_python, no_ssh, not_reached, ssh

LOCAL = "localhost"
_BLOCK = 1 << 18
_START = (
    "import sys,tempfile;"
    "i=sys.stdin.buffer;d=i.read(int(i.readline()));"
    "f=tempfile.NamedTemporaryFile(suffix='.zip');f.write(d);f.flush();"
    "sys.path.insert(0,f.name);"
    "from device.agent import main;f.close();"
    "main()"
)
"""What Python is started with: the agent comes behind, as its length and a zip file."""


class Connection:
    """An agent on a device; a context.

    host: as ssh takes it, or `localhost`; python: on the device; alone: nobody else talks to the
    person meanwhile, so ssh may ask. Raises DeviceError if it cannot be reached. Used by one
    thread at a time.
    """

    def __init__(
        self,
        host: str,
        python: str = "python3",
        alone: bool = True,
        progress: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.host, self._progress = host, progress
        command = [python, "-I", "-c", _START]
        environment = dict(os.environ)
        if host == LOCAL:
            environment["PATH"] = _outside(environment.get("PATH", os.defpath))
        else:
            asks = [] if alone else ["-o", "BatchMode=yes"]
            command = ssh(host, command, ["-o", "ServerAliveInterval=15", *asks])
        self._process = self._started(command, environment)
        assert self._process.stdin and self._process.stdout and self._process.stderr
        self._to: IO[bytes] = self._process.stdin
        self._from: IO[bytes] = self._process.stdout
        self._said = bytearray()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        try:
            self._greet()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Connection:
        """Is open since it was made."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes."""
        self.close()

    def ask(self, request: str, **arguments: Any) -> dict[str, Any]:
        """The answer to a request, see `device/agent.py`. Raises DeviceError if it is refused."""
        self._send(json.dumps({"do": request, **arguments}).encode() + b"\n")
        return self._answer()

    def put(self, path: Path, sha256: str, offset: int, sent: Callable[[int], None]) -> None:
        """Sends a file from an offset on; sent: is told of every piece [byte]."""
        size = path.stat().st_size
        request = {"do": "put", "sha256": sha256, "size": size, "offset": offset}
        self._send(json.dumps(request).encode() + b"\n")
        with path.open("rb") as file:
            file.seek(offset)
            while block := file.read(_BLOCK):
                self._send(block)
                sent(len(block))
        self._answer()

    def close(self) -> None:
        """Ends the connection; the agent ends with it, after what it is doing."""
        for stream in (self._to, self._from):
            try:
                stream.close()
            except OSError:  # the other side has gone before
                pass
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.terminate()
            self._process.wait()
        self._listener.join(1)

    def _started(self, command: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
            )
        except FileNotFoundError as error:
            if self.host == LOCAL:
                raise no_python(LOCAL, f"no program {error.filename}") from error
            raise no_ssh() from error

    def _greet(self) -> None:
        """Sends the agent and waits for its first line."""
        agent = _agent()
        self._send(str(len(agent)).encode() + b"\n" + agent)
        while True:
            line = self._from.readline()
            if not line:
                raise self._gone()
            if line.decode(errors="replace").strip() == GREETING:
                return  # what came before is a login shell's

    def _send(self, data: bytes) -> None:
        try:
            self._to.write(data)
            self._to.flush()
        except OSError as error:
            raise self._gone() from error

    def _answer(self) -> dict[str, Any]:
        while True:
            line = self._from.readline()
            if not line.endswith(b"\n"):
                raise self._gone()
            message: dict[str, Any] = json.loads(line)
            if "progress" in message:
                self._progress(message["progress"])
                continue
            if "refused" in message:
                raise DeviceError(**message["refused"])
            done: dict[str, Any] = message["done"]
            return done

    def _gone(self) -> DeviceError:
        """Why the connection has ended."""
        try:
            code = self._process.wait(5)
        except subprocess.TimeoutExpired:
            code = None
        self._listener.join(1)
        said = last_words(bytes(self._said))
        if self.host != LOCAL and code == FAILED:
            return not_reached(self.host, said)
        if code in NO_PROGRAM:
            return no_python(self.host, said)
        return DeviceError(
            f"the connection to {self.host} has ended ({code}): {said}",
            "one that lasts until the flash is done",
            "flash again: it goes on where it was",
        )

    def _listen(self) -> None:
        assert self._process.stderr
        for line in self._process.stderr:
            self._said.extend(line)
            del self._said[:-4096]


def _agent() -> bytes:
    """The folder `device/` as a zip file."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(FOLDER.glob("*.py")):
            archive.write(path, f"device/{path.name}")
    return content.getvalue()


def _outside(path: str) -> str:
    """A search path without this virtual environment: the device's own Python is wanted."""
    here = Path(sys.prefix) / "bin"
    return os.pathsep.join(part for part in path.split(os.pathsep) if Path(part) != here)
