"""Files that are no checkpoint, damaged or dangerous: each is refused and named."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from dreamvla_edge.model import checkpoint
from dreamvla_edge.model.checkpoint import load_network
from dreamvla_edge.model.errors import CheckpointError

State = dict[str, Tensor]
Save = Callable[[object], Path]
Refused = Callable[[Path], CheckpointError]

TORCH_FILE = "torch.save"
AGAIN = "copy or download the file again"


# Files that are no checkpoint


def test_missing_file(tmp_path: Path, refused: Refused) -> None:
    """The path is named."""
    error = refused(tmp_path / "nothing.pt")
    assert "cannot be read: No such file" in error.found
    assert TORCH_FILE in error.expected
    assert error.cure == "check path and permissions"


def test_directory(tmp_path: Path, refused: Refused) -> None:
    """A directory is not searched for a file that may be meant."""
    error = refused(tmp_path)
    assert error.found.endswith("is a directory")
    assert error.cure == "name the file inside it"


def test_git_lfs_pointer(tmp_path: Path, refused: Refused) -> None:
    """A clone without git-lfs leaves a few lines of text in place of the weights."""
    path = tmp_path / "checkpoint.pt"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3044000000\n")
    error = refused(path)
    assert "git-lfs pointer" in error.found
    assert "git lfs pull" in error.cure


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "is empty"),
        (b"\x00\x01\x02" * 50, "is neither a torch nor a safetensors file"),
        (b"lr: 0.001\n", "is neither a torch nor a safetensors file"),
        (b"\x93NUMPY", "is neither a torch nor a safetensors file"),
    ],
)
def test_other_files(content: bytes, found: str, tmp_path: Path, refused: Refused) -> None:
    """Files of another kind say so and do not end in a traceback of a parser."""
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(content)
    error = refused(path)
    assert error.found == f"{path} {found}"
    assert TORCH_FILE in error.expected and ".safetensors" in error.expected
    assert "right file" in error.cure


def test_zip_of_something_else(tmp_path: Path, refused: Refused) -> None:
    """A zip archive is not a checkpoint yet."""
    path = tmp_path / "checkpoint.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "no weights here")
    assert "not written by a plain torch.save" in refused(path).found


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (torch.zeros(3), "an object of type Tensor"),
        ([torch.zeros(3)], "an object of type list"),
        ({}, "an object of type dict"),
        ({"epoch": 3, "lr": 0.1}, "but epoch, lr"),
        ({"model_state_dict": {"epoch": 3}}, "but model_state_dict"),
        ({"model_state_dict": None}, "but model_state_dict"),
    ],
)
def test_torch_files_without_a_state_dict(
    content: object, found: str, save: Save, refused: Refused
) -> None:
    """What the file holds instead is told."""
    error = refused(save(content))
    assert "holds no tensors by name" in error.found and error.found.endswith(found)
    assert "`model_state_dict`" in error.expected
    assert "network.state_dict()" in error.cure


def test_keys_with_and_without_prefix(tiny_state: State, save: Save, refused: Refused) -> None:
    """Two tensors for one name: neither is taken."""
    assert load_network(save(tiny_state))
    twice = {**tiny_state, "module.action_pred_token": tiny_state["action_pred_token"]}
    error = refused(save(twice))
    assert "both with and without `module.`" in error.found
    assert error.expected == "each key once"
    assert "one network" in error.cure


# Files that would run code


class Touch:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return io.open, (str(self.path), "w")


def test_torch_file_that_runs_code(
    tiny_state: State, save: Save, tmp_path: Path, refused: Refused
) -> None:
    """It is refused by the name of what it calls, and nothing is called."""
    mark = tmp_path / "touched"
    assert load_network(save({"model_state_dict": tiny_state, "args": {"lr": 0.1}}))
    error = refused(save({"model_state_dict": tiny_state, "args": Touch(mark)}))
    assert "is refused: loading it would execute code (io.open)" in error.found
    assert "tensors, numbers and plain containers" in error.expected
    assert "write only its `model_state_dict`" in error.cure
    assert not mark.exists()


def test_the_reader_refuses_on_its_own(
    tiny_state: State,
    save: Save,
    tmp_path: Path,
    refused: Refused,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Code that hides from the look ahead is still not run."""
    monkeypatch.setattr(checkpoint, "get_unsafe_globals_in_checkpoint", lambda path: [])
    mark = tmp_path / "touched"
    error = refused(save({"model_state_dict": tiny_state, "args": Touch(mark)}))
    assert "(Weights only load failed" in error.found
    assert not mark.exists()


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_bare_pickle_that_runs_code(protocol: int, tmp_path: Path, refused: Refused) -> None:
    """The old torch format and pickle itself cannot be told from an attack: neither is read."""
    path, mark = tmp_path / "checkpoint.pt", tmp_path / "touched"
    path.write_bytes(pickle.dumps({"model_state_dict": Touch(mark)}, protocol))
    error = refused(path)
    assert error.found.endswith("is refused: loading it would execute code from the file")
    assert TORCH_FILE in error.expected
    assert "current torch.save" in error.cure
    assert not mark.exists()


@pytest.mark.parametrize("protocol", [4, 5])
def test_other_pickle_protocol(
    protocol: int, tiny_state: State, tmp_path: Path, refused: Refused
) -> None:
    """PyTorch reads no other protocol safely; written again without options the file loads."""
    path = tmp_path / "checkpoint.pt"
    torch.save(tiny_state, path, pickle_protocol=protocol)
    error = refused(path)
    assert "not written by a plain torch.save" in error.found
    assert "write its state dict again with torch.save, no options" in error.cure
    torch.save(tiny_state, path)
    assert load_network(path)


def test_old_torch_format(tiny_state: State, tmp_path: Path, refused: Refused) -> None:
    """PyTorch before 1.6 wrote a bare pickle; written again it loads."""
    path = tmp_path / "checkpoint.pt"
    torch.save(tiny_state, path, _use_new_zipfile_serialization=False)
    assert "bare pickle" in refused(path).found
    torch.save(torch.load(path), path)
    assert load_network(path)


# Damaged files


@pytest.mark.parametrize("part", [0.0005, 0.5, 0.99, 0.99999])
def test_truncated_torch_file(part: float, tiny_state: State, save: Save, refused: Refused) -> None:
    """Wherever the copy stopped."""
    path = save({"model_state_dict": tiny_state})
    assert load_network(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    error = refused(path)
    assert "truncated, damaged or not written by a plain torch.save" in error.found
    assert TORCH_FILE in error.expected
    assert AGAIN in error.cure


@pytest.mark.parametrize("size", [9, 1000, -1])
def test_truncated_safetensors_file(
    size: int, tiny_state: State, tmp_path: Path, refused: Refused
) -> None:
    """In the header or in the last tensor."""
    path = tmp_path / "checkpoint.safetensors"
    save_file(tiny_state, path)
    assert load_network(path)
    path.write_bytes(path.read_bytes()[:size])
    error = refused(path)
    assert "truncated or damaged safetensors file" in error.found
    assert TORCH_FILE in error.expected
    assert AGAIN in error.cure


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    head=st.sampled_from([b"", b"PK\x03\x04", b"\x80\x04", b"\x30\0\0\0\0\0\0\0{", b"version "]),
    tail=st.binary(max_size=200),
)
def test_any_bytes(head: bytes, tail: bytes, tmp_path: Path, refused: Refused) -> None:
    """No content of a file raises anything but the one error."""
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(head + tail)
    refused(path)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255), safe=st.booleans())
def test_any_changed_byte(place: float, value: int, safe: bool, damaged_file: DamagedFile) -> None:
    """A changed byte changes a weight, or is refused with the one error."""
    path = damaged_file(place, value, safe)
    try:
        load_network(path)
    except CheckpointError as error:
        assert error.cure


DamagedFile = Callable[[float, int, bool], Path]


@pytest.fixture
def damaged_file(tiny_state: State, tmp_path: Path) -> DamagedFile:
    """Writes a good file with one byte changed; half of the places are in its description."""
    torch.save({"model_state_dict": tiny_state}, tmp_path / "good.pt")
    save_file(tiny_state, tmp_path / "good.safetensors")
    good = {safe: (tmp_path / f"good.{end}").read_bytes() for safe, end in KINDS.items()}

    def write(place: float, value: int, safe: bool) -> Path:
        content = bytearray(good[safe])
        if (
            place < 0.5
        ):  # safetensors describes its tensors at the start, torch there and at the end
            index = int(2 * place * 40_000)
            index = index if safe or index < 30_000 else index - 40_000
        else:
            index = int((2 * place - 1) * len(content))
        content[index] = value
        path = tmp_path / "damaged"
        path.write_bytes(content)
        return path

    return write


KINDS = {False: "pt", True: "safetensors"}
