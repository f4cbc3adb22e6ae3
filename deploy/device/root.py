"""Commands that need root's rights: the only ones that change anything outside our own folders."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from .refusal import Refusal

_PATIENT_S = 600
"""A service that loads its policy from a slow disk takes a while."""


@dataclass(frozen=True)
class Root:
    """How rights are had.

    sudo: whether it is needed; password: for it, empty where sudo asks for none.
    """

    sudo: bool
    password: str = ""

    def line(self, command: tuple[str, ...], *options: str) -> tuple[str, ...]:
        """The command as it is run; options: of sudo."""
        if not self.sudo:
            return command
        asked = ("-S", "-p", "") if self.password else ("-n",)
        return ("sudo", *asked, *options, "--", *command)

    def shown(self, command: tuple[str, ...]) -> str:
        """The same for people."""
        return " ".join(map(shlex.quote, (*(("sudo",) if self.sudo else ()), *command)))

    def require(self, commands: Sequence[tuple[str, ...]]) -> None:
        """Runs nothing. Raises Refusal if sudo would not run one of these commands."""
        for command in commands if self.sudo else ():
            self._require(command)

    def run(self, command: tuple[str, ...]) -> str:
        """What it printed. Raises Refusal if it fails."""
        done = self._done(command, self.line(command))
        if done.returncode == 0:
            return done.stdout
        said = _line(done.stdout)
        if self.sudo:
            self._require(command, said)
        raise Refusal(
            f"`{self.shown(command)}` failed ({done.returncode}): {said}",
            "a command that works",
            "correct what it says; nothing but the lines of --dry-run is run as root",
        )

    def run_all(self, commands: Sequence[tuple[str, ...]]) -> None:
        """One after the other."""
        for command in commands:
            self.run(command)

    def _require(self, command: tuple[str, ...], said: str = "") -> None:
        """Asks sudo; said: by it already, when it was told to run the command."""
        done = self._done(command, self.line(command, "-l"))
        if done.returncode:
            raise Refusal(
                f"sudo does not let this user run `{' '.join(command)}`:"
                f" {said or _line(done.stdout)}",
                "a user whom sudo lets run all lines of --dry-run",
                "give --ask-sudo if it wants a password, have those lines allowed in sudoers, log"
                " in as root, or install for your user alone with --user",
            )

    def _done(
        self, command: tuple[str, ...], line: tuple[str, ...]
    ) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                line,
                input=self.password + "\n" if self.password else "",
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=_PATIENT_S,
            )
        except FileNotFoundError as error:
            raise Refusal(
                f"there is no {error.filename} on the device",
                "a Linux with systemd, and sudo unless you log in as root",
                "log in as root, or install for your user alone with --user",
            ) from None
        except subprocess.TimeoutExpired:
            raise Refusal(
                f"`{self.shown(command)}` has not ended after {_PATIENT_S} s",
                "an end",
                "look at the device with `systemctl status` and `journalctl -xe`",
            ) from None


def _line(said: str) -> str:
    return " ".join(said.split())[-400:] or "silently"
