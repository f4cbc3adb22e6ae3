"""Journal, store, releases, parcel, wheel and agent, each alone."""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamvla_edge.demo import BUNDLE
from dreamvla_edge.deploy import own_wheel
from dreamvla_edge.deploy.connection import _agent
from dreamvla_edge.deploy.device.journal import Journal
from dreamvla_edge.deploy.device.places import places
from dreamvla_edge.deploy.device.refusal import Refusal
from dreamvla_edge.deploy.device.releases import Releases
from dreamvla_edge.deploy.device.store import Store
from dreamvla_edge.deploy.device.unit import unit_text
from dreamvla_edge.deploy.parcel import pack
from dreamvla_edge.runtime.bundle import open_bundle
from dreamvla_edge.runtime.errors import DeviceError
from flash.conftest import Made
from project.sources import ROOT


def digest(content: bytes) -> str:
    """Hex sha256."""
    return hashlib.sha256(content).hexdigest()


@given(cut=st.integers(0, 200))
def test_a_journal_that_a_crash_cut_off(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    """At any byte: whole lines stay, and what is added afterwards can be read."""
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    journal = Journal(path)
    for step in ("laid out", "verified", "switching"):
        journal.add(step, "1", before=None)
    content = path.read_bytes()
    path.write_bytes(content[:cut])
    whole = [json.loads(line)["step"] for line in content[:cut].splitlines() if is_json(line)]
    journal.add("healthy", "1")
    assert [entry["step"] for entry in journal.entries()] == [*whole, "healthy"]


def is_json(line: bytes) -> bool:
    """Whether it is a whole line."""
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def test_what_a_journal_says_of_releases(tmp_path: Path) -> None:
    """What ran well and was not withdrawn since; a switch whose end nobody knows."""
    journal = Journal(tmp_path / "journal")
    for step, release in (("healthy", "a"), ("healthy", "b"), ("healthy", "a"), ("healthy", "c")):
        journal.add(step, release)
    assert journal.healthy() == ["b", "a", "c"] and journal.unfinished() is None
    journal.add("withdrawn", "c", to="a")
    journal.add("switching", "d", before="a")
    journal.add("switched", "d")
    assert journal.healthy() == ["b", "a"]
    begun = journal.unfinished()
    assert begun is not None and (begun["release"], begun["before"]) == ("d", "a")
    journal.add("healthy", "d")
    assert journal.unfinished() is None


def test_a_store_goes_on_and_finds_damage(tmp_path: Path) -> None:
    """What has arrived is kept; other bytes than promised are not; a damaged file is missing."""
    store, content = Store(tmp_path / "store"), bytes(range(256)) * 20000
    name, half = digest(content), len(content) // 2
    with pytest.raises(EOFError):
        store.receive(name, len(content), 0, io.BytesIO(content[:half]))
    assert store.missing([name]) == {name: half}
    store.receive(name, len(content), half, io.BytesIO(content[half:]))
    assert store.missing([name]) == {}
    wrong = digest(b"right")
    with pytest.raises(Refusal, match="another sha256"):
        store.receive(wrong, 5, 0, io.BytesIO(b"wrong"))
    assert store.missing([wrong]) == {wrong: 0}
    (tmp_path / "store" / name).write_bytes(content[:-1] + b"x")
    assert store.missing([name]) == {name: 0}


def test_a_stream_is_read_to_the_file_s_end(tmp_path: Path) -> None:
    """Or the next request would be taken out of the file that could not be written."""
    store, stream = Store(tmp_path / "store"), io.BytesIO(b"wrongnext")
    with pytest.raises(Refusal):
        store.receive(digest(b"right"), 5, 0, stream)
    assert stream.read() == b"next"


def test_three_releases_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current one and the last two that ran well; files that nobody holds go, too."""
    monkeypatch.setenv("HOME", str(tmp_path))
    place = places("arm", user=True)
    assert place.base == tmp_path / ".local/share/dreamvla/arm"
    store, journal = Store(place.base / "store"), Journal(place.base / "journal")
    releases = Releases(place, store, journal)
    for number in range(5):
        content = f"file {number}".encode()
        store.receive(digest(content), len(content), 0, io.BytesIO(content))
        release = f"r{number}"
        releases.lay_out(release, {"bundle/f": digest(content)}, {"u": "text"}, {"tool": "1"})
        assert releases.facts(release)["tool"] == "1"
        releases.switch(release)
        if number != 3:  # it was never well
            journal.add("healthy", release)
    assert releases.before() == "r2"
    assert releases.prune() == ["r0", "r3"]
    assert releases.all() == ["r1", "r2", "r4"] and releases.current() == "r4"
    assert len([path for path in (place.base / "store").iterdir() if path.is_file()]) == 3
    assert (place.base / "current" / "bundle" / "f").read_text() == "file 4"


@pytest.mark.parametrize("name", ["", "A", "a b", "../a", "a/b", "-a", "a" * 33, "a%i", "a.b"])
def test_a_name_that_is_refused(name: str) -> None:
    """It becomes a folder, and a part of systemd's names."""
    with pytest.raises(Refusal, match="the name"):
        places(name, user=False)


def test_the_same_files_are_the_same_release(tmp_path: Path) -> None:
    """And another text, wheel or bundle is another one; wheels of other Pythons stay here."""
    bundle, tool = open_bundle(BUNDLE), tmp_path / "dreamvla_edge-1.2-py3-none-any.whl"
    tool.write_bytes(b"tool")
    house = tmp_path / "house"
    house.mkdir()
    names = ("a-1-cp310-cp310-any.whl", "b-1-cp312-cp312-x.whl", "c-1-py3-none-any.whl")
    for name in (*names, "d-1-cp39-abi3-any.whl", "dreamvla_edge-1.1-py3-none-any.whl"):
        (house / name).write_bytes(name.encode())
    made = pack(bundle, tool, house, "3.10.12", {"unit": "x"})
    assert made.release == pack(bundle, tool, house, "3.10.12", {"unit": "x"}).release
    assert made.release != pack(bundle, tool, house, "3.10.12", {"unit": "y"}).release
    assert made.release.startswith("1.2-")
    wheels = {path.partition("/")[2] for path in made.files if path.startswith("wheels/")}
    assert wheels - {w for w in wheels if w.startswith("pip-")} == {
        tool.name,
        names[0],
        names[2],
        "d-1-cp39-abi3-any.whl",
    }
    assert {path for path in made.files if path.startswith("bundle/")} == {
        f"bundle/{path.name}" for path in BUNDLE.iterdir()
    }
    assert set(made.hashes) == set(made.files)
    assert all(made.hashes[p] == digest(f.read_bytes()) for p, f in made.files.items())
    with pytest.raises(DeviceError, match="no wheel of dreamvla-edge"):
        pack(bundle, house / names[0], None, "3.10.12", {})


def test_the_wheel_is_what_pip_makes(made: Made) -> None:
    """RECORD holds the hash of every file; the modules are those of the checkout."""
    with zipfile.ZipFile(made.wheel) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    (record,) = (name for name in files if name.endswith("/RECORD"))
    rows = [line.rsplit(",", 2) for line in files[record].decode().splitlines()]
    assert {row[0] for row in rows} == set(files)
    assert all(row[1] == own_wheel._digest(files[row[0]]) for row in rows if row[0] != record)
    for name in ("cli/flash.py", "deploy/device/agent.py", "demo/bundle/bundle.json"):
        assert files[f"dreamvla_edge/{name}"] == (ROOT / name).read_bytes()


def test_the_agent_needs_no_more_than_python_3_8(tmp_path: Path) -> None:
    """Its modules hold no syntax and no import that an older Python or a bare one lacks."""
    with zipfile.ZipFile(io.BytesIO(_agent())) as archive:
        for name in archive.namelist():
            text = archive.read(name).decode()
            compile(text, name, "exec", dont_inherit=True)
            imported = re.findall(r"^\s*(?:from|import) (\w+)", text, re.M)
            assert set(imported) <= sys.stdlib_module_names | {""}, name
            assert "from __future__ import annotations" in text or name.endswith("__init__.py")


def test_the_agent_alone(tmp_path: Path) -> None:
    """On an isolated Python, from its zip: says hello, refuses nonsense, ends with its input."""
    (tmp_path / "agent.zip").write_bytes(_agent())
    start = f"import sys; sys.path.insert(0, {str(tmp_path / 'agent.zip')!r})"
    command = [sys.executable, "-I", "-c", f"{start}; from device.agent import main; main()"]
    requests = [{"do": "hello", "name": "arm", "user": True}, {"do": "_answer"}, {"do": "state"}]
    lines = "".join(json.dumps(request) + "\n" for request in requests)
    done = subprocess.run(
        command, input=lines, capture_output=True, text=True, env={"HOME": str(tmp_path)}
    )
    greeting, *answers = done.stdout.splitlines()
    assert (done.returncode, done.stderr, greeting) == (0, "", "dreamvla-agent 1")
    hello, refused, state = map(json.loads, answers)
    assert hello["done"]["base"] == str(tmp_path / ".local/share/dreamvla/arm")
    assert "_answer" in refused["refused"]["found"]
    assert state["done"]["current"] is None and state["done"]["releases"] == []
    assert not (tmp_path / ".local").exists()


@pytest.mark.parametrize("user", [False, True])
def test_the_unit_grants_what_the_guardian_asks_for(user: bool) -> None:
    """And does not deny serial ports, cameras and GPU; the guardian gets a SIGTERM, no SIGABRT."""
    text = unit_text(user)
    settings = dict(re.findall(r"^(\w+)=(.*)$", text, re.M))
    assert (settings["LimitRTPRIO"], settings["LimitMEMLOCK"]) == ("50", "infinity")
    assert (settings["WatchdogSignal"], settings["KillMode"]) == ("SIGTERM", "control-group")
    assert settings["Type"] == "notify" and float(settings["WatchdogSec"]) >= 60
    assert int(settings["StartLimitBurst"]) > 0 and settings["Restart"] == "on-failure"
    denied = {"RestrictRealtime", "PrivateDevices", "DevicePolicy", "DeviceAllow", "ProtectClock"}
    assert denied & set(settings) == set()
    assert ("ProtectSystem" in settings) != user
