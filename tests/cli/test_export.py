"""`dreamvla export`: what is bad is refused, each in its own words, and nothing is left behind."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bundles import copy_of
from commands import Good, cure_of, document, dreamvla, entries, in_process, small_disk
from dreamvla_edge.cli.exit_codes import EXIT_CODES
from dreamvla_edge.runtime.bundle import open_bundle

TORCH_FILE = "a checkpoint written by torch.save (PyTorch 1.6 or later) or a .safetensors file"
AGAIN = "copy or download the file again and compare its size with the original"
WEIGHT = "module.transformer_backbone.h.0.mlp.c_fc.weight"


def test_the_good_export(good: Good) -> None:
    """All the bad ones below differ from it in one thing. Only the document is printed."""
    assert (good.done.returncode, good.done.stderr) == (0, "")
    opened = open_bundle(good.bundle)
    found = document(good.done)
    assert found.pop("next").endswith(f"dreamvla inspect {good.bundle}")
    assert found == {
        "bundle": str(good.bundle),
        "bytes": sum(file.stat().st_size for file in good.bundle.iterdir()),
        "subgraphs": ["text", "vision", "embed", "backbone", "denoise", "dream_image"],
        "source_sha256": opened.manifest.source_sha256,
    }
    assert entries(good.bundle.parent) == {
        *(path.name for path in (good.bundle, good.checkpoint, good.data_set)),
        *(f"bundle/{name}" for name in (*opened.manifest.files, "bundle.json")),
    }


# Bad checkpoints


class Touch:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return io.open, (str(self.path), "w")


@pytest.fixture
def refused(good: Good, tmp_path: Path) -> Callable[[Path], tuple[str, str, str]]:
    """What `dreamvla export` says to a bad checkpoint; that nothing is left is checked."""

    def export(checkpoint: Path) -> tuple[str, str, str]:
        before = entries(tmp_path)
        output = tmp_path / "bundle"
        done = in_process("export", checkpoint, "-o", output, "--data-set", good.data_set)
        assert (done.returncode, done.stdout) == (EXIT_CODES["CheckpointError"], "")
        assert entries(tmp_path) == before
        error = cure_of(done.stderr)
        assert error[0].startswith(str(checkpoint))
        return error[0].removeprefix(str(checkpoint)).lstrip(": "), *error[1:]

    return export


Refused = Callable[[Path], tuple[str, str, str]]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"Dear sir, find the weights below.\n", "is neither a torch nor a safetensors file"),
        (b"", "is empty"),
        (bytes(range(1, 200)), "is neither a torch nor a safetensors file"),
    ],
    ids=["text", "empty", "bytes"],
)
def test_not_a_checkpoint(content: bytes, found: str, tmp_path: Path, refused: Refused) -> None:
    """A file of another kind."""
    path = tmp_path / "checkpoint.pth"
    path.write_bytes(content)
    cure = "check that this is the right file and that it is complete"
    assert refused(path) == (found, TORCH_FILE, cure)


def test_a_pickle_that_runs_code(tmp_path: Path, refused: Refused) -> None:
    """It is not even opened with pickle."""
    path, canary = tmp_path / "checkpoint.pth", tmp_path / "canary"
    path.write_bytes(pickle.dumps({"model_state_dict": Touch(canary)}))
    assert refused(path) == (
        "is a bare pickle and is refused: loading it would execute code from the file",
        TORCH_FILE,
        "where you trust the file, load it and write it again with a current torch.save",
    )
    assert not canary.exists()
    pickle.loads(path.read_bytes())["model_state_dict"].close()
    assert canary.exists()  # so it would have shown


def test_a_torch_file_that_runs_code(good: Good, tmp_path: Path, refused: Refused) -> None:
    """It is refused by the name of what it would call, with all its weights in order."""
    path, canary = tmp_path / "checkpoint.pth", tmp_path / "canary"
    state = torch.load(good.checkpoint)["model_state_dict"]
    torch.save({"model_state_dict": state, "optimizer": Touch(canary)}, path)
    assert refused(path) == (
        "is refused: loading it would execute code (io.open)",
        "a file of tensors, numbers and plain containers",
        "where you trust the file, load it and write only its `model_state_dict` with torch.save",
    )
    assert not canary.exists()
    torch.load(path, weights_only=False)["optimizer"].close()
    assert canary.exists()  # so it would have shown


def test_a_truncated_file(good: Good, tmp_path: Path, refused: Refused) -> None:
    """As an interrupted download leaves it."""
    path = tmp_path / "checkpoint.pth"
    content = good.checkpoint.read_bytes()
    path.write_bytes(content[: len(content) * 9 // 10])
    found, expected, cure = refused(path)
    assert found.startswith("is truncated, damaged or not written by a plain torch.save")
    assert expected == TORCH_FILE
    assert cure.startswith(AGAIN)


def drop(state: dict[str, Any]) -> None:
    """Take one weight out."""
    del state[WEIGHT.replace("c_fc", "c_proj")]


def add(state: dict[str, Any]) -> None:
    """Put a weight in that the network has no place for."""
    state["module.flow_matching.weight"] = torch.zeros(3)


def transpose(state: dict[str, Any]) -> None:
    """As nn.Linear instead of Conv1D would have stored it."""
    name = WEIGHT.replace("c_fc", "c_proj")
    state[name] = state[name].T.contiguous()


def poison(state: dict[str, Any]) -> None:
    """One value of one weight, as a diverged training leaves it."""
    state[WEIGHT][3, 5] = torch.nan


MISFIT = "{} missing and {} unknown keys, {} tensors of the wrong form: "
PLACE = "transformer_backbone.h.0.mlp.c_proj.weight"
ALL = "every tensor of the network that the sizes describe, and no other but those that"


@pytest.mark.parametrize(
    ("change", "found", "expected", "cure"),
    [
        (drop, MISFIT.format(1, 0, 0) + f"no {PLACE}", ALL, "take a released variant"),
        (
            add,
            MISFIT.format(0, 1, 0) + "unknown flow_matching.weight",
            ALL,
            "leave tensors of your own out of the file",
        ),
        (
            transpose,
            MISFIT.format(0, 0, 1) + f"{PLACE} is (128, 256), not (256, 128)",
            ALL,
            "take a released variant",
        ),
        (
            poison,
            f"NaN or infinite values in {WEIGHT.removeprefix('module.')}",
            "finite float32 weights",
            "take an earlier checkpoint of this training run",
        ),
    ],
)
def test_bad_weights(
    change: Callable[[dict[str, Any]], None],
    found: str,
    expected: str,
    cure: str,
    good: Good,
    tmp_path: Path,
    refused: Refused,
) -> None:
    """One tensor is not as it should be; it is named."""
    path = tmp_path / "checkpoint.pth"
    content = torch.load(good.checkpoint)
    change(content["model_state_dict"])
    torch.save(content, path)
    error = refused(path)
    assert error[0] == found
    assert expected in error[1] and cure in error[2]


# Bad data sets


def changed(text: str, old: str, new: str) -> str:
    """The text with one change that is really one."""
    assert text.count(old) == 1
    return text.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("heads = 2\n", "", "at model: Object missing required field `heads`"),
        ("guidance = 1.5\n", "", "at model: Object missing required field `guidance`"),
        ('gripper = "command" ', "#", "at state: Object missing required field `gripper`"),
        ("rate_hz = 30", 'rate_hz = "fast"', "at action.rate_hz: Expected `float`, got `str`"),
        (
            '    { name = "yaw", unit = "rad" },\n',
            "",
            "at state: six arm dimensions are needed, 5 are given",
        ),
        ("[model]", "[model", "is not TOML"),
    ],
)
def test_a_bad_data_set_file(old: str, new: str, found: str, good: Good, tmp_path: Path) -> None:
    """What a checkpoint does not tell must stand there: what is missing is named."""
    file, output = tmp_path / "data_set.toml", tmp_path / "bundle"
    file.write_text(changed(good.data_set.read_text(), old, new))
    done = in_process("export", good.checkpoint, "-o", output, "--data-set", file)
    error = cure_of(done.stderr)
    assert (done.returncode, done.stdout) == (EXIT_CODES["DataSetError"], "")
    assert error[0].startswith(f"data-set file {file}") and found in error[0]
    assert error[1] and error[2] == "correct that place"
    assert entries(tmp_path) == {"data_set.toml"}


def test_a_data_set_that_does_not_fit_the_checkpoint(good: Good, tmp_path: Path) -> None:
    """Three heads cannot share a width of 128: the hint to correct is named."""
    file, output = tmp_path / "data_set.toml", tmp_path / "bundle"
    file.write_text(changed(good.data_set.read_text(), "heads = 2", "heads = 3"))
    done = in_process("export", good.checkpoint, "-o", output, "--data-set", file)
    found, expected, cure = cure_of(done.stderr)
    assert (done.returncode, done.stdout) == (EXIT_CODES["CheckpointError"], "")
    assert found == f"{good.checkpoint}: a width of 128 with 3 attention heads"
    assert expected == "a number of heads that divides the width"
    assert "`heads`" in cure
    assert entries(tmp_path) == {"data_set.toml"}


# Bad places


def test_an_existing_output(good: Good, tmp_path: Path) -> None:
    """It stays as it is, whether it is a bundle or not."""
    place = copy_of(open_bundle(good.bundle), tmp_path / "bundle")
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    arguments = ("export", good.checkpoint, "-o", place, "--data-set", good.data_set)
    done = dreamvla(*arguments)
    assert (done.returncode, done.stdout) == (EXIT_CODES["OutputError"], "")
    assert cure_of(done.stderr) == (
        f"{place} exists",
        "a new name",
        "choose another name, or replace it with --force",
    )
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before
    (place / "mine.txt").write_text("not of a bundle")
    forced = dreamvla(*arguments, "--force")
    assert (forced.returncode, forced.stdout) == (EXIT_CODES["OutputError"], "")
    assert cure_of(forced.stderr) == (
        f"{place} holds mine.txt, which no bundle there lists",
        "an earlier bundle and nothing else, since --force removes the whole directory",
        "move those files away or choose another name",
    )
    assert entries(tmp_path) == {
        "bundle",
        "bundle/mine.txt",
        *(f"bundle/{name}" for name in before),
    }


def test_a_full_disk(good: Good, tmp_path: Path) -> None:
    """Half of the bundle has room."""
    with small_disk(tmp_path) as (place, limits):
        done = dreamvla(
            *("export", good.checkpoint, "-o", place / "b", "--data-set", good.data_set),
            preexec_fn=limits,
        )
        assert (done.returncode, done.stdout) == (EXIT_CODES["OutputError"], "")
        assert cure_of(done.stderr) in (
            (
                f"no space left on the disk of {place}",
                "room for the whole bundle beside any older one",
                "free some space or choose another disk",
            ),
            (
                f"{place / 'b'} cannot be written ([Errno 27] File too large)",
                f"files of any size can be made in {place}",
                "choose another place",
            ),
        )
        assert entries(place) == set()


def test_a_place_that_cannot_be_written(good: Good) -> None:
    """Not even root can make a folder there."""
    done = in_process("export", good.checkpoint, "-o", "/proc/b", "--data-set", good.data_set)
    assert done.returncode == EXIT_CODES["OutputError"]
    found, expected, cure = cure_of(done.stderr)
    assert found.startswith("/proc/b cannot be written (")
    assert (expected, cure) == ("files of any size can be made in /proc", "choose another place")
