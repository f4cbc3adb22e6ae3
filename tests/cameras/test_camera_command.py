"""`dreamvla camera`: finds, shows and exchanges cameras."""

from __future__ import annotations

import stat
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from cameras.sources import picture
from commands import cure_of, document, dreamvla, entries
from dreamvla_edge.cli.camera import swapped
from dreamvla_edge.cli.exit_codes import EXIT_CODES
from dreamvla_edge.runtime.errors import RobotError

ROBOT = """\
# The robot on the left table.
name = "left"

[arm]
type = "so101"
port = "virtual"

# ---- cameras ----
[cameras.primary]
kind = "file"           # recorded on the tripod
device = "PRIMARY"
width = 64
height = 48

  [ cameras . wrist ]   # the small one
kind = "file"
device = "WRIST"
width = 64
height = 48
crop = [0, 8, 48, 48]

[cameras.wrist.options]
loop = true
"""


@pytest.fixture
def robot(tmp_path: Path) -> Path:
    """A robot file whose cameras play one picture each."""
    text = ROBOT
    for role, seed in {"PRIMARY": 0, "WRIST": 5}.items():
        np.savez(tmp_path / f"{role}.npz", np.stack([picture(seed=seed)]))
        text = text.replace(f'"{role}"', f'"{tmp_path / role}.npz"')
    path = tmp_path / "robot.toml"
    path.write_text(text)
    return path


def test_scan() -> None:
    """Those that are there; without any, what to do, no failure, and in JSON an empty list."""
    done = dreamvla("camera", "scan")
    assert (done.returncode, done.stderr) == (0, "")
    found = document(dreamvla("camera", "scan", "--json"))["cameras"]
    if any(Path("/dev").glob("video*")):
        assert all(camera["path"] in done.stdout for camera in found)
    else:
        assert found == []
        assert done.stdout.startswith("no camera") and "lsusb" in done.stdout


def test_show_a_robot(robot: Path, tmp_path: Path) -> None:
    """Three rows, primary on the left, the wrist camera cropped; the numbers are right."""
    output = tmp_path / "cameras.png"
    done = dreamvla("camera", "show", robot, "-o", output, "--json")
    assert done.returncode == 0, done.stderr
    found = document(done)
    assert found["picture"] == str(output)
    sheet = np.asarray(Image.open(output))
    assert sheet.shape == (3 * 52, 68 + 52, 3)
    for row in range(3):
        assert np.array_equal(sheet[52 * row : 52 * row + 48, :64], picture())
        assert np.array_equal(sheet[52 * row : 52 * row + 48, 68:116], picture(seed=5)[:, 8:56])
    for camera, role, width in zip(found["cameras"], ("primary", "wrist"), (64, 48), strict=True):
        assert (camera["role"], camera["width"], camera["height"]) == (role, width, 48)
        assert 5 < camera["rate_hz"] < 31
        assert 0 <= camera["age_s"] < 1
        # Nothing says that an arm moves: the same picture is no fault.
        assert camera["condition"] in ("good", "stale")
    assert 0 <= found["skew_s"] < 0.1
    assert entries(tmp_path) == {"PRIMARY.npz", "WRIST.npz", "robot.toml", "cameras.png"}


def test_show_a_source(tmp_path: Path) -> None:
    """Of a size of one's own; the table names the verdict."""
    output = tmp_path / "camera.png"
    done = dreamvla("camera", "show", "simulated", "--size", "32x24", "--frames", "1", "-o", output)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0].split() == ["camera", "size", "Hz", "age", "[ms]", "verdict"]
    assert "primary  32 x 24" in done.stdout
    assert Image.open(output).size == (36, 28)


def test_a_picture_is_not_overwritten(tmp_path: Path) -> None:
    """But with --force."""
    output = tmp_path / "camera.png"
    output.write_text("mine")
    arguments = ("camera", "show", "simulated", "-o", output)
    done = dreamvla(*arguments)
    assert done.returncode == EXIT_CODES["OutputError"]
    assert "--force" in cure_of(done.stderr)[2]
    assert output.read_text() == "mine"
    assert dreamvla(*arguments, "--force").returncode == 0
    assert Image.open(output).format == "PNG"


@pytest.mark.parametrize(
    ("arguments", "error", "found"),
    [
        (("polaroid",), "ObservationError", "'polaroid'"),
        (("v4l2:/dev/nothing",), "ObservationError", "/dev/nothing"),
        (("file:nothing.mp4",), "ObservationError", "nothing.mp4"),
        (("simulated", "--size", "0x4"), "WrongUsage", "0x4"),
        (("missing.toml",), "RobotError", "missing.toml"),
        (("missing.toml", "--size", "4x4"), "WrongUsage", "--size"),
        (("simulated", "--bundle", "missing"), "BundleError", "missing"),
    ],
)
def test_what_cannot_be_shown(
    arguments: tuple[str, ...], error: str, found: str, tmp_path: Path
) -> None:
    """One error with a cure, and no picture."""
    done = dreamvla("camera", "show", *arguments, "-o", "a.png", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (EXIT_CODES[error], "")
    assert found in cure_of(done.stderr)[0]
    assert entries(tmp_path) == set()


def test_swap(robot: Path) -> None:
    """Both tables change places; every other line and the permissions stay; twice is nothing."""
    before = robot.read_text()
    robot.chmod(0o640)
    done = dreamvla("camera", "swap", robot, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert document(done)["primary"] == {"kind": "file", "device": str(robot.parent / "WRIST.npz")}
    old, new = (msgspec.toml.decode(text) for text in (before, robot.read_text()))
    assert (new["cameras"]["primary"], new["cameras"]["wrist"]) == (
        old["cameras"]["wrist"],
        old["cameras"]["primary"],
    )
    changed = [
        (a, b)
        for a, b in zip(before.splitlines(), robot.read_text().splitlines(), strict=True)
        if a != b
    ]
    assert changed == [
        ("[cameras.primary]", "[cameras.wrist]"),
        ("  [ cameras . wrist ]   # the small one", "  [ cameras . primary ]   # the small one"),
        ("[cameras.wrist.options]", "[cameras.primary.options]"),
    ]
    assert stat.S_IMODE(robot.stat().st_mode) == 0o640
    assert dreamvla("camera", "swap", robot).returncode == 0
    assert robot.read_text() == before


FORMS = (
    '[cameras.{}]\nkind = "{}"\n',
    'cameras.{}.kind = "{}"\n',
    'cameras.{} = {{ kind = "{}" }}\n',
)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_that_can_be_exchanged(form: str) -> None:
    """Tables, dotted keys and inline tables."""
    text = "".join(form.format(role, role[0]) for role in ("primary", "wrist"))
    cameras = msgspec.toml.decode(swapped(text))["cameras"]
    assert cameras == {"primary": {"kind": "w"}, "wrist": {"kind": "p"}}


@pytest.mark.parametrize(
    "text",
    [
        '[cameras]\nprimary = { kind = "p" }\nwrist = { kind = "w" }\n',
        'note = """\n[cameras.wrist]\n"""\n'
        + FORMS[0].format("primary", "p")
        + FORMS[0].format("wrist", "w"),
    ],
)
def test_a_form_that_cannot_is_an_error(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(RobotError, match="by hand"):
        swapped(text)


def test_swap_leaves_a_file_alone_that_is_no_robot(tmp_path: Path) -> None:
    """Its bytes stay as they are."""
    path = tmp_path / "robot.toml"
    for content in (b"", b"[cameras.primary]\n", b"\xff\xfe", b"name = "):
        path.write_bytes(content)
        done = dreamvla("camera", "swap", path)
        assert done.returncode == EXIT_CODES["RobotError"], done.stderr
        assert path.read_bytes() == content
