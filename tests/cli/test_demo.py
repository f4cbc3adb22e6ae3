"""`dreamvla demo`: what really went over the serial line, and what changes it."""

from __future__ import annotations

import json
import math
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from commands import Done, cure_of, document, dreamvla, entries, small_disk
from dreamvla_edge.cli.demo_run import drive
from dreamvla_edge.cli.exit_codes import EXIT_CODES
from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.runtime.arms.feetech import REGISTERS, decode
from dreamvla_edge.runtime.bundle import open_bundle

INSTRUCTION = "push the red block to the left"
SERVOS = load_description("so101").servos
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
    done = dreamvla("demo", "--seconds", 2, "-o", folder, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    return document(done)


def goals_after_torque(writes: Writes) -> Writes:
    """All goals that were written when every servo had its torque on."""
    last = max(i for i, write in enumerate(writes) if write["address"] == TORQUE.address)
    assert {write["servo"] for write in writes if write["address"] == TORQUE.address} == {*SERVOS}
    return [write for write in writes[last + 1 :] if write["address"] == GOAL.address]


def first_goals(writes: Writes) -> dict[int, int]:
    """The first goal of each servo that the policy chose [step]."""
    goals = goals_after_torque(writes)[: len(SERVOS)]
    assert {write["servo"] for write in goals} == {*SERVOS}
    return {write["servo"]: decode("goal_position", bytes(write["data"])) for write in goals}


def test_the_arm_moved(demo: dict[str, Any]) -> None:
    """From the middle of all servos to somewhere else."""
    before, after = demo["servos_before"], demo["servos_after"]
    assert set(before.values()) == {2048} and len(before) == len(SERVOS)
    assert sum(abs(after[name] - at) >= 10 for name, at in before.items()) >= 4
    assert all(0 <= at <= 4095 for at in after.values())


def test_the_policy_equals_the_released_loop(demo: dict[str, Any]) -> None:
    """While the window fills, when it has slid, and at the end."""
    steps = {int(step): error for step, error in demo["parity_by_step"].items()}
    last = demo["cycles"] - 1
    assert set(steps) == {step for step in (0, 5, 10, last) if step <= last}
    assert last >= 2
    assert all(0 < error <= 1e-5 for error in steps.values())
    assert demo["parity"] == max(steps.values())


def test_numbers(demo: dict[str, Any]) -> None:
    """Finite and of the right count; rate and stages are those of the run."""
    actions, chunks = np.array(demo["actions"]), np.array(demo["chunks"])
    assert actions.shape == (demo["cycles"], 7) and chunks.shape == (demo["cycles"], 3, 7)
    assert np.isfinite(actions).all() and np.isfinite(chunks).all()
    assert np.unique(actions[:, :6], axis=0).shape == (demo["cycles"], 6)
    assert demo["rate_hz"] == pytest.approx(demo["cycles"] / 2, rel=0.5)
    stages = demo["stage_ms"]
    assert {"cameras", "arm_read", "policy", "motion", "arm_write", "policy.vision"} < set(stages)
    assert all(0 < duration < 2000 for duration in stages.values())


def test_every_byte_on_the_bus_is_accounted_for(demo: dict[str, Any]) -> None:
    """Torque on where each servo stands, then six goals a cycle, then a hold of the joints."""
    writes = demo["bus_writes"]
    stamps = [write["stamp_s"] for write in writes]
    assert stamps == sorted(stamps)
    known = {(GOAL.address, GOAL.size), (TORQUE.address, TORQUE.size)}
    assert {(write["address"], len(write["data"])) for write in writes} == known
    goals = goals_after_torque(writes)
    enabling = writes[: len(writes) - len(goals)]
    for servo in SERVOS:
        mine = [(write["address"], write["data"]) for write in enabling if write["servo"] == servo]
        stand = list((2048).to_bytes(2, "little"))
        assert mine == [(GOAL.address, stand), (TORQUE.address, [1])]
    cycles = [goals[at : at + 6] for at in range(0, 6 * demo["cycles"], 6)]
    assert all({write["servo"] for write in cycle} == {*SERVOS} for cycle in cycles)
    held = [write["servo"] for write in goals[6 * demo["cycles"] :]]
    assert set(held) == {*SERVOS[:-1]} and len(held) <= 10  # the gripper keeps its grip
    for write in goals:
        assert 0 <= decode("goal_position", bytes(write["data"])) <= 4095


def test_same_seed_same_first_step(demo: dict[str, Any], folder: Path) -> None:
    """Later ones depend on when servos were read. A lens cap or another order changes the first."""
    bundle = open_bundle(folder / "bundle")

    def first(instruction: str = INSTRUCTION, seed: int = 0, black: bool = False) -> dict[int, int]:
        run = drive(bundle, instruction, 0.5, seed, black)
        return first_goals([write.as_dict() for write in run.writes])

    goals = first_goals(demo["bus_writes"])
    assert first() == goals
    assert first(black=True) != goals
    assert first(instruction="open the drawer") != goals
    assert first(seed=1) != goals


def test_the_next_command_works(demo: dict[str, Any], folder: Path) -> None:
    """It needs neither the folder nor the PATH of the person who types it."""
    follow(demo["next"], folder)


def follow(command: str, folder: Path) -> None:
    """Run what the demo says comes next; it draws the mask."""
    assert Path(shlex.split(command)[0]).is_absolute()
    done = subprocess.run(command, shell=True, cwd="/", env={}, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    with Image.open(folder / "mask.png") as picture:
        assert picture.width > 800


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
    assert "the data set asks for 30 Hz" in rate
    assert lines[-1].startswith("next: /")
    follow(lines[-1].removeprefix("next: "), folder)


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
    assert first_goals(other["bus_writes"]) != first_goals(demo["bus_writes"])
    assert math.isfinite(other["rate_hz"])
    shutil.rmtree(tmp_path)
