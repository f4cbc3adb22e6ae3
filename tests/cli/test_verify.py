"""`dreamvla verify`: says whether a bundle computes what the network computes, and where not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bundles import change_number, edit_manifest
from commands import cure_of, document, dreamvla
from dreamvla_edge.cli.exit_codes import EXIT_CODES
from dreamvla_edge.runtime.bundle import Bundle
from golden_cases import FOLDER

PARITY, BUNDLE = EXIT_CODES["ParityError"], EXIT_CODES["BundleError"]
STAGES = (
    *("preprocess", "tokenizer", "text", "vision", "embed", "backbone", "denoise"),
    *("dream_image", "dream_depth", "dream_sam"),
)


def rows(stdout: str) -> list[list[str]]:
    """Cells of the printed table, without its header."""
    header, *lines = stdout.rstrip("\n").split("\n")
    assert header.split() == ["stage", "use", "error", "tolerance"]
    return [line.split() for line in lines]


def test_a_good_bundle(bundle: Callable[[str], Bundle]) -> None:
    """A row for every stage and use, all within tolerance."""
    path = bundle("calvin_small").path
    done = dreamvla("verify", path)
    assert (done.returncode, done.stderr) == (0, "")
    assert tuple(dict.fromkeys(row[0] for row in rows(done.stdout))) == STAGES
    assert "WRONG" not in done.stdout
    found = document(dreamvla("verify", path, "--json", "--threads", "1"))
    assert set(found) == {"passed", "stages"} and found["passed"] is True
    assert [stage["name"] for stage in found["stages"]] == [row[0] for row in rows(done.stdout)]
    for stage in found["stages"]:
        assert set(stage) == {"name", "use", "error", "tolerance", "passed"}
        assert 0 <= stage["error"] <= stage["tolerance"] <= 1e-5 and stage["passed"] is True


def test_a_changed_weight(copied: Path) -> None:
    """With its hash mended the file is in order, but the backbone is the first stage that is not.

    Table or document are printed all the same.
    """
    weights = copied / "backbone.onnx.data"
    change_number(copied, weights.name, weights.stat().st_size // 8, lambda weight: weight + 1)
    done = dreamvla("verify", copied)
    assert done.returncode == PARITY
    found, expected, cure = cure_of(done.stderr)
    assert found.startswith(f"backbone (fill, first) of {copied} differs from the network by ")
    assert expected == "at most 1e-05 of the largest value"
    assert cure.startswith("backbone is the first stage that is wrong: export again")
    wrong = [row[0] for row in rows(done.stdout) if row[-1] == "WRONG"]
    assert wrong[0] == "backbone" and not {*STAGES[: STAGES.index("backbone")]} & {*wrong}
    quiet = dreamvla("verify", copied, "--json", "-q")
    assert (quiet.returncode, quiet.stderr) == (PARITY, done.stderr)
    written = document(quiet)
    assert (written["passed"], written["exit_code"]) == (False, PARITY)
    assert [stage["name"] for stage in written["stages"] if not stage["passed"]] == wrong
    assert len(written["stages"]) == len(rows(done.stdout))
    assert written["error"]["kind"] == "ParityError" and written["error"]["found"] == found


def test_a_weight_that_is_not_a_number(copied: Path) -> None:
    """An error that no number holds is null in JSON, and never passes."""
    weights = copied / "vision.onnx.data"
    change_number(copied, weights.name, weights.stat().st_size // 8, lambda weight: float("nan"))
    done = dreamvla("verify", copied, "--json")
    assert done.returncode == PARITY
    (wrong,) = (stage for stage in document(done)["stages"] if not stage["passed"])
    assert (wrong["name"], wrong["error"]) == ("vision", None)
    assert "differs from the network by inf" in cure_of(done.stderr)[0]


# A golden case of the released code


@pytest.mark.parametrize("seed", [[], ["--seed", "20251122"]])
def test_a_golden_case(seed: list[str], bundle: Callable[[str], Bundle]) -> None:
    """The released arrays at every window slot; the folder's own seed is the default."""
    path = bundle("calvin_small").path
    done = dreamvla("verify", path, "--golden", FOLDER, "--case", "calvin_small", *seed, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    stages = document(done)["stages"]
    uses = {stage["use"] for stage in stages if stage["name"] == "denoise"}
    assert {f"slot {slot}, fill" for slot in range(10)} < uses
    assert {"mask", "text", "backbone", "dream_image"} < {stage["name"] for stage in stages}
    assert all(stage["error"] <= 1e-5 for stage in stages)


def test_another_seed(bundle: Callable[[str], Bundle]) -> None:
    """Other observations give other arrays than those stored; only the mask knows no seed."""
    path = bundle("calvin_small").path
    seed = ("--seed", 1)
    done = dreamvla("verify", path, "--golden", FOLDER, "--case", "calvin_small", *seed, "--json")
    assert done.returncode == PARITY
    assert cure_of(done.stderr)[0].startswith(f"text (instruction) of {path} differs")
    stages = document(done)["stages"]
    assert {stage["name"] for stage in stages if stage["passed"]} == {"mask"}


def test_an_unknown_case(tiny: Bundle) -> None:
    """The known ones are listed."""
    done = dreamvla("verify", tiny.path, "--golden", FOLDER, "--case", "calvin_tiny")
    assert (done.returncode, done.stdout) == (BUNDLE, "")
    found, expected, cure = cure_of(done.stderr)
    assert found == f"no case 'calvin_tiny' in {FOLDER / 'cases.json'}"
    assert expected.startswith("one of ") and "calvin_small" in expected
    assert cure == "name one of them with --case"


def test_a_case_of_another_network(tiny: Bundle) -> None:
    """Its window has another length."""
    done = dreamvla("verify", tiny.path, "--golden", FOLDER, "--case", "calvin_small")
    assert (done.returncode, done.stdout) == (BUNDLE, "")
    assert cure_of(done.stderr) == (
        "case 'calvin_small' has states and noise of (10, 7) and (10, 3)",
        f"(3, 7) and (3, 3), as {tiny.path}",
        "choose the case that the checkpoint belongs to",
    )


def test_a_folder_without_golden_data(tiny: Bundle, tmp_path: Path) -> None:
    """What belongs there is listed."""
    done = dreamvla("verify", tiny.path, "--golden", tmp_path, "--case", "calvin_small")
    assert (done.returncode, done.stdout) == (BUNDLE, "")
    found, expected, cure = cure_of(done.stderr)
    assert found.startswith(f"{tmp_path} cannot be read") and "cases.json" in found
    assert expected == "cases.json, synth.py and outputs/<case>.npz"
    assert cure == "give a folder of golden data with --golden"


def test_damaged_golden_data(tiny: Bundle, tmp_path: Path) -> None:
    """A file that was not copied to its end."""
    shutil.copytree(FOLDER, tmp_path / "golden", ignore=shutil.ignore_patterns("outputs", "keys"))
    (tmp_path / "golden" / "outputs").mkdir()
    content = (FOLDER / "outputs" / "calvin_small.npz").read_bytes()
    (tmp_path / "golden" / "outputs" / "calvin_small.npz").write_bytes(content[:-1000])
    case = ("--case", "calvin_small")
    done = dreamvla("verify", tiny.path, "--golden", tmp_path / "golden", *case)
    assert (done.returncode, done.stdout) == (BUNDLE, "")
    assert cure_of(done.stderr)[0].startswith(f"{tmp_path / 'golden'} cannot be read")


# Bad bundles


def test_a_newer_bundle(copied: Path) -> None:
    """The version to install is named."""

    def renew(manifest: dict[str, object]) -> None:
        manifest.update(schema_version=9, versions={"dreamvla-edge": "3.1.0"}, more="fields")

    edit_manifest(copied, renew)
    done = dreamvla("verify", copied, "--json")
    assert done.returncode == BUNDLE
    found, expected, cure = cure_of(done.stderr)
    assert found.startswith(str(copied)) and "schema version 9" in found
    assert expected == "at most 2"
    assert "pip install -U 'dreamvla-edge>=3.1.0'" in cure
    assert document(done)["error"]["cure"] == cure


@pytest.mark.parametrize("command", ["verify", "inspect"])
def test_a_flipped_byte(command: str, copied: Path) -> None:
    """The file is named before anything is run."""
    path = copied / "denoise.onnx.data"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    path.write_bytes(content)
    done = dreamvla(command, copied)
    assert (done.returncode, done.stdout) == (BUNDLE, "")
    assert cure_of(done.stderr)[0].startswith(f"{path} has sha256 ")
