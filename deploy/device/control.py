"""Orders to the service of a robot, over its Unix socket: one JSON line there, one back."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MOST_BYTES = 1 << 16
"""Of a line, either way."""


def ask(path: Path, order: Mapping[str, Any], timeout_s: float = 60.0) -> dict[str, Any]:
    """The service's answer. Raises OSError if none listens or it does not answer in time [s]."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        connection.connect(str(path))
        connection.sendall(json.dumps(order).encode() + b"\n")
        with connection.makefile("rb") as lines:
            line = lines.readline(MOST_BYTES)
    try:
        answer: dict[str, Any] = json.loads(line)
    except ValueError:
        raise OSError(f"the service answered {line[:60]!r}") from None
    return answer
