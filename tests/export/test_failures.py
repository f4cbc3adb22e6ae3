"""Exports that fail leave nothing behind, and what was there before stays as it was."""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from bundles import copy_of, edit_manifest
from dreamvla_edge.export import export as module
from dreamvla_edge.export.data_set import DataSet
from dreamvla_edge.export.export import export
from dreamvla_edge.export.subgraphs import Subgraph
from dreamvla_edge.model.errors import CheckpointError
from dreamvla_edge.runtime import place as place_module
from dreamvla_edge.runtime.bundle import Bundle, open_bundle
from dreamvla_edge.runtime.errors import OutputError, ParityError
from dreamvla_edge.runtime.place import place

STAGES = (
    "reading",
    "writing text (1 of 6)",
    "writing vision",
    "writing embed",
    "writing backbone",
    "writing denoise",
    "writing dream_sam (6 of 6)",
    "recording golden data",
    "hashing",
    "verifying",
)
"""What an export of the small network says, in this order."""

Quick = Callable[[Subgraph, Path], tuple[str, ...]]


def contents(folder: Path) -> dict[str, bytes]:
    """Everything below a folder, hidden names too."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in folder.rglob("*")
    }


@pytest.fixture(autouse=True)
def ctrl_c() -> Iterator[None]:
    """Ctrl-C does what it does in a terminal, even where tests run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt_at(stage: str) -> Callable[[str], None]:
    """Progress that presses Ctrl-C when a stage begins."""

    def progress(sentence: str) -> None:
        if sentence.startswith(stage):
            signal.raise_signal(signal.SIGINT)

    return progress


def test_progress_tells_every_stage(
    checkpoint: Path, data_set: DataSet, quick: Quick, tmp_path: Path
) -> None:
    """In the order in which they happen."""
    said: list[str] = []
    export(checkpoint, tmp_path / "bundle", data_set, progress=said.append)
    for sentence, begins in zip(said, STAGES, strict=True):
        assert sentence.startswith(begins)


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("stage", STAGES)
def test_interrupted(
    stage: str,
    older: bool,
    checkpoint: Path,
    data_set: DataSet,
    tiny: Bundle,
    quick: Quick,
    tmp_path: Path,
) -> None:
    """Ctrl-C when any stage begins, with and without an older bundle in the place."""
    if older:
        copy_of(tiny, tmp_path / "bundle")
    before = contents(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        export(
            checkpoint,
            tmp_path / "bundle",
            data_set,
            force=older,
            progress=interrupt_at(stage),
        )
    assert contents(tmp_path) == before


def test_after_a_failure_the_export_succeeds(
    checkpoint: Path, data_set: DataSet, tiny: Bundle, quick: Quick, tmp_path: Path
) -> None:
    """The same export with nothing in the way, byte for byte as one that was never interrupted."""
    place = tmp_path / "bundle"
    with pytest.raises(KeyboardInterrupt):
        export(checkpoint, place, data_set, progress=interrupt_at("writing vision"))
    export(checkpoint, place, data_set)
    assert contents(tmp_path) == {"bundle": b""} | {
        f"bundle/{name}": content for name, content in contents(tiny.path).items()
    }


@pytest.mark.parametrize("older", [False, True])
def test_a_wrong_file_is_not_delivered(
    older: bool,
    checkpoint: Path,
    data_set: DataSet,
    tiny: Bundle,
    quick: Quick,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One weight is wrong after writing: verification fails, and no bundle appears."""

    def spoil(subgraph: Subgraph, folder: Path) -> tuple[str, ...]:
        files = quick(subgraph, folder)
        if subgraph.name == "backbone":
            weights = np.fromfile(folder / files[1], np.float32)
            weights[len(weights) // 2] += 0.5
            (folder / files[1]).unlink()
            weights.tofile(folder / files[1])
        return files

    monkeypatch.setattr(module, "write_onnx", spoil)
    if older:
        copy_of(tiny, tmp_path / "bundle")
    before = contents(tmp_path)
    with pytest.raises(ParityError, match="backbone"):
        export(checkpoint, tmp_path / "bundle", data_set, force=older)
    assert contents(tmp_path) == before


def test_weights_that_are_nan(checkpoint: Path, data_set: DataSet, tmp_path: Path) -> None:
    """Refused before anything is written."""
    loaded = torch.load(checkpoint, weights_only=True)
    loaded["model_state_dict"]["module.action_model.net.final_layer.linear.bias"][3] = torch.nan
    bad = tmp_path / "nan.pth"
    torch.save(loaded, bad)
    with pytest.raises(CheckpointError, match=r"NaN .* action_model.net.final_layer.linear.bias"):
        export(bad, tmp_path / "bundle", data_set)
    assert set(contents(tmp_path)) == {"nan.pth"}


# Places


def refused(checkpoint: Path, output: Path, data_set: DataSet, force: bool) -> OutputError:
    """The error of a place that is refused, which changes nothing there."""
    before = contents(output.parent) if output.parent.is_dir() else {}
    with pytest.raises(OutputError) as caught:
        export(checkpoint, output, data_set, force=force)
    assert (contents(output.parent) if output.parent.is_dir() else {}) == before
    return caught.value


@pytest.mark.parametrize("kind", ["bundle", "file", "folder", "empty folder", "link", "lost link"])
@pytest.mark.parametrize("force", [False, True])
def test_an_existing_output(
    kind: str, force: bool, checkpoint: Path, data_set: DataSet, tiny: Bundle, tmp_path: Path
) -> None:
    """Without force whatever is there stays; with force, what is no bundle does."""
    output = tmp_path / "output"
    if kind == "bundle":
        copy_of(tiny, output)
        if force:
            (output / "notes.txt").write_text("mine")  # it would be lost
    elif kind == "file":
        output.write_text("mine")
    elif kind.endswith("link"):
        output.symlink_to(tiny.path if kind == "link" else "nowhere")
    else:
        output.mkdir()
        if kind == "folder":
            (output / "thesis.tex").write_text("mine")
    if force and kind == "empty folder":
        return  # nothing can be lost: another test
    error = refused(checkpoint, output, data_set, force)
    if not force:
        assert error.found == f"{output} exists"
        assert "--force" in error.cure
    else:
        assert "choose another name" in error.cure


def test_no_parent(checkpoint: Path, data_set: DataSet, tmp_path: Path) -> None:
    """A slip in the path makes no folders."""
    error = refused(checkpoint, tmp_path / "no" / "bundle", data_set, False)
    assert error.found == f"no directory {tmp_path / 'no'}"
    assert (error.expected, error.cure) == ("an existing parent directory", "make it first")
    (tmp_path / "file").write_text("mine")
    assert "no directory" in refused(checkpoint, tmp_path / "file" / "b", data_set, False).found


@pytest.mark.parametrize("kind", ["bundle", "empty folder"])
def test_force_replaces(
    kind: str, checkpoint: Path, data_set: DataSet, tiny: Bundle, quick: Quick, tmp_path: Path
) -> None:
    """An older bundle, or a folder that holds nothing, gives way to the new one."""
    output = tmp_path / "bundle"
    if kind == "bundle":
        edit_manifest(copy_of(tiny, output), lambda m: m.update(source_sha256="of another"))
    else:
        output.mkdir()
    export(checkpoint, output, data_set, force=True)
    assert open_bundle(output).manifest == tiny.manifest
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    assert output.stat().st_mode & 0o777 == 0o755


def version(folder: Path, text: str) -> Path:
    """A folder that holds one file."""
    folder.mkdir()
    (folder / "bundle.json").write_text(text)
    return folder


@contextmanager
def watched(file: Path) -> Iterator[list[str]]:
    """What a file held at all times, read as fast as possible; "" where it was not there."""
    seen, stop = [], threading.Event()

    def watch() -> None:
        while not stop.is_set():
            try:
                seen.append(file.read_text())
            except OSError:
                seen.append("")

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


def test_replacing_is_one_step(tmp_path: Path) -> None:
    """Whoever opens the bundle meanwhile finds the old one or the new one, never none."""
    output = version(tmp_path / "bundle", "0")
    with watched(output / "bundle.json") as seen:
        for number in range(1, 200):
            with place(output, force=True) as folder:
                (folder / "bundle.json").write_text(str(number))
    assert "" not in seen
    assert [int(text) for text in seen] == sorted(int(text) for text in seen)
    assert contents(tmp_path) == {"bundle": b"", "bundle/bundle.json": b"199"}


@pytest.mark.parametrize("fails", [False, True])
def test_where_the_system_cannot_swap(
    fails: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In two steps, and back if the second one fails."""
    monkeypatch.setattr(place_module, "_exchange", lambda *_: False)
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if fails and ".partial-" in self.name:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    output = version(tmp_path / "bundle", "old")
    try:
        with place(output, force=True) as folder:
            (folder / "bundle.json").write_text("new")
    except OutputError as error:
        assert fails and "Input/output error" in error.found
    left = b"old" if fails else b"new"
    assert contents(tmp_path) == {"bundle": b"", "bundle/bundle.json": left}


def test_a_bundle_that_appeared_meanwhile_stays(tmp_path: Path) -> None:
    """Two exports to one name: the one that is complete first wins, the other says so."""
    output = tmp_path / "bundle"
    with pytest.raises(OutputError) as caught, place(output, force=False) as folder:
        (folder / "bundle.json").write_text("late")
        version(output, "first")
    assert caught.value.found == f"{output} exists"
    assert contents(tmp_path) == {"bundle": b"", "bundle/bundle.json": b"first"}
