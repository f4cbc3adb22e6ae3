"""The service of a robot, as systemd and its own socket show it."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path
from typing import Any

from . import control
from .places import Places
from .refusal import Refusal
from .root import Root
from .unit import TEMPLATE, install_commands, systemctl

UNIT_FILE, DROP_IN_FILE = TEMPLATE, "user.conf"
"""Of a release: what it wants to be run by."""
_STOP_S = 60.0


class Service:
    """Installs, restarts and asks a robot's service."""

    def __init__(self, places: Places, root: Root) -> None:
        self._places, self._root = places, root

    def status(self) -> dict[str, Any] | None:
        """What the service says of itself; None if none answers."""
        try:
            return control.ask(self._places.control, {"order": "status"}, 10.0)
        except OSError:
            return None

    def moving(self) -> str:
        """What the arm does now by order of the service; empty if nothing."""
        found = self.status()
        return "" if found is None or found["state"] == "stop" else str(found["state"])

    def hold(self) -> None:
        """Brings a policy that drives to hold and ends it. Raises Refusal if that fails."""
        try:
            answer = control.ask(self._places.control, {"order": "stop"}, _STOP_S)
        except OSError as error:
            raise _unstoppable(str(error)) from error
        if answer.get("state") != "stop":
            raise _unstoppable(f"it is in {answer.get('state')}")

    def commands(self, release: Path) -> list[tuple[str, ...]]:
        """What has to be run to install a release's unit and start it, or else to end it again."""
        return [*self._installs(release), *self._starts(), self._end()]

    def require_rights(self, release: Path) -> None:
        """Raises Refusal, before anything is done, if sudo would not run one of them."""
        self._root.require(self.commands(release))

    def install(self, release: Path) -> None:
        """Puts the unit of a release in its place; nothing is run where it is the same."""
        self._root.run_all(self._installs(release))

    def restart(self) -> None:
        """Raises Refusal with the last of its log if it does not come up."""
        enable, reset, restart = self._starts()
        try:
            self._root.run(enable)
            with contextlib.suppress(Refusal):  # nothing to forget where it has never failed
                self._root.run(reset)
            self._root.run(restart)
        except Refusal as error:
            raise Refusal(
                f"{self._places.unit} does not start: {error.found}{self._log()}",
                "a service that reports ready",
                "read the log above; the release before is in force again",
            ) from error

    def stop(self) -> None:
        """Ends it; an arm that it holds stays held."""
        self._root.run(self._end())

    def runs_well(self, release: str) -> bool:
        """Whether the service is up with this release and has loaded its policy."""
        found = self.status()
        return found is not None and _release(found) == release and not found.get("error")

    def require_health(self, release: str) -> dict[str, Any]:
        """What the service of this release says. Raises Refusal if it is not up or not well."""
        found = self.status()
        if found is None:
            raise Refusal(
                f"{self._places.unit} does not answer at {self._places.control}{self._log()}",
                "a service that waits for orders",
                f"look with `systemctl status {self._places.unit}`",
            )
        runs = _release(found)
        if runs != release:
            raise Refusal(
                f"the service runs {runs}", f"release {release}", "flash again, or restart it"
            )
        if found["state"] != "stop":
            raise Refusal(f"the service is in {found['state']}", "stop", "flash again")
        error = found.get("error")
        if error:
            raise Refusal(str(error["found"]), str(error["expected"]), str(error["cure"]))
        return found

    def _installs(self, release: Path) -> list[tuple[str, ...]]:
        unit, drop_in = release / UNIT_FILE, release / DROP_IN_FILE
        instance = self._places.units / f"{self._places.unit}.d" / DROP_IN_FILE
        same = _same(unit, self._places.units / TEMPLATE) and (
            self._places.user or _same(drop_in, instance)
        )
        return [] if same else install_commands(self._places, str(unit), str(drop_in))

    def _starts(self) -> list[tuple[str, ...]]:
        unit = self._places.unit
        return [
            systemctl(self._places, "enable", unit),
            systemctl(self._places, "reset-failed", unit),
            systemctl(self._places, "restart", unit),
        ]

    def _end(self) -> tuple[str, ...]:
        return systemctl(self._places, "disable", "--now", self._places.unit)

    def _log(self) -> str:
        """Its last lines, as far as this user may read them."""
        scope = "--user-unit" if self._places.user else "--unit"
        command = ["journalctl", "--no-pager", "-q", "-o", "cat", "-n", "5", scope]
        try:
            done = subprocess.run(
                [*command, self._places.unit],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                timeout=10,
            )
        except (OSError, subprocess.TimeoutExpired):
            return ""
        said = " | ".join(line for line in done.stdout.splitlines() if line.strip())
        return f" ({said[-600:]})" if said else ""


def _release(status: dict[str, Any]) -> str:
    return Path(str(status["bundle"])).parent.name


def _same(one: Path, other: Path) -> bool:
    try:
        return one.read_bytes() == other.read_bytes()
    except OSError:
        return False


def _unstoppable(why: str) -> Refusal:
    return Refusal(
        f"the running policy cannot be stopped ({why})",
        "an arm that is held before anything is changed",
        "stop it by hand (`dreamvla stop`), or cut the servo power if the arm moves",
    )
