"""What systemd starts: a release's own `dreamvla serve`. Where the Python that it was installed for
is gone, as after an update from JetPack 6 to 7, a service in `stop` that says so and what to do.

    python3 -I -B RELEASE/device BUNDLE --robot FILE --control SOCKET --backend NAME

Runs on the Python that the device has now. Nothing here opens a serial port.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .control_server import ControlServer, refusal
from .notify import READY, STOPPING, WATCHDOG, notify, status
from .releases import FACTS

_BEAT_S = 1.0
"""Between two signs of life to systemd; its watchdog waits for a minute."""


def main() -> None:
    """Becomes the service, or waits in its place."""
    arguments = _arguments(sys.argv[1:])
    release = arguments.bundle.resolve().parent
    error = broken(release / "venv")
    if error is None:
        program = str(release / "venv" / "bin" / "dreamvla")
        os.execv(program, [program, "serve", *sys.argv[1:]])
    else:
        _wait(arguments, release, error)


def broken(environment: Path) -> dict[str, str] | None:
    """Why a virtual environment does not run; None if its Python looks where its packages are."""
    tools = environment.glob("lib/python3*/site-packages/dreamvla_edge")
    made = [tool.parent.parent.name[len("python") :] for tool in tools]
    python = environment / "bin" / "python"
    now = _version(python)
    if now in made:
        return None
    was = f"was installed for Python {made[0]}" if made else "has lost its environment"
    has = f"is Python {now} now" if now else "cannot be run"
    return refusal(
        f"the release {was}, and {python} {has}",
        "the Python that the release was installed for",
        "flash the bundle again: it is then installed for the Python that the device has now",
    )


def _version(python: Path) -> str:
    """Such as 3.10; empty if it cannot be run."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run(
            [str(python), "-I", "-S", "-c", code],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _wait(arguments: argparse.Namespace, release: Path, error: Mapping[str, str]) -> None:
    """Answers as a service does whose policy cannot be loaded, until it is ended."""

    def answer(order: Mapping[str, Any]) -> Mapping[str, Any]:
        name = order.get("order")
        if name not in ("status", "stop"):
            return {"error": error if name == "start" else refusal(f"the order {name!r}")}
        return {
            "state": "stop",
            "bundle": str(release / "bundle"),
            "backend": arguments.backend,
            "version": json.loads((release / FACTS).read_text())["tool"],
            "robot": str(arguments.robot),
            "has_robot": arguments.robot.is_file(),
            "error": error,
            "last_error": None,
            "guardian": None,
        }

    line = f"{error['found']}; what to do: {error['cure']}"
    print(line, file=sys.stderr, flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    try:
        with ControlServer(arguments.control, answer):
            notify(READY, status(f"stop: {line}"))
            while True:
                time.sleep(_BEAT_S)
                notify(WATCHDOG)
    finally:
        notify(STOPPING)


def _arguments(words: list[str]) -> argparse.Namespace:
    """Those of `dreamvla serve` that the unit gives."""
    parser = argparse.ArgumentParser(prog="launch")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--robot", type=Path, required=True)
    parser.add_argument("--control", type=Path, required=True)
    parser.add_argument("--backend", required=True)
    return parser.parse_args(words)
