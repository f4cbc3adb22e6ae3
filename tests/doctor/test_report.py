"""A report holds what helps, and nothing that nobody else should see."""

from __future__ import annotations

import getpass
import json
import os
import platform
import string
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from commands import document, dreamvla
from dreamvla_edge.cli.last_run import keep_last_run
from dreamvla_edge.deploy import traces
from recording.recordings import made
from ssh_server import SshServer

WORDS = st.text(string.ascii_letters + string.digits, min_size=8, max_size=40)
SECRETS = (
    "HF_TOKEN={}",
    "password: {}",
    '"api_key": "{}"',
    "--auth-token {}",
    "Authorization: Bearer {}",
    "https://user:{}@example.org/x",
    "hf_aaaa{}aaaa",
    "AWS_SECRET_ACCESS_KEY='{}'",
    "-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----",
)


@given(word=WORDS, form=st.sampled_from(SECRETS), around=st.sampled_from(["", "x ", "\n"]))
def test_secrets_are_taken_out(word: str, form: str, around: str) -> None:
    text = f"{around}{form.format(word)}{around}"
    assert word not in traces.redacted(text)


def test_names_and_addresses_are_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setattr(getpass, "getuser", lambda: "ada")
    monkeypatch.setattr(platform, "node", lambda: "adas-jetson")
    monkeypatch.setenv("MY_API_KEY", "s3cr3t-value")
    text = (
        "/home/ada/models/bundle, /home/grace/x, ada@adas-jetson, 192.168.1.7:22, 127.0.0.1,"
        " 48:b0:2d:11:22:33, s3cr3t-value, L4T 36.4.3, Canada, 10.3.0.26"
    )
    assert traces.redacted(text) == (
        "~/models/bundle, /home/USER/x, USER@HOST, ADDRESS:22, 127.0.0.1,"
        " MAC, REMOVED, L4T 36.4.3, Canada, ADDRESS"
    )


def test_text_without_secrets_stays() -> None:
    """A manifest is what it was."""
    manifest = (Path(__file__).parents[2] / "demo/bundle/bundle.json").read_text()
    assert traces.redacted(manifest) == manifest


@pytest.fixture
def used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of a user who has run a bundle, with a journal that holds a secret."""
    home, programs = tmp_path / "home", tmp_path / "programs"
    bundle = home / "models/cubes"
    bundle.mkdir(parents=True)
    (bundle / "bundle.json").write_text('{"schema_version": 1}')
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    keep_last_run(bundle, {"decisions": 42, "lateness_ms": {"p99": 0.2}})
    programs.mkdir()
    (programs / "journalctl").write_text(
        "#!/bin/sh\n"
        'case "$*" in *"-u dreamvla@* -n 500 -o short-iso --no-pager --no-hostname") ;;\n'
        '  *) echo "unknown: $*" >&2; exit 1 ;; esac\n'
        'case "$*" in --user*) exit 0 ;; esac\n'
        f"echo '2026-11-29T02:00:00 dreamvla[7]: {bundle} with HF_TOKEN=hf_abcdefghijklmnop'\n"
    )
    (programs / "journalctl").chmod(0o755)
    path = f"{programs}:{os.environ['PATH']}"
    return {**os.environ, "HOME": str(home), "PATH": path, "MY_SECRET": "open-sesame"}


def read(zip_file: Path) -> dict[str, str]:
    """Texts by name."""
    with zipfile.ZipFile(zip_file) as archive:
        return {n: archive.read(n).decode("utf-8", "replace") for n in archive.namelist()}


def test_report_after_a_run(used: dict[str, str], tmp_path: Path) -> None:
    done = dreamvla("doctor", "--report", tmp_path / "help.zip", env=used)
    assert done.returncode == 0, done.stderr
    found = read(tmp_path / "help.zip")
    assert set(found) == {
        "doctor.json",
        "versions.txt",
        "bundle.json",
        "last-run.json",
        "journal.txt",
    }
    assert json.loads(found["last-run.json"])["numbers"]["decisions"] == 42
    assert json.loads(found["last-run.json"])["bundle"] == "~/models/cubes"
    assert "~/models/cubes with HF_TOKEN=REMOVED" in found["journal.txt"]
    whole = "".join(found.values())
    for secret in ("hf_abc", "open-sesame", used["HOME"]):
        assert secret not in whole


def test_report_of_another_machine(used: dict[str, str], tmp_path: Path) -> None:
    """Its journal is cleaned there, before it travels."""
    server = SshServer(tmp_path / "server")
    theirs = f"export HOME={used['HOME']} PATH={used['PATH']} XDG_STATE_HOME={used['HOME']}/state"
    server.configure(theirs)
    environment = {**used, "PATH": f"{server.programs}:{used['PATH']}", "HOME": os.environ["HOME"]}
    del environment["XDG_STATE_HOME"]
    done = dreamvla("doctor", "board", "--report", tmp_path / "help.zip", env=environment)
    assert done.returncode in (0, 20), done.stderr
    found = read(tmp_path / "help.zip")
    assert "HF_TOKEN=REMOVED" in found["journal.txt"]
    assert json.loads(found["last-run.json"])["numbers"]["decisions"] == 42


def test_report_with_a_recording(tmp_path: Path) -> None:
    """Images only when they are asked for."""
    folder = made(tmp_path / "r", steps=6, lossless=True)[0].folder
    plain, pictures = tmp_path / "plain.zip", tmp_path / "pictures.zip"
    done = dreamvla("doctor", folder, "--report", plain, "--json")
    assert done.returncode == 0, done.stderr
    assert document(done)["causes"] is not None
    assert not [name for name in read(plain) if name.endswith(".png")]
    numbers = json.loads(read(plain)["recording/numbers.json"])
    assert numbers["steps"] == 6 and numbers["ms"]["policy"]["p50"] == pytest.approx(10.0, abs=1e-3)
    done = dreamvla("doctor", folder, "--report", pictures, "--images")
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(pictures) as archive:
        images = [name for name in archive.namelist() if name.endswith(".png")]
        assert {name.partition("/")[2].partition("-")[0] for name in images} == {"primary", "wrist"}
        assert len(images) == 8
        assert all(name in done.stdout for name in images)
        assert Image.open(archive.open(images[0])).size[0] > 10
