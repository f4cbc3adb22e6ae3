"""The service's end of its control socket; the other end is `control.py`."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .control import MOST_BYTES

_SILENT_S = 5.0
"""Who connects and says nothing is cut off."""


class ControlServer:
    """Answers orders in threads of their own, so that `stop` never waits for a step or a start.

    path: of the socket, for this user and root alone; answer: of an order, in any thread.
    """

    def __init__(
        self, path: Path, answer: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    ) -> None:
        self._path, self._answer = path, answer
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # of a service that was killed
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            self._socket.bind(str(path))
        finally:
            os.umask(before)
        self._socket.listen(8)
        threading.Thread(target=self._accept, name="control", daemon=True).start()

    def __enter__(self) -> ControlServer:
        """Listens since it was made."""
        return self

    def __exit__(self, *_: object) -> None:
        """Ends."""
        self._path.unlink(missing_ok=True)
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:  # closed
                return
            serve = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            serve.start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            connection.settimeout(_SILENT_S)
            with connection.makefile("rb") as lines:
                line = lines.readline(MOST_BYTES)
            try:
                order = json.loads(line)
                if not isinstance(order, dict):
                    raise ValueError("no object")
            except ValueError as error:
                answer: Mapping[str, Any] = {"error": refusal(f"an order that is no JSON: {error}")}
            else:
                answer = self._answer(order)
            connection.sendall(json.dumps(answer).encode() + b"\n")


def refusal(found: str, expected: str = "", cure: str = "") -> dict[str, str]:
    """An error in an answer."""
    return {
        "found": found,
        "expected": expected or "an order that the service knows",
        "cure": cure or "use `dreamvla start`, `dreamvla stop` and `dreamvla status`",
    }
