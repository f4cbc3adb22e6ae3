"""`dreamvla demo`: what really went over the serial line, and what changes it."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from commands import Done, cure_of, document, dreamvla, entries, small_disk
from dreamvla_edge.cli.demo_run import write_robot
from dreamvla_edge.cli.exit_codes import EXIT_CODES
from dreamvla_edge.export.data_set import load_data_set
from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.runtime.arms.feetech import REGISTERS, decode
from dreamvla_edge.runtime.cameras import open_camera
from dreamvla_edge.runtime.robot import load_robot
from dreamvla_edge.sim.virtual_arm import start_positions

INSTRUCTION = "push the red block to the left"
SO101 = load_description("so101")
SERVOS = SO101.servos
GOAL, TORQUE = REGISTERS["goal_position"], REGISTERS["torque_enable"]

Writes = list[dict[str, Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the demo below puts its checkpoint and bundle."""
    folder = tmp_path_factory.mktemp("demo")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def demo(folder: Path) -> dict[str, Any]:
    """The document of one run of two seconds."""
    done = dreamvla("demo", "--seconds", 4, "-o", folder, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    return document(done)


def goals_after_torque(writes: Writes) -> Writes:
    """All goals that were written when every servo had its torque on."""
    last = max(i for i, write in enumerate(writes) if write["address"] == TORQUE.address)
    assert {write["servo"] for write in writes if write["address"] == TORQUE.address} == {*SERVOS}
    return [write for write in writes[last + 1 :] if write["address"] == GOAL.address]


def tracks(writes: Writes) -> dict[int, np.ndarray]:
    """Servo -> its goals [step], one a cycle."""
    return {
        servo: np.array(
            [
                decode("goal_position", bytes(write["data"]))
                for write in goals_after_torque(writes)
                if write["servo"] == servo
            ]
        )
        for servo in SERVOS
    }


def test_the_arm_moved(demo: dict[str, Any]) -> None:
    """From the middle of all servos to somewhere else."""
    before, after = demo["servos_before"], demo["servos_after"]
    names = (*(joint.name for joint in SO101.joints), "gripper")
    middle = start_positions(SO101)
    assert before == {name: middle[servo] for name, servo in zip(names, SERVOS, strict=True)}
    assert sum(abs(after[name] - at) >= 10 for name, at in before.items()) >= 4
    assert all(0 <= at <= 4095 for at in after.values())


def test_the_policy_equals_the_released_loop(demo: dict[str, Any]) -> None:
    """While the window fills, when it has slid, and at the end."""
    steps = {int(step): error for step, error in demo["parity_by_step"].items()}
    last = demo["decisions"] - 1
    assert set(steps) == {step for step in (0, 5, 10, last) if step <= last}
    assert last >= 2
    assert all(0 < error <= 1e-5 for error in steps.values())
    assert demo["parity"] == max(steps.values())


def test_numbers(demo: dict[str, Any]) -> None:
    """Finite and of the right count; rate and stages are those of the run."""
    actions, chunks = np.array(demo["actions"]), np.array(demo["chunks"])
    count = demo["decisions"]
    assert actions.shape == (count, 7) and chunks.shape == (count, 3, 7)
    assert np.isfinite(actions).all() and np.isfinite(chunks).all()
    assert np.unique(actions[:, :6], axis=0).shape == (count, 6)
    assert 0 < demo["rate_hz"] <= 30 and 0 < demo["speed_factor"] <= 1
    stages = demo["stage_ms"]
    assert {"policy", "motion", "policy.vision"} < set(stages)
    assert all(0 < duration < 20_000 for duration in stages.values())
    assert demo["guardian_cycles"] > 100
    assert [entry["state"] for entry in demo["states"]][:2] == ["HOLD", "RAMP"]


def test_the_cameras_saw_a_table(demo: dict[str, Any]) -> None:
    """At every decision, both of them."""
    brightness = np.array(demo["brightness"])
    assert brightness.shape == (demo["decisions"], 2) and brightness.min() > 50


@pytest.mark.parametrize("black", [False, True])
def test_what_the_demo_asks_of_its_cameras_reaches_them(black: bool, tmp_path: Path) -> None:
    """Through the robot file that it writes; another seed is another table."""
    seen = []
    for seed in (3, 4):
        file = tmp_path / f"{seed}.toml"
        write_robot(file, seed, black)
        source = load_robot(file).cameras.wrist
        assert source.options == {"seed": seed, "black": black}
        assert source.may_be_dark == black
        with closing(open_camera(source, load_data_set("calvin").specification.cameras[1])) as eye:
            seen.append(eye.read().image)
    assert all((image.mean() <= 3) == black for image in seen)
    assert not np.array_equal(*seen)


def test_every_byte_on_the_bus_is_accounted_for(demo: dict[str, Any]) -> None:
    """Torque on where each servo stands, then a goal a cycle to each, within the arm's limits."""
    writes = demo["bus_writes"]
    stamps = [write["stamp_s"] for write in writes]
    assert stamps == sorted(stamps)
    known = {(r.address, r.size) for r in (GOAL, TORQUE, REGISTERS["torque_limit"])}
    assert {(write["address"], len(write["data"])) for write in writes} == known
    enabling = writes[: len(writes) - len(goals_after_torque(writes))]
    middle = start_positions(SO101)
    for servo in SERVOS:
        mine = [(write["address"], write["data"]) for write in enabling if write["servo"] == servo]
        stand = list(middle[servo].to_bytes(2, "little"))
        assert mine[:2] == [(GOAL.address, stand), (TORQUE.address, [1])]
    found = tracks(writes)
    assert len({len(track) for track in found.values()}) == 1
    for joint in SO101.joints:
        track = found[joint.servo] * 2 * np.pi / 4096
        zero = joint.zero_step * 2 * np.pi / 4096
        step = 2 * np.pi / 4096
        assert joint.lower_rad - step <= (track - zero).min()
        assert (track - zero).max() <= joint.upper_rad + step
        assert np.abs(np.diff(track)).max() <= SO101.limits.velocity_rad_s * 0.01 + 2 * step
    assert sum(np.unique(track).size > 3 for track in found.values()) >= 4


def test_the_next_command_works(demo: dict[str, Any]) -> None:
    """It needs neither the folder nor the PATH of the person who types it."""
    follow(demo["next"])


def follow(command: str) -> None:
    """Run what the demo says comes next: its bundle on the virtual arm."""
    assert Path(shlex.split(command)[0]).is_absolute()
    done = subprocess.run(f"{command} --json", shell=True, cwd="/", env={}, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["decisions"] > 0


def test_an_earlier_demo_stays(demo: dict[str, Any], folder: Path) -> None:
    """In a folder that was named; nothing is written without --force."""
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    done = dreamvla("demo", "-o", folder)
    assert (done.returncode, done.stdout) == (EXIT_CODES["OutputError"], "")
    assert cure_of(done.stderr) == (
        f"{folder / 'checkpoint.pth'} and {folder / 'bundle'} exist",
        "a folder without checkpoint and bundle",
        "choose another folder, or replace them with --force",
    )
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_full_disk(tmp_path: Path) -> None:
    """The made-up checkpoint alone takes 300 MB."""
    with small_disk(tmp_path) as (place, limits):
        done = dreamvla("demo", "-o", place / "demo", preexec_fn=limits)
        assert done.returncode == EXIT_CODES["OutputError"]
        found, _, cure = cure_of(done.stderr)
        assert found.startswith(f"{place / 'demo' / 'checkpoint.pth'} cannot be written (")
        assert cure == "free some space or choose another folder with -o"
        assert entries(place) == {"demo"}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Done]]:
    """One run in text, in a folder with a blank in its name."""
    folder = tmp_path_factory.mktemp("demo") / "in text"
    yield folder, dreamvla("demo", "--seconds", 1, "-o", folder)
    shutil.rmtree(folder)


@pytest.mark.slow
def test_text(told: tuple[Path, Done]) -> None:
    """Four numbered steps, results, and the next command as the last line."""
    folder, done = told
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line[0] for line in lines if line[:1].isdigit()] == ["1", "2", "3", "4"]
    assert str(folder / "checkpoint.pth") in done.stdout and INSTRUCTION in done.stdout
    rows = {line.split()[0]: line.split()[1:] for line in lines if line}
    for name in ("shoulder_pan", "gripper"):
        before, after, step = map(int, rows[name])
        assert (before, after - before) == (2048, step)
    rate = next(line for line in lines if "Hz" in line)
    assert "the data set has 30 Hz" in rate
    assert lines[-1].startswith("next: /")
    follow(lines[-1].removeprefix("next: "))


@pytest.mark.slow
def test_equal_seeds_give_equal_bundles(
    demo: dict[str, Any], folder: Path, told: tuple[Path, Done]
) -> None:
    """Every file but the golden data, whose archive holds the time of day."""
    manifests = [
        json.loads((place / "bundle" / "bundle.json").read_text()) for place in (folder, told[0])
    ]
    hashes = [
        {name: digest for name, digest in manifest["files"].items() if name != "golden.npz"}
        for manifest in manifests
    ]
    assert hashes[0] == hashes[1] and len(hashes[0]) == 13
    assert manifests[0]["source_sha256"] == manifests[1]["source_sha256"]


@pytest.mark.slow
@pytest.mark.parametrize("options", [["--black"], ["--instruction", "open the drawer"]])
def test_what_the_arm_sees_and_hears_matters(
    options: list[str], demo: dict[str, Any], tmp_path: Path
) -> None:
    """As the command is given; the exported network is the same."""
    done = dreamvla("demo", "--seconds", 2, "-o", tmp_path, "--json", *options)
    assert done.returncode == 0, done.stderr
    other = document(done)
    assert other["parity"] <= 1e-5
    ours, theirs = tracks(demo["bus_writes"]), tracks(other["bus_writes"])
    assert any(not np.array_equal(np.unique(ours[s]), np.unique(theirs[s])) for s in SERVOS)
    assert (np.max(other["brightness"]) <= 3) == ("--black" in options)
    shutil.rmtree(tmp_path)
