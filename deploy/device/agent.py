"""The device's side of a flash: answers requests, one JSON line each, until the line is closed.

A request is {"do": NAME, ...}; `put` is followed by the bytes of a file. Each is answered by any
number of {"progress": TEXT} and then {"done": {...}} or {"refused": {found, expected, cure}}.
Every request may be given again after a kill at any point.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from . import control
from .activate import Activation
from .journal import Journal
from .lock import lock
from .places import Places, places
from .refusal import Refusal
from .releases import Releases
from .root import Root
from .service import Service
from .steps import Steps
from .store import Store, full
from .unit import prepare_commands

GREETING = "dreamvla-agent 1"
"""First line of an agent; whatever a login shell prints comes before."""
_PROBE_S, _ORDER_S = 120, 200.0


class Agent:
    """What is asked for, by name; the public methods are the requests."""

    def __init__(self, stream: IO[bytes], say: Callable[[Mapping[str, Any]], None]) -> None:
        self._stream, self._say = stream, say
        self._lock = -1

    def hello(self, name: str, user: bool, ask_sudo: str = "") -> dict[str, Any]:
        """Begins; nothing is changed. ask_sudo: a password, or empty."""
        self._places: Places = places(name, user)
        self._root = Root(sudo=not user and os.geteuid() != 0, password=ask_sudo)
        base = self._places.base
        self._journal, self._store = Journal(base / "journal.jsonl"), Store(base / "store")
        self._releases = Releases(self._places, self._store, self._journal)
        self._service = Service(self._places, self._root)
        self._activation = Activation(self._places, self._releases, self._journal, self._service)
        return {
            "user": pwd.getpwuid(os.geteuid()).pw_name,
            "root": os.geteuid() == 0,
            "sudo_user": os.environ.get("SUDO_USER", ""),
            "python": sys.version.split()[0],
            "base": str(base),
            "robot": str(self._places.robot),
            "has_robot": self._places.robot.is_file(),
            "free_bytes": shutil.disk_usage(_existing(base)).free,
        }

    def probe(self, source: str, arguments: list[str]) -> dict[str, Any]:
        """Runs a script of facts with this Python; its JSON document."""
        done = subprocess.run(
            [sys.executable, "-I", "-", *arguments],
            input=source,
            capture_output=True,
            text=True,
            timeout=_PROBE_S,
        )
        try:
            facts: dict[str, Any] = json.loads(done.stdout)
        except ValueError:
            raise Refusal(
                f"the device's facts cannot be read: {done.stderr.strip()[-300:] or 'no output'}",
                "a Jetson, or another Linux with Python 3.8 or later",
                "run `dreamvla doctor` on the device",
            ) from None
        return facts

    def state(self) -> dict[str, Any]:
        """What is installed, and what it does."""
        return {
            "current": self._releases.current(),
            "before": self._releases.before(),
            "releases": self._releases.all(),
            "service": self._service.status(),
            "unfinished": self._journal.unfinished() is not None,
        }

    def privileged(self, owner: str, release: str) -> dict[str, Any]:
        """The lines that need root, if all of them are needed."""
        return {"commands": [self._root.shown(c) for c in self._privileged(owner, release)]}

    def permitted(self, owner: str, release: str) -> dict[str, Any]:
        """Whether this user may have them run: why not, or null."""
        try:
            self._root.require(self._privileged(owner, release))
        except Refusal as error:
            return {"refused": error.document()}
        return {"refused": None}

    def prepare(self, owner: str) -> dict[str, Any]:
        """Makes the folders, and keeps others out until this agent ends."""
        self._root.run_all(self._prepares(owner))
        self._places.base.mkdir(parents=True, exist_ok=True)
        self._lock = lock(self._places.base / "lock", self._progress)
        return {}

    def settle(self) -> dict[str, Any]:
        """See `Activation.settle`."""
        return {"settled": self._activation.settle()}

    def missing(self, hashes: list[str]) -> dict[str, Any]:
        """Files that must be sent, with how much of each is here."""
        return {"missing": self._store.missing(hashes)}

    def put(self, sha256: str, size: int, offset: int) -> dict[str, Any]:
        """Takes one file."""
        self._store.receive(sha256, size, offset, self._stream)
        return {}

    def lay_out(
        self, release: str, files: dict[str, str], texts: dict[str, str], facts: dict[str, Any]
    ) -> dict[str, Any]:
        """The release's folder."""
        self._releases.lay_out(release, files, texts, facts)
        self._journal.add("laid out", release)
        return {}

    def environment(self, release: str, offline: bool, extra: str) -> dict[str, Any]:
        """See `Steps.environment`."""
        self._steps(release).environment(offline, extra)
        return {}

    def backend(self, release: str, power_mode: str) -> dict[str, Any]:
        """See `Steps.backend`."""
        return self._steps(release).backend(power_mode)

    def verify(self, release: str, backend: str) -> dict[str, Any]:
        """See `Steps.verify`."""
        return self._steps(release).verify(backend)

    def gate(
        self, release: str, backend: str, budget_ms: float, arm: str, seconds: float
    ) -> dict[str, Any]:
        """See `Steps.gate`."""
        return self._steps(release).gate(backend, budget_ms, arm, seconds)

    def still(self, stop_arm: bool) -> dict[str, Any]:
        """Makes sure that nothing moves the arm. Raises Refusal unless it may be stopped."""
        moving = self._service.moving()
        if moving and not stop_arm:
            raise Refusal(
                f"the service drives the arm (it is in {moving})",
                "an arm that nobody drives",
                "stop it with `dreamvla stop`, or let --stop-arm bring it to hold first",
            )
        if moving:
            self._service.hold()
            self._journal.add("stopped", str(self._releases.current()))
        return {"stopped": moving}

    def motion(self, release: str, stop_arm: bool) -> dict[str, Any]:
        """As `still`, for whoever drives the arm: now that the tool is there, it can look."""
        self.still(stop_arm)
        return self._steps(release).motion(stop_arm)

    def activate(self, release: str) -> dict[str, Any]:
        """See `Activation.activate`."""
        return self._activation.activate(release)

    def order(self, order: dict[str, Any]) -> dict[str, Any]:
        """Passes an order on to the robot's service."""
        try:
            return control.ask(self._places.control, order, _ORDER_S)
        except OSError as error:
            raise Refusal(
                f"no service of {self._places.name} answers at {self._places.control}"
                f" ({error.strerror or error})",
                "a flashed robot whose service is up",
                f"flash it, or look with `systemctl status {self._places.unit}`; one that was"
                " installed with --user needs it here too",
            ) from error

    def back(self) -> dict[str, Any]:
        """See `Activation.back`."""
        return self._activation.back()

    def prune(self) -> dict[str, Any]:
        """See `Releases.prune`."""
        removed = self._releases.prune()
        self._journal.add("pruned", str(self._releases.current()), removed=removed)
        return {"removed": removed}

    def _steps(self, release: str) -> Steps:
        return Steps(self._places, release, self._journal, self._lock)

    def _privileged(self, owner: str, release: str) -> list[tuple[str, ...]]:
        if self._places.user:
            return []
        commands = self._service.commands(self._places.release(release))
        return [*self._prepares(owner), *commands]

    def _prepares(self, owner: str) -> list[tuple[str, ...]]:
        base, settings = self._places.base, self._places.settings
        if self._places.user or (os.access(base, os.W_OK) and settings.is_dir()):
            return []
        return prepare_commands(self._places, owner)

    def _progress(self, text: str) -> None:
        self._say({"progress": text})


REQUESTS = frozenset(name for name in vars(Agent) if not name.startswith("_"))


def main() -> None:
    """Answers on the standard streams; nothing else that runs here can write between the lines."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    stream = sys.stdin.buffer

    def say(message: Mapping[str, Any]) -> None:
        answers.write(json.dumps(message).encode() + b"\n")
        answers.flush()

    answers.write(GREETING.encode() + b"\n")
    answers.flush()
    agent = Agent(stream, say)
    try:
        for line in stream:
            say(_answer(agent, json.loads(line)))
    except (EOFError, BrokenPipeError):  # the other side has gone; all that was done is kept
        return


def _answer(agent: Agent, request: dict[str, Any]) -> dict[str, Any]:
    name = request.pop("do")
    try:
        if name not in REQUESTS:
            raise Refusal(f"the request {name!r}", "one of this agent's", "use one version")
        return {"done": getattr(agent, name)(**request)}
    except Refusal as error:
        return {"refused": error.document()}
    except EOFError:
        raise
    except OSError as error:
        return {"refused": full(Path(error.filename or "/"), error).document()}
    except Exception as error:
        found = f"a defect of the agent in {name}: {type(error).__name__}: {error}"
        return {"refused": Refusal(found, "none", "please report it").document()}


def _existing(path: Path) -> Path:
    """The folder itself, or the first one above it that is there."""
    return path if path.is_dir() else _existing(path.parent)
