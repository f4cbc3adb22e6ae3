"""The unit and its drop-in, by systemd's own checker, where the commands of a flash put them."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import pytest

from dreamvla_edge.deploy.device.places import places
from dreamvla_edge.deploy.device.unit import TEMPLATE, drop_in_text, install_commands, unit_text

SYSTEM, USER = False, True


def said(folder: Path, user: bool, name: str = "arm", unit: str = "", drop_in: str = "") -> str:
    """What systemd finds; nothing if all is well. unit, drop_in: lines to add."""
    place = dataclasses.replace(places(name, user), units=folder / "units")
    texts = (unit_text(user).replace("[Service]\n", f"[Service]\n{unit}"), drop_in_text("robot"))
    for path, text in zip((folder / "unit", folder / "drop-in"), texts, strict=True):
        path.write_text(text)
    (folder / "drop-in").write_text(texts[1] + drop_in)
    commands = install_commands(place, str(folder / "unit"), str(folder / "drop-in"))
    for command in commands[:-1]:  # the last one tells systemd
        subprocess.run(command, check=True)
    assert commands[-1][-1] == "daemon-reload"
    check = ["systemd-analyze", *(["--user"] if user else []), "verify", "--man=no"]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)}
    done = subprocess.run(
        [*check, str(place.units / place.unit)], env=environment, capture_output=True, text=True
    )
    return done.stdout + done.stderr + (f"exit code {done.returncode}" if done.returncode else "")


@pytest.mark.parametrize("user", [SYSTEM, USER])
@pytest.mark.parametrize("name", ["arm", "left-2"])
def test_systemd_accepts_it(tmp_path: Path, user: bool, name: str) -> None:
    """Without a word."""
    assert said(tmp_path, user, name) == ""


@pytest.mark.parametrize("user", [SYSTEM, USER])
def test_systemd_enables_it(tmp_path: Path, user: bool) -> None:
    """Its [Install] section, which `verify` does not look at: it starts with what is there."""
    units = tmp_path / "etc" / "systemd" / ("user" if user else "system")
    units.mkdir(parents=True)
    (units / TEMPLATE).write_text(unit_text(user))
    scope = ["--global"] if user else []
    command = ["systemctl", f"--root={tmp_path}", *scope, "enable", "dreamvla@arm.service"]
    subprocess.run(command, check=True)
    target = "default.target" if user else "multi-user.target"
    link = units / f"{target}.wants" / "dreamvla@arm.service"
    assert link.is_symlink() and link.readlink().name == TEMPLATE


@pytest.mark.parametrize("user", [SYSTEM, USER])
@pytest.mark.parametrize(
    "line",
    [
        "WatchdogSek=60",
        "WatchdogSec=soon",
        "RuntimeDirectory=/run/x",
        "ExecStartPre=/nowhere/tool",
        "NotifyAccess=nobody",
        "LimitRTPRIO=high",
    ],
)
def test_a_broken_line_is_found(tmp_path: Path, user: bool, line: str) -> None:
    """Or the test above would say nothing; the words differ between versions of systemd."""
    found = said(tmp_path, user, unit=line + "\n")
    print(found)
    assert "dreamvla@" in found and (line.partition("=")[0] in found or line[-4:] in found)


def test_a_broken_drop_in_is_found(tmp_path: Path) -> None:
    """It is read with the unit."""
    assert "Uzer" in said(tmp_path, SYSTEM, drop_in="Uzer=robot\n")
