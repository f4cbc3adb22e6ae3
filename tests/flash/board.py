"""Boards to flash, see jetson.py, and what is done to them from outside."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from commands import PROGRAM
from dreamvla_edge.sim.bus_process import BusProcess

HERE = Path(__file__).parent
NAME = "arm"
_ROBOT = """\
name = "bench"
[arm]
type = "so101"
port = "{port}"
[cameras.primary]
kind = "simulated"
[cameras.wrist]
kind = "simulated"
"""


class Bench:
    """Keys, ssh's configuration, and an arm on a serial port that every board has."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = folder / "client_key"
        for name in ("client_key", "host_key"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
            subprocess.run(command, check=True)
        (folder / "ssh_config").write_text("Host down\n  HostName 127.0.0.1\n  Port 1\n")
        tools = folder / "tools"
        tools.mkdir()
        # The user's own configuration, as ~/.ssh/config is: only its place differs.
        (tools / "ssh").write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {folder}/ssh_config "$@"\n')
        (tools / "ssh").chmod(0o755)
        self.environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
        self.log = folder / "bus.log"
        self.bus = BusProcess("so101", link=folder / "port", log=self.log)

    def flash(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """`dreamvla flash`, to its end."""
        return self.run("flash", *arguments, "--json")

    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """`dreamvla`, to its end."""
        return subprocess.run(
            [*PROGRAM, *map(str, arguments)],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=600,
        )


class Board:
    """A running board, which ssh knows as `host`; what it writes is below `folder`.

    like: a board that has been stopped, of which this one is a copy as it was; login: who ssh is
    there, see `jetson.person`.
    """

    def __init__(
        self,
        bench: Bench,
        host: str,
        jetpack: str,
        like: Board | None = None,
        login: str = "root",
    ) -> None:
        self.bench, self.host, self.folder = bench, host, bench.folder / host
        if like is None:
            self.folder.mkdir()
        else:
            subprocess.run(["cp", "-al", str(like.folder), str(self.folder)], check=True)
            shutil.rmtree(self.folder / "run")
            self._own("journal.jsonl")
            for work in (self.folder / "layers").glob("*/work"):
                shutil.rmtree(work)
        for name in ("host_key", "client_key.pub"):
            (self.folder / name).unlink(missing_ok=True)
            shutil.copy(bench.folder / name, self.folder)
        self.settings.mkdir(parents=True, exist_ok=True)
        robot = self.settings / "robot.toml"
        robot.unlink(missing_ok=True)
        robot.write_text(_ROBOT.format(port=bench.folder / "port"))
        self._start(jetpack, login)

    @property
    def settings(self) -> Path:
        """/etc/dreamvla/arm, seen from outside."""
        return self.folder / "layers" / "etc" / "upper" / "dreamvla" / NAME

    def _own(self, name: str) -> None:
        """A copied file that grows must not grow in the other board too."""
        path = self.base / name
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)

    def _start(self, jetpack: str, login: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            command = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"]
            command += ["--mount-proc", sys.executable, str(HERE / "jetson.py"), str(self.folder)]
            os.set_inheritable(listener.fileno(), True)
            self._process = subprocess.Popen(
                [*command, str(listener.fileno()), jetpack, login],
                stdout=subprocess.PIPE,
                pass_fds=(listener.fileno(),),
                text=True,
            )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"
        known = self.bench.folder / "known_hosts"
        key = (self.bench.folder / "host_key.pub").read_text().split()[:2]
        with known.open("a") as file:
            file.write(f"[127.0.0.1]:{port} {' '.join(key)}\n")
        with (self.bench.folder / "ssh_config").open("a") as file:
            file.write(
                f"Host {self.host}\n  HostName 127.0.0.1\n  Port {port}\n  User {login}\n"
                f"  IdentityFile {self.bench.key}\n  UserKnownHostsFile {known}\n"
            )

    def stop(self) -> None:
        """As if its power were cut."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    @property
    def base(self) -> Path:
        """/opt/dreamvla/arm, seen from outside."""
        return self.folder / "opt" / "dreamvla" / NAME

    @property
    def current(self) -> str:
        """The release in force."""
        return Path(os.readlink(self.base / "current")).name

    @property
    def releases(self) -> set[str]:
        """All that are there."""
        return {path.name for path in (self.base / "releases").iterdir()}

    @property
    def steps(self) -> list[str]:
        """Of the journal."""
        text = (self.base / "journal.jsonl").read_text()
        return [json.loads(line)["step"] for line in text.splitlines()]

    @property
    def complaints(self) -> str:
        """What the stand-ins were asked and do not know."""
        path = self.folder / "run" / "complaints"
        return path.read_text() if path.exists() else ""

    def ssh(self, *words: object, login: str = "") -> str:
        """What a command prints there; it must work. login: who does it, if somebody else."""
        host = f"{login}@{self.host}" if login else self.host
        command = ["ssh", host, shlex.join(map(str, words))]
        environment = self.bench.environment
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def boot(self) -> None:
        """What systemd does when the board starts."""
        self.ssh("systemctl", "restart", f"dreamvla@{NAME}.service")

    def verifies(self, release: str) -> bool:
        """Whether a release passes its own `dreamvla verify` there."""
        place = f"/opt/dreamvla/{NAME}/releases/{release}"
        told = self.ssh(f"{place}/venv/bin/dreamvla", "verify", f"{place}/bundle", "--json")
        return bool(json.loads(told)["passed"])

    def status(self) -> dict[str, Any]:
        """`dreamvla status` from outside."""
        done = self.bench.run("status", self.host, "--json")
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found
