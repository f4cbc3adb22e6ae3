"""Small files that commands write: what is never replaced, and names at their limits."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from dreamvla_edge.cli.command import COMMANDS, Commands
from dreamvla_edge.cli.number import Number
from dreamvla_edge.cli.written import require_free, write_file
from dreamvla_edge.runtime.errors import OutputError

PIECES: dict[str, Callable[[Path], None]] = {
    "a folder": Path.mkdir,
    "a pipe": os.mkfifo,
    "a link to a device": lambda path: path.symlink_to(os.devnull),
    "a link in a circle": lambda path: path.symlink_to(path.name),
}


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("force", [False, True])
def test_only_files_are_replaced(piece: str, force: bool, tmp_path: Path) -> None:
    """With --force too."""
    path = tmp_path / "there"
    PIECES[piece](path)
    with pytest.raises(OutputError):
        require_free(path, force)


def test_links(tmp_path: Path) -> None:
    """One that leads nowhere is there; with --force the file is made where it leads."""
    link, place = tmp_path / "link", tmp_path / "place"
    link.symlink_to(place)
    with pytest.raises(OutputError, match="exists"):
        require_free(link, False)
    require_free(link, True)
    write_file(link, b"new")
    assert link.is_symlink() and place.read_bytes() == b"new"


def test_a_file_keeps_its_rights(tmp_path: Path) -> None:
    """Nothing else stays in the folder, and what looks like a half-written file is not touched."""
    path, other = tmp_path / "file", tmp_path / ".file.partial"
    path.write_text("old")
    path.chmod(0o640)
    other.write_text("somebody's")
    with pytest.raises(OutputError, match="exists"):
        require_free(path, False)
    write_file(path, b"new")
    assert path.read_bytes() == b"new" and stat.S_IMODE(path.stat().st_mode) == 0o640
    assert sorted(tmp_path.iterdir()) == [other, path]


@pytest.mark.parametrize("length", [1, 250, 255, 256])
def test_long_names(length: int, tmp_path: Path) -> None:
    """The longest that the file system takes; one that is longer is refused at once."""
    path = tmp_path / ("n" * length)
    if length > 255:
        with pytest.raises(OutputError, match="too long"):
            require_free(path, False)
        return
    require_free(path, False)
    write_file(path, b"x")
    assert path.read_bytes() == b"x"


def test_no_number_is_nan() -> None:
    """No option of any command takes one, or infinity."""
    commands = [Commands().get_command(click.Context(Commands()), name) for name in COMMANDS]
    found = []
    while commands:
        command = commands.pop()
        assert command is not None
        commands += getattr(command, "commands", {}).values()
        found += [(command.name, p) for p in command.params]
    assert len(found) > 100
    kinds = click.FloatRange, click.types.FloatParamType
    floats = [parameter for _, parameter in found if isinstance(parameter.type, kinds)]
    assert len(floats) >= 8
    for parameter in floats:
        assert isinstance(parameter.type, Number), parameter.name
        for text in ("nan", "inf", "-inf"):
            with pytest.raises(click.BadParameter):
                parameter.type.convert(text, parameter, None)
