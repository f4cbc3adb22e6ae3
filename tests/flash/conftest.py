"""One board that has been flashed once; every test gets copies of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from dreamvla_edge.demo import BUNDLE
from dreamvla_edge.deploy.own_wheel import _written, own_wheel
from dreamvla_edge.runtime.bundle import sha256
from dreamvla_edge.sim.writes import read_writes
from flash.board import Bench, Board

COMMON = ("--service-user", "root", "--offline")
"""root is the only user that a board has; nothing there reaches an index."""
_NUMBERS = count()


@dataclass
class Made:
    """Boards of a session: `new` makes one, like the one that was flashed first if not fresh."""

    bench: Bench
    wheel: Path
    first: dict[str, Any] = field(default_factory=dict)
    template: Board | None = None
    running: list[Board] = field(default_factory=list)

    def new(self, jetpack: str = "6", fresh: bool = False, login: str = "root") -> Board:
        """A board; a copy has its service up, as after a start. login: as in Board."""
        like = None if fresh else self.template
        board = Board(self.bench, f"jp{jetpack}-{next(_NUMBERS)}", jetpack, like, login)
        self.running.append(board)
        if like is not None:
            board.boot()
        return board

    def broken_wheel(self, folder: Path) -> Path:
        """A version of the tool whose service crashes."""
        with zipfile.ZipFile(self.wheel) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        files["dreamvla_edge/cli/service.py"] += b"\nraise RuntimeError('a defect')\n"
        return _written(folder / self.wheel.name, files)

    def flash(
        self, bundle: Path, *hosts: Board | str, **options: Any
    ) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
        """`dreamvla flash` with the session's wheel; what it says."""
        names = [host.host if isinstance(host, Board) else host for host in hosts]
        wheel = options.pop("wheel", self.wheel)
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        words = [str(w).replace("_", "-") for w in words if w is not True]
        done = self.bench.flash(bundle, *names, *COMMON, "--wheel", wheel, *words)
        return done, json.loads(done.stdout)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """The session's bench, with a board flashed with the shipped bundle as template.

    At the end: nothing that was flashed, rolled back, killed or started anew has written a byte
    to the arm.
    """
    folder = Path(str(tmp_path_factory.mktemp("bench")))
    bench = Bench(folder)
    made = Made(bench, own_wheel(folder))
    board = made.new(fresh=True)
    done, told = made.flash(BUNDLE, board)
    assert done.returncode == 0, done.stderr
    made.first = told["hosts"][board.host]
    made.first["notified"] = (board.folder / "run/notified-dreamvla@arm.service").read_text()
    made.first["complaints"] = board.complaints
    board.stop()
    made.running.clear()
    made.template = board
    yield made
    bench.bus.close()
    assert read_writes(bench.log) == []
    assert "rx" not in bench.log.read_text(), "somebody opened the arm's port and asked"
    shutil.rmtree(folder)


@pytest.fixture
def boards(made: Made) -> Iterator[Made]:
    """As `made`; boards end with the test, and none was asked what its stand-ins do not know."""
    yield made
    complaints = [board.complaints for board in made.running]
    for board in made.running:
        board.stop()
        shutil.rmtree(board.folder)
    made.running.clear()
    assert complaints == [""] * len(complaints)


@pytest.fixture
def board(boards: Made) -> Board:
    """JetPack 6, flashed once."""
    return boards.new()


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Path]]:
    """Makes bundles that differ from the shipped one: by their name, or in one weight."""
    folder = Path(str(tmp_path_factory.mktemp("bundles")))

    def make(name: str, weight: bool = False) -> Path:
        place = folder / name
        if place.exists():
            return place
        shutil.copytree(BUNDLE, place, copy_function=os.link)
        manifest = json.loads((place / "bundle.json").read_text())
        manifest["name"] = name
        if weight:
            file = "backbone.onnx.data"
            content = bytearray((place / file).read_bytes())
            content[2::4] = bytes(byte ^ 0x10 for byte in content[2::4])
            _write(place / file, bytes(content))
            manifest["files"][file] = sha256(place / file)
        _write(place / "bundle.json", json.dumps(manifest).encode())
        return place

    yield make
    shutil.rmtree(folder)


def _write(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)
