"""Asks a machine what it is: this one, or another over the user's own OpenSSH."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from dreamvla_edge.deploy import probe
from dreamvla_edge.deploy.facts import Facts, decode, facts_here
from dreamvla_edge.runtime.errors import DeviceError

from .ssh import FAILED, NO_PROGRAM, last_words, no_python, no_ssh, not_reached, ssh

HERE = "localhost"
_TIMEOUT_S = 120
_DOCUMENT = b'{\n "'


def facts_of(host: str = HERE) -> Facts:
    """Of a host as ssh takes it; its own python3 answers, and nothing is left on it.

    `localhost` is this machine and this Python. Raises DeviceError if it cannot be reached.
    """
    if host == HERE:
        return facts_here()
    return decode(document_of(host, Path(probe.__file__)), host)


def document_of(host: str, script: Path, arguments: Sequence[str] = ()) -> bytes:
    """What a script that needs only the standard library prints there: one JSON document."""
    command = ssh(host, ["python3", "-", *arguments])
    try:
        done = subprocess.run(
            command, input=script.read_bytes(), capture_output=True, timeout=_TIMEOUT_S
        )
    except FileNotFoundError as error:
        raise no_ssh() from error
    except subprocess.TimeoutExpired as error:
        raise DeviceError(
            f"{host} gave no answer in {_TIMEOUT_S} s",
            "an answer within seconds",
            f"look whether `ssh {host} python3 --version` answers",
        ) from error
    said = last_words(done.stderr)
    if done.returncode == FAILED:
        raise not_reached(host, said, "a machine that ssh reaches, or the folder of a recording")
    if done.returncode in NO_PROGRAM:
        raise no_python(host, said)
    if done.returncode:
        raise DeviceError(
            f"python3 on {host} failed: {said}", "Python 3.8 or later", "see what it says there"
        )
    # A login script may have printed something first.
    return done.stdout[max(0, done.stdout.find(_DOCUMENT)) :]
