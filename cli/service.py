"""A policy that waits for orders: what `dreamvla serve` does."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dreamvla_edge.deploy.device.control_server import refusal
from dreamvla_edge.deploy.device.notify import READY, STOPPING, WATCHDOG, notify, status
from dreamvla_edge.runtime.bundle import Bundle, open_bundle
from dreamvla_edge.runtime.errors import DreamvlaError, GuardianError
from dreamvla_edge.runtime.guardian.message import Order, State, readable
from dreamvla_edge.runtime.pilot.watch import Watch
from dreamvla_edge.runtime.policy import Policy

from .session import Wishes, session

_BEAT_S = 1.0
"""Between two signs of life to systemd; its watchdog waits for a minute."""
_START_S, _STOP_S = 150.0, 45.0
"""So long an order waits for what it asked for."""


class Halted(BaseException):
    """A stop came while a run was being prepared; passes what only expects errors."""


class Service:
    """Waits in `stop`, with its policy loaded and the arm untouched, and drives when told to.

    bundle, robot: paths; a robot file that is missing or wrong is said when a run is asked for.
    `answer` is for any thread, everything else for the main one. A run that fails ends in `stop`
    and is said, it ends no service; so does a policy that cannot be loaded.
    """

    def __init__(self, bundle: Path, robot: Path, backend: str, threads: int | None = None) -> None:
        self._path, self._robot = bundle.resolve(), robot
        self._backend, self._threads = backend, threads
        self._bundle: Bundle | None = None
        self._policy: Policy | None = None
        self._changed = threading.Condition()
        self._state, self._wanted = "stop", None  # type: str, Wishes | None
        self._halt = threading.Event()
        self._watch: Watch | None = None
        self._error: dict[str, str] | None = None
        self._last_error: dict[str, str] | None = None
        self._beat_s = 0.0

    def run(self) -> None:
        """Serves until it is interrupted."""
        try:  # from the first: a signal may come while the policy loads or readiness is told
            self._load()
            notify(READY, status(self._line()))
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._wanted is not None, _BEAT_S)
                    wanted, self._wanted = self._wanted, None
                self._beat()
                if wanted is not None:
                    self._drive(wanted)
        finally:
            notify(STOPPING)
            if self._policy is not None:
                self._policy.close()

    def answer(self, order: Mapping[str, Any]) -> Mapping[str, Any]:
        """Does what an order says: status, start or stop; what became of it."""
        name = order.get("order")
        if name == "status":
            return self._document()
        if name == "stop":
            return self._stop()
        if name == "start":
            try:
                wishes = Wishes(
                    instruction=str(order["instruction"]),
                    speed=float(order.get("speed", 1.0)),
                    shadow=bool(order.get("shadow", False)),
                )
            except (KeyError, TypeError, ValueError) as error:
                return {"error": refusal(f"a start that cannot be read ({error})")}
            return self._start(wishes)
        return {"error": refusal(f"the order {name!r}")}

    def _start(self, wishes: Wishes) -> Mapping[str, Any]:
        with self._changed:
            if self._error is not None:
                return {"error": self._error}
            if self._state != "stop":
                return {
                    "error": refusal(
                        f"the service drives already (it is in {self._state})",
                        "a service in stop",
                        "stop it first with `dreamvla stop`",
                    )
                }
            self._halt.clear()
            self._last_error, self._wanted = None, wishes
            self._state = "starting"
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._state in ("driving", "stop"), _START_S)
            failed = self._last_error
        return {"error": failed} if failed else self._document()

    def _stop(self) -> Mapping[str, Any]:
        with self._changed:
            self._halt.set()
            watch = self._watch
        if watch is not None:
            try:  # at once, whatever the policy is busy with
                watch.order(Order.STOP, "stopped by an order")
            except GuardianError:
                pass  # it has ended: nobody moves the arm
        with self._changed:
            self._changed.wait_for(lambda: self._state == "stop", _STOP_S)
        return self._document()

    def _load(self) -> None:
        """Whatever is wrong with the policy is a reason to say so, not to start again and again."""
        try:
            self._bundle = open_bundle(self._path)
            self._policy = Policy(self._bundle, self._backend, self._threads)
        except Exception as error:
            told = _explained(error)
            self._error = {**told, "cure": f"flash the bundle again, or: {told['cure']}"}

    def _drive(self, wishes: Wishes) -> None:
        assert self._bundle is not None and self._policy is not None
        try:
            with session(self._bundle, self._robot, wishes, self._progress, self._policy) as parts:
                with self._changed:
                    self._watch = parts.watch
                    self._state = "driving"
                    self._changed.notify_all()
                while not self._halt.is_set():
                    parts.pilot.step()
                    self._beat()
        except Halted:
            pass
        except DreamvlaError as error:
            self._last_error = _explained(error)
        finally:
            with self._changed:
                self._watch, self._state = None, "stop"
                self._changed.notify_all()
            self._beat_s = 0.0

    def _progress(self, line: str) -> None:
        notify(WATCHDOG, status(line))
        if self._halt.is_set():
            raise Halted

    def _beat(self) -> None:
        """Only from the main thread, between steps: one that hangs is missed."""
        now_s = time.monotonic()
        if now_s - self._beat_s >= _BEAT_S:
            self._beat_s = now_s
            notify(WATCHDOG, status(self._line()))

    def _line(self) -> str:
        if self._error is not None:
            return f"stop: {self._error['found']}; what to do: {self._error['cure']}"
        if self._state == "stop":
            failed = self._last_error
            return f"stop: the last run failed: {failed['found']}" if failed else "stop: waiting"
        return self._state

    def _document(self) -> dict[str, Any]:
        with self._changed:
            watch = self._watch
            document = {
                "state": self._state,
                "bundle": str(self._path),
                "backend": self._backend,
                "version": version("dreamvla-edge"),
                "robot": str(self._robot),
                "has_robot": self._robot.is_file(),
                "error": self._error,
                "last_error": self._last_error,
                "guardian": None,
            }
        if watch is not None:
            try:
                report = watch.report
            except Exception:  # the run ends with this error in a moment, and says it then
                return document
            state = State(int(report["state"])).name
            document["guardian"] = {"state": state, "reason": readable(report["reason"])}
        return document


def _explained(error: Exception) -> dict[str, str]:
    if isinstance(error, DreamvlaError):
        return {"found": error.found, "expected": error.expected, "cure": error.cure}
    return refusal(
        f"{type(error).__name__}: {error}",
        "a policy that loads",
        "flash again; if it comes back it is a defect: please report it",
    )
