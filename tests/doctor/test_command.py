"""`dreamvla doctor` on this machine, over a real ssh, and with a recording."""

from __future__ import annotations

import json
import os
import re
import zipfile
from pathlib import Path

import pytest

from commands import cure_of, document, dreamvla, entries
from dreamvla_edge.cli.exit_codes import EXIT_CODES
from dreamvla_edge.deploy import probe
from ssh_server import SshServer

FAILED = EXIT_CODES["DeviceError"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> SshServer:
    """The host `board`, which is this machine."""
    return SshServer(tmp_path_factory.mktemp("ssh") / "server")


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """The environment of a user whose home is empty."""
    folder = tmp_path / "home"
    folder.mkdir()
    return {**os.environ, "HOME": str(folder), "XDG_STATE_HOME": str(folder / "state")}


def test_this_machine(home: dict[str, str]) -> None:
    done = dreamvla("doctor", "--json", env=home)
    said = document(done)
    assert done.returncode == (FAILED if said["errors"] else 0), done.stderr
    found = {finding["name"]: finding for finding in said["findings"]}
    assert {"board", "system", "python", "memory", "disk", "packages"} <= set(found)
    assert found["extra export"]["level"] == "ok"
    for finding in found.values():
        whole = (finding["expected"] and finding["cure"]) or finding["level"] == "ok"
        assert finding["found"] and whole
    text = dreamvla("doctor", env=home).stdout
    for name in set(found) - {"memory", "disk", "load", "temperature"}:  # these move
        assert found[name]["found"] in text
    assert re.search(r"^this machine: (no|\d+) errors?, (no|\d+) warnings?$", text, re.M)
    assert dreamvla("doctor", "localhost", "-q", env=home).stdout == ""


def test_an_error_is_told_with_its_cure_until_it_is_cured(home: dict[str, str]) -> None:
    place = Path(home["HOME"]) / ".local/share/dreamvla/arm"
    (place / "releases/1").mkdir(parents=True)
    (place / "current").symlink_to("releases/2")
    done = dreamvla("doctor", "-q", env=home)
    found, expected, cure = cure_of(done.stderr)
    assert done.returncode == FAILED
    assert found == f"release arm: {place}/current leads nowhere"
    assert expected == "one of 1" and "dreamvla rollback" in cure
    said = document(dreamvla("doctor", "--json", env=home))
    assert said["errors"] == 1 and said["exit_code"] == FAILED
    (place / "releases/2").mkdir()
    assert dreamvla("doctor", "-q", env=home).returncode == 0


def test_another_machine(server: SshServer) -> None:
    done = dreamvla("doctor", "board", "--json", env=server.environment)
    said = document(done)
    assert done.returncode == (FAILED if said["errors"] else 0), done.stderr
    here = document(dreamvla("doctor", "--json"))
    assert said["target"] == "board"
    for fact in ("system", "board", "l4t", "user"):
        assert said["facts"][fact] == here["facts"][fact]
    assert "board: " in dreamvla("doctor", "board", env=server.environment).stdout


def test_a_login_script_that_prints_is_no_trouble(server: SshServer) -> None:
    server.configure("echo 'Welcome to Ubuntu 22.04'; echo '{ \"banner\": 1 }'")
    try:
        done = dreamvla("doctor", "board", "--json", env=server.environment)
        assert document(done)["target"] == "board", done.stderr
    finally:
        server.configure()


def test_a_host_that_cannot_be_asked(server: SshServer, tmp_path: Path) -> None:
    """An unknown host, a wrong key, no Python, a Python that fails; nothing else is printed."""
    wrong = tmp_path / "other_key.pub"
    wrong.write_text((server.folder / "client_key.pub").read_text())
    empty = tmp_path / "empty"
    empty.mkdir()
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "python3").write_text("#!/bin/sh\necho out of order >&2; exit 3\n")
    (broken / "python3").chmod(0o755)
    done = dreamvla("doctor", "nowhere.invalid", env=server.environment)
    assert done.returncode == FAILED and "ssh to nowhere.invalid failed" in cure_of(done.stderr)[0]
    server.trust(wrong)
    try:
        done = dreamvla("doctor", "board", env=server.environment)
        assert done.returncode == FAILED and "verification failed" in cure_of(done.stderr)[0]
    finally:
        server.trust(server.folder / "host_key.pub")
    for path, found in ((empty, "board has no python3"), (broken, "out of order")):
        server.configure(f"export PATH={path}")
        try:
            done = dreamvla("doctor", "board", env=server.environment)
        finally:
            server.configure()
        assert done.returncode == FAILED and found in cure_of(done.stderr)[0]
        assert done.stdout == ""


def test_a_host_is_no_option_of_ssh(server: SshServer, tmp_path: Path) -> None:
    target = f"-oProxyCommand=touch {tmp_path.name}"
    done = dreamvla("doctor", "--", target, env=server.environment, cwd=tmp_path)
    assert done.returncode == FAILED and not entries(tmp_path)


def test_a_path_is_no_host(server: SshServer, tmp_path: Path) -> None:
    for target in ("./recording", str(tmp_path / "none"), "."):
        done = dreamvla("doctor", target, env=server.environment, cwd=tmp_path)
        assert done.returncode == EXIT_CODES["RecordingError"], done.stderr


def test_what_only_a_report_takes(tmp_path: Path) -> None:
    for arguments in (["--images"], ["--images", "--report", tmp_path / "a.zip"]):
        assert dreamvla("doctor", *arguments).returncode == 2
    assert not entries(tmp_path)


def test_the_probe_that_is_sent_is_the_one_that_is_tested(server: SshServer) -> None:
    """It fits a pipe of ssh and is installed with the package."""
    source = Path(probe.__file__).read_text()
    assert source.startswith('"""Raw facts') and len(source) < 60_000


def names(zip_file: Path) -> list[str]:
    """In their order."""
    with zipfile.ZipFile(zip_file) as archive:
        assert archive.testzip() is None
        return archive.namelist()


def test_report_of_this_machine(home: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "help.zip"
    bundle = Path(__file__).parents[2] / "demo/bundle"
    done = dreamvla("doctor", "--report", file, "--bundle", bundle, env=home)
    assert done.returncode == 0, done.stderr
    listed = done.stdout[done.stdout.index("will hold:") :]
    assert names(file) == ["doctor.json", "versions.txt", "bundle.json", "missing.txt"]
    assert all(name in listed for name in names(file)) and "nothing was sent" in listed
    with zipfile.ZipFile(file) as archive:
        assert json.loads(archive.read("doctor.json"))["findings"]
        assert archive.read("bundle.json") == (bundle / "bundle.json").read_bytes()
        assert b"onnxruntime 1." in archive.read("versions.txt")
        assert b"last-run.json: " in archive.read("missing.txt")
    again = dreamvla("doctor", "--report", file, env=home)
    assert again.returncode == EXIT_CODES["OutputError"] and "exists" in cure_of(again.stderr)[0]
    assert len(names(file)) == 4
    forced = dreamvla("doctor", "--report", file, "--force", "--json", env=home)
    assert document(forced)["contents"] == names(file) == ["doctor.json", "versions.txt", "missing.txt"]  # noqa: E501  # fmt: skip
