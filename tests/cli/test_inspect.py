"""`dreamvla inspect`: shows every subgraph and what actions mean, and draws the mask."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from commands import cure_of, document, dreamvla, entries
from dreamvla_edge.cli.exit_codes import EXIT_CODES
from dreamvla_edge.runtime.bundle import Bundle
from golden_cases import Golden

TEXT, STATE, VISION, DREAM, ACTION = (
    *((120, 94, 240), (254, 97, 0), (100, 143, 255)),
    *((220, 38, 127), (255, 176, 0)),
)
WHITE = (255, 255, 255)


def test_every_subgraph_is_shown(bundle: Callable[[str], Bundle]) -> None:
    """With its shapes, precision, size and work."""
    opened = bundle("calvin_small")
    done = dreamvla("inspect", opened.path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = {line.split(" ")[0]: line for line in done.stdout.splitlines() if line}
    for name, spec in opened.manifest.subgraphs.items():
        size = sum((opened.path / file).stat().st_size for file in spec.files)
        assert f"  fp32       {size / 1e6:>5.1f}  " in lines[name]
        for use, work in spec.gflop.items():
            assert f"{use} {work:.2f}" in lines[name]
    assert "images[2,3,224,224]" in lines["vision"]
    assert "past_k0[4,N,32]" in lines["backbone"] and "past_k1" not in lines["backbone"]
    # 2 cameras of 197 tokens: 12 width² weights in each of 2 layers and 3 x 16² x width patches.
    patches, layers = 3 * 16**2 * 768 * 196, 2 * 12 * 768**2 * 197
    work = document(dreamvla("inspect", opened.path, "--json"))["subgraphs"]["vision"]["gflop"]
    assert work["frame"] > 2 * 2 * (patches + layers) / 1e9


def test_the_meaning_of_actions_is_shown(bundle: Callable[[str], Bundle]) -> None:
    """CALVIN's: tool steps in the world's frame."""
    shown = dreamvla("inspect", bundle("calvin_small").path).stdout
    for name in ("x", "y", "z"):
        assert f"\n  {name} = 0.02 x [m]\n" in shown
    for name in ("roll", "pitch", "yaw"):
        assert f"\n  {name} = 0.05 x [rad]\n" in shown
    assert "\nactions: delta_pose at 30 Hz, world frame, rotation euler_add, added to the " in shown
    assert "\n  gripper above 0.5 is open\n" in shown
    assert "\nstate: x, y, z, roll, pitch, yaw, gripper command\n" in shown
    assert "\ncamera primary: 200 x 200, flip none, crop none\n" in shown
    assert "\nsampler: ddim at t = 90, 80, 70, 60, 50, 40, 30, 20, 10, 0, guidance 1.5\n" in shown


def test_json(bundle: Callable[[str], Bundle]) -> None:
    """The manifest, and the size of every subgraph."""
    opened = bundle("calvin_small")
    found = document(dreamvla("inspect", opened.path, "--json"))
    sizes = found.pop("bytes")
    assert found == json.loads((opened.path / "bundle.json").read_text())
    assert sizes.keys() == found["subgraphs"].keys()
    for name, spec in found["subgraphs"].items():
        assert sizes[name] == sum((opened.path / file).stat().st_size for file in spec["files"])


def test_the_picture_of_the_mask(
    bundle: Callable[[str], Bundle], golden: Golden, tmp_path: Path
) -> None:
    """Compared with the released mask, pixel by pixel: white, or the colour of what is read."""
    picture = tmp_path / "mask.png"
    done = dreamvla("inspect", bundle("calvin_small").path, "--plot", picture)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(f"mask drawn to {picture}\n")
    assert entries(tmp_path) == {"mask.png"}
    reads = golden.attention_mask("calvin_small") == 0
    # One step: text, state, 2 cameras of 16 + 1 rows, 3 dreams of 2 x 9 queries, 3 actions.
    step = [TEXT, STATE, *[VISION] * 34, *[DREAM] * 54, *[ACTION] * 3]
    colours = np.array(step * 10, np.uint8)
    assert reads.shape == (930, 930) and len(colours) == 930
    wanted = np.where(reads[:, :, None], colours[None], np.uint8(255))
    with Image.open(picture) as image:
        assert image.format == "PNG"
        drawn = np.asarray(image.convert("RGB"))
    left, zoom = 46, 2
    side = 930 * zoom
    # A slot's first row and column of pixels are its rule; every token has another one.
    mask = drawn[left : left + side, left : left + side]
    assert np.array_equal(mask[1::zoom, 1::zoom], wanted)
    assert {tuple(colour) for colour in wanted.reshape(-1, 3)} == {
        WHITE,
        *(TEXT, STATE, VISION, DREAM),
    }


def test_an_existing_picture(tiny: Bundle, tmp_path: Path) -> None:
    """It is replaced with --force only."""
    picture = tmp_path / "mask.png"
    picture.write_text("mine")
    done = dreamvla("inspect", tiny.path, "--plot", picture)
    assert (done.returncode, done.stdout) == (EXIT_CODES["OutputError"], "")
    assert cure_of(done.stderr) == (
        f"{picture} exists",
        "a new name",
        "choose another name, or replace it with --force",
    )
    assert picture.read_text() == "mine"
    assert dreamvla("inspect", tiny.path, "--plot", picture, "--force").returncode == 0
    with Image.open(picture) as image:
        assert image.width > 800
    assert entries(tmp_path) == {"mask.png"}


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("no/folder/mask.png", "No such file or directory"),
        ("file/mask.png", "Not a directory"),
        ("/dev/full/mask.png", "Not a directory"),
    ],
)
def test_an_impossible_picture(place: str, reason: str, tiny: Bundle, tmp_path: Path) -> None:
    """The reason is the system's."""
    (tmp_path / "file").touch()
    path = tmp_path / place
    done = dreamvla("inspect", tiny.path, "--plot", path)
    assert (done.returncode, done.stdout) == (EXIT_CODES["OutputError"], "")
    assert cure_of(done.stderr) == (
        f"{path} cannot be written ({reason})",
        "a file in an existing, writable directory",
        "choose another path for --plot",
    )
    assert entries(tmp_path) == {"file"}
    assert os.path.exists("/dev/full")


def test_the_picture_is_told_with_json(tiny: Bundle, tmp_path: Path) -> None:
    """Its path is an entry of the document."""
    picture = tmp_path / "mask.png"
    done = dreamvla("inspect", tiny.path, "--plot", picture, "--json")
    assert document(done)["plot"] == str(picture)
    assert picture.stat().st_size > 1000
