"""The files of a profile: each has its own place, and one that fails takes no other along."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from dreamvla_edge.cli.profile_output import places, write
from dreamvla_edge.cli.profile_run import Run
from dreamvla_edge.runtime.errors import OutputError
from dreamvla_edge.runtime.profiler.profile import load_profile
from profiling.profiles import full


def test_places_apart(tmp_path: Path) -> None:
    """No two files of one command in one place, however it is written; nor what it reads."""
    folder, link = tmp_path / "out", tmp_path / "link"
    folder.mkdir()
    link.symlink_to(folder)
    found = places(folder, None, tmp_path / "t", False, (None, tmp_path / "before"))
    assert found == {
        "profile": folder / "profile.json",
        "html": folder / "index.html",
        "trace": tmp_path / "t",
    }
    for output, html, trace, read in (
        (None, tmp_path / "x", tmp_path / "y" / ".." / "x", None),
        (folder, None, link / "profile.json", None),
        (folder, None, None, link / "profile.json"),
        (None, tmp_path / "robot.toml", None, tmp_path / "robot.toml"),
    ):
        with pytest.raises(OutputError, match="two files of this command"):
            places(output, html, trace, True, (read,))


def test_a_folder_that_a_link_promises(tmp_path: Path) -> None:
    """Is missed before anything is measured."""
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(OutputError, match="nothing can be written"):
        places(tmp_path / "link", None, None, False, ())


def test_one_that_cannot_be_written(tmp_path: Path) -> None:
    """Somebody wrote a page meanwhile: it stays, and the document is there nevertheless."""
    found = full(runs=20)
    into = {"html": tmp_path / "index.html", "profile": tmp_path / "out" / "profile.json"}
    into["html"].write_text("somebody's")
    run = cast(Run, cast(Any, None))  # the trace alone needs it
    assert "exists" in str(write(found, run, into, False))
    assert into["html"].read_text() == "somebody's"
    assert load_profile(into["profile"]) == found
    assert write(found, run, into, True) is None
    assert "<svg" in into["html"].read_text()
