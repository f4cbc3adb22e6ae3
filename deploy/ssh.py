"""How the user's own OpenSSH is started, and what its failures mean.

Its configuration, keys, known hosts and jumps count as they do on the command line; checks of host
keys stay on.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from dreamvla_edge.runtime.errors import DeviceError

FAILED, NO_PROGRAM = 255, (126, 127)
"""Exit codes: ssh's own, and those of a shell that finds no such program."""
_LINES, _LETTERS = 3, 400


def ssh(host: str, words: Sequence[str], options: Sequence[str] = ()) -> list[str]:
    """The command that runs words on a host. Raises DeviceError if that is no host's name.

    Prompts go to the terminal; standard streams carry only what is sent.
    """
    if host.startswith("-") or not host:
        raise DeviceError(f"the host {host!r}", "a name as ssh takes it", "give user@host")
    return ["ssh", "-T", "-o", "ConnectTimeout=20", *options, "--", host, shlex.join(words)]


def last_words(said: bytes) -> str:
    """The end of what a program said, in one line."""
    lines = [line for line in said.decode(errors="replace").splitlines() if line.strip()]
    return " | ".join(lines[-_LINES:])[-_LETTERS:] or "silently"


def no_ssh() -> DeviceError:
    """There is no client."""
    return DeviceError("no program ssh here", "OpenSSH's client", "sudo apt install openssh-client")


def not_reached(
    host: str, said: str, expected: str = "a device that `ssh HOST` reaches"
) -> DeviceError:
    """Ssh itself failed."""
    return DeviceError(
        f"ssh to {host} failed: {said}",
        expected,
        f"try `ssh {host} true`; keys, known hosts and ~/.ssh/config count here too",
    )


def no_python(host: str, said: str) -> DeviceError:
    """The shell there found none."""
    return DeviceError(
        f"{host} has no python3: {said}",
        "Python 3.8 or later",
        f"sudo apt install python3 on {host}",
    )
