"""What must not wait for the policy: reports that arrive, cameras that fail, orders of a person."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from dreamvla_edge.runtime.cameras.camera_pair import CameraPair
from dreamvla_edge.runtime.errors import GuardianError
from dreamvla_edge.runtime.guardian.client import Client
from dreamvla_edge.runtime.guardian.message import Command, Order, Waypoint, decode_report

_PERIOD_S = 0.005
_REPORTS = 400  # some seconds
_SILENT_S = 2.0
"""A guardian that says nothing for so long is stopped or lost."""
_MOVES_RAD_S = 0.05
"""An arm that is faster changes what its cameras see."""


class Watch:
    """A thread beside the policy.

    client: connected to drive; cameras: both; keep: gets every report as it came.
    While the cameras cannot be trusted the guardian is told to hold and no waypoints pass. Every
    method raises the error that ended the thread, if one did.
    """

    def __init__(self, client: Client, cameras: CameraPair, keep: Callable[[bytes], None]) -> None:
        self._client, self._cameras, self._keep = client, cameras, keep
        self._reports: deque[Any] = deque(maxlen=_REPORTS)
        self._lock = threading.Lock()
        self._blind = ""
        self._error: Exception | None = None
        self._ended = threading.Event()
        self._reports.append(client.report())
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    @property
    def report(self) -> Any:
        """The newest report, a record of `message.REPORT`."""
        self._refuse_end()
        return self._reports[-1]

    @property
    def blind(self) -> str:
        """Why the cameras cannot be trusted now; empty if they can."""
        return self._blind

    def reports(self) -> list[Any]:
        """The reports of the last seconds, oldest first."""
        self._refuse_end()
        return list(self._reports)

    def report_at(self, time_ns: int) -> Any:
        """The report whose measurement is nearest to a time, monotonic [ns]."""
        return min(self.reports(), key=lambda report: abs(int(report["reading_ns"]) - time_ns))

    def order(self, order: Order, reason: str = "") -> None:
        """Tells the guardian."""
        with self._lock:
            self._client.send(Command(order, self._client.next_sequence(), reason=reason))

    def drive(self, observed_ns: int, waypoints: tuple[Waypoint, ...]) -> int | None:
        """Sends waypoints; the number of the command, None if the cameras have failed since."""
        self._refuse_end()
        with self._lock:
            if self._blind:
                return None
            number = self._client.next_sequence()
            self._client.send(Command(Order.WAYPOINTS, number, observed_ns, waypoints))
            return number

    def close(self) -> None:
        """Holds the arm and ends the thread."""
        with contextlib.suppress(GuardianError):
            self.order(Order.HOLD, "the run ends")
        self._ended.set()
        self._thread.join()

    def _refuse_end(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        heard_s = time.monotonic()
        try:
            while not self._ended.wait(_PERIOD_S):
                for packet in self._client.reports():
                    self._keep(packet)
                    self._reports.append(decode_report(packet))
                    heard_s = time.monotonic()
                if time.monotonic() - heard_s > _SILENT_S:
                    raise GuardianError(
                        f"the guardian has been silent for {_SILENT_S:g} s",
                        "a report in every cycle",
                        "look at the arm, and whether the guardian's process is stopped",
                    )
                velocity = np.abs(self._reports[-1]["velocity"])
                self._cameras.move(bool((velocity > _MOVES_RAD_S).any()))
                self._look(self._cameras.verdict(time.monotonic()).reason)
        except Exception as error:  # whatever it is: nobody watches the cameras any more
            self._error = error

    def _look(self, reason: str) -> None:
        with self._lock:
            if reason and not self._blind:
                number = self._client.next_sequence()
                self._client.send(Command(Order.HOLD, number, reason=reason))
            self._blind = reason
