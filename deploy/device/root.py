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

    def line(self, command: tuple[str, ...]) -> tuple[str, ...]:
        """The command as it is run."""
        if not self.sudo:
            return command
        asked = ("-S", "-p", "") if self.password else ("-n",)
        return ("sudo", *asked, "--", *command)

    def shown(self, command: tuple[str, ...]) -> str:
        """The same for people."""
        return " ".join(map(shlex.quote, (*(("sudo",) if self.sudo else ()), *command)))

    def run(self, command: tuple[str, ...]) -> str:
        """What it printed. Raises Refusal if it fails."""
        try:
            done = subprocess.run(
                self.line(command),
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
        if done.returncode == 0:
            return done.stdout
        said = " ".join(done.stdout.split())[-400:]
        if self.sudo and "sudo:" in said:
            raise Refusal(
                f"sudo refuses on the device: {said}",
                "a user who may use sudo",
                "give --ask-sudo, log in as root, or install for your user alone with --user",
            )
        raise Refusal(
            f"`{self.shown(command)}` failed ({done.returncode}): {said or 'silently'}",
            "a command that works",
            "correct what it says; nothing but the lines of --dry-run is run as root",
        )

    def run_all(self, commands: Sequence[tuple[str, ...]]) -> None:
        """One after the other."""
        for command in commands:
            self.run(command)
