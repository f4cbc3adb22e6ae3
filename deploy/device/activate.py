"""The switch to a release, with its health check and the way back."""

from __future__ import annotations

from typing import Any

from .journal import Journal
from .places import Places
from .refusal import Refusal
from .releases import Releases
from .service import Service


class Activation:
    """Puts releases in force. The arm is never touched: the service starts in `stop`."""

    def __init__(
        self, places: Places, releases: Releases, journal: Journal, service: Service
    ) -> None:
        self._places, self._releases = places, releases
        self._journal, self._service = journal, service

    def activate(self, release: str) -> dict[str, Any]:
        """Switches, restarts and checks; whatever fails, the release before is in force again.

        All of it happens on the device: who asked for it may die meanwhile. Raises Refusal.
        """
        before = self._releases.current()
        self._service.require_rights(self._places.release(release))
        self._journal.add("switching", release, before=before)
        try:
            return self._enter(release)
        except Refusal as error:
            raise self._back(release, before, error) from error

    def settle(self) -> str | None:
        """Brings a switch that was cut off to an end, forward if the release is well; what was
        done, for people.
        """
        begun = self._journal.unfinished()
        if begun is None:
            return None
        release, before = str(begun["release"]), begun["before"]
        if self._service.runs_well(release):
            self._journal.add("healthy", release)
            return f"a switch to {release} that was cut off is complete"
        if release in self._releases.all() and self._releases.current() == release:
            try:
                self._enter(release)
                return f"a switch to {release} that was cut off is complete now"
            except Refusal as error:
                reason = error
        else:
            reason = Refusal("the switch was cut off", "a whole one", "flash again")
        told = self._back(release, before, reason)
        return f"a switch to {release} was cut off; {told.cure}"

    def back(self) -> dict[str, Any]:
        """Goes back to the last release that ran well. Raises Refusal if there is none."""
        current, before = self._releases.current(), self._releases.before()
        if before is None:
            raise Refusal(
                f"no release before {current or 'the first one'} is on the device",
                "an earlier release that ran well",
                "flash another bundle",
            )
        found = self.activate(before)
        if current is not None:
            self._journal.add("withdrawn", current, to=before, why="by order")
        return {**found, "release": before, "withdrawn": current}

    def _enter(self, release: str) -> dict[str, Any]:
        self._service.install(self._places.release(release))
        self._releases.switch(release)
        self._journal.add("switched", release)
        self._service.restart()
        found = self._service.require_health(release)
        self._journal.add("healthy", release)
        return found

    def _back(self, release: str, before: str | None, error: Refusal) -> Refusal:
        """Undoes a switch; the error, with what was done about it."""
        done = f"{before} is in force again"
        try:
            if before is not None and before in self._releases.all():
                self._service.install(self._places.release(before))
                self._releases.switch(before)
                self._service.restart()
                self._service.require_health(before)
            else:
                self._service.stop()
                self._releases.switch(None)
                done = "nothing is installed, as before"
        except Refusal as worse:
            done = f"{before or 'nothing'} is current again but: {worse.found}; {worse.cure}"
        self._journal.add("withdrawn", release, to=before, why=error.found)
        return Refusal(error.found, error.expected, f"{error.cure}; {done}")
