"""A recording given to a policy again computes the same, and to an arm again moves it the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from bundles import Bundles
from commands import cure_of, document, dreamvla
from dreamvla_edge.cli.robot_text import new_text
from dreamvla_edge.runtime.cameras.source import CameraSource
from dreamvla_edge.runtime.chunk import action_use
from dreamvla_edge.runtime.manifest import contract_sha256
from dreamvla_edge.runtime.policy import Policy
from dreamvla_edge.runtime.recording.recorder import Recorder
from dreamvla_edge.runtime.recording.recording import open_recording
from dreamvla_edge.runtime.recording.replay import replayed
from dreamvla_edge.runtime.recording.step import Step
from dreamvla_edge.sim.bus_process import BusProcess
from recording.recordings import (
    JOINTS,
    PERIOD_S,
    START_S,
    header,
    picture,
    random_step,
    steady_report,
)

SIMULATED = {role: CameraSource(kind="simulated") for role in ("primary", "wrist")}


@pytest.fixture(scope="module")
def played(bundles: Bundles, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A bundle, and the lossless recording of a policy that was once shown a frame and reset."""
    bundle = bundles.bundle("calvin_small")
    manifest = bundle.manifest
    folder = tmp_path_factory.mktemp("played") / "r"
    contract = contract_sha256(manifest.network, manifest.specification, manifest.preprocessing)
    recorder = Recorder(
        folder,
        msgspec.structs.replace(
            header(lossless=True), specification=manifest.specification, contract_sha256=contract
        ),
    )
    random = np.random.default_rng(0)
    use = action_use(manifest.specification.action)
    with Policy(bundle) as policy:
        for number in range(7):
            first = number in (0, 4)
            step = random_step(random, number, first)
            if first:
                policy.reset("push the block")
                use.reset()
            before = step.before if number == 2 else ()
            for seen in before:
                frames = picture(50, 200, 200), picture(51, 84, 84)
                recorder.frame("primary", frames[0], seen.primary_s)
                recorder.frame("wrist", frames[1], seen.wrist_s)
                policy.observe(*frames, seen.state)
            frames = picture(number, 200, 200), picture(number + 9, 84, 84)
            recorder.frame("primary", frames[0], step.primary_s)
            recorder.frame("wrist", frames[1], step.wrist_s)
            chunk = policy.act(*frames, step.state, step.noise)
            recorder.step(
                replace(
                    step,
                    instruction="push the block",
                    before=before,
                    chunk=chunk.actions,
                    action=use.use(chunk.actions),
                )
            )
    recorder.close()
    return bundle.path, folder


def test_the_same_policy_decides_the_same(played: tuple[Path, Path]) -> None:
    bundle, folder = played
    done = dreamvla("replay", folder, "--policy", bundle, "--json")
    assert done.returncode == 0, done.stderr
    said = document(done)
    assert len(said["errors"]) == 7
    assert said["error"] <= 1e-5
    assert said["same_contract"] and said["lossless"]
    assert said["repeated_frames"] == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda step: replace(step, noise=step.noise + 1),
        lambda step: replace(step, state=step.state + 1),
        lambda step: replace(step, before=()),
        lambda step: replace(step, primary_s=START_S),
        lambda step: replace(step, first=True),
        lambda step: replace(step, instruction="something else"),
    ],
    ids=["noise", "state", "observation", "frame", "reset", "instruction"],
)
def test_whatever_differs_is_found(
    played: tuple[Path, Path], change: Callable[[Step], Step]
) -> None:
    bundle, folder = played
    recording = open_recording(folder)
    steps = list(recording.steps)
    steps[2] = change(steps[2])
    changed = replace(recording, steps=tuple(steps))
    with Policy(bundle) as policy:
        errors = replayed(changed, policy).errors
    assert max(errors[:2]) <= 1e-5
    assert errors[2] > 1e-4


def test_chunks_of_unknown_noise_are_not_compared(
    played: tuple[Path, Path], tmp_path: Path
) -> None:
    bundle, folder = played
    recording = open_recording(folder)
    recorder = Recorder(tmp_path / "r", recording.header)
    recorder.step(replace(recording.steps[0], noise=None))
    recorder.close()
    done = dreamvla("replay", tmp_path / "r", "--policy", bundle)
    assert done.returncode == 15
    assert "noise" in cure_of(done.stderr)[0]


def wave(time_s: np.ndarray | float) -> np.ndarray:
    """A slow motion of every joint [rad], at a time of a recording."""
    return 0.13 + 0.12 * np.sin(np.asarray(time_s) - START_S)


def test_an_arm_moves_as_recorded(tmp_path: Path) -> None:
    steps, cycles = 60, 220
    recorder = Recorder(tmp_path / "r", header())
    for number in range(steps):
        seen_s = START_S + number * PERIOD_S
        times_s = seen_s + PERIOD_S * np.arange(1, 4)
        recorder.step(
            replace(
                random_step(np.random.default_rng(0), number, number == 0),
                observed_s=seen_s,
                times_ns=(times_s * 1e9).astype(np.int64),
                joints=np.tile(wave(times_s)[:, None], (1, JOINTS)),
                gripper=np.full(3, 0.5),
            )
        )
    for cycle in range(cycles):
        report = steady_report(cycle, np.zeros(JOINTS))
        report["measured"][:JOINTS] = wave(report["reading_ns"] * 1e-9)
        recorder.report(report.tobytes())
    recorder.close()
    robot = tmp_path / "robot.toml"
    with BusProcess("so101", link=tmp_path / "port") as bus:
        robot.write_text(new_text("table", "so101", bus.port, SIMULATED))
        start = float(bus.command("position 1"))
        done = dreamvla("replay", tmp_path / "r", "--arm", robot, "--speed", 0.5, "--json")
        assert done.returncode == 0, done.stderr
        end = float(bus.command("position 1"))
    said = document(done)
    assert said["steps"] == steps
    assert said["difference_rad"] < 0.05
    last = float(wave(START_S + (steps + 2) * PERIOD_S))
    assert start == pytest.approx(2048, abs=1)
    assert (end - 2048) * 2 * np.pi / 4096 == pytest.approx(last, abs=0.03)


@pytest.mark.parametrize(
    ("arm", "ahead_s", "said"),
    [("koch", 0.1, "moved a so101"), ("so101", 1e9, "s after its observation")],
)
def test_what_no_arm_could_follow_is_refused(
    tmp_path: Path, arm: str, ahead_s: float, said: str
) -> None:
    recorder = Recorder(tmp_path / "r", header())
    step = random_step(np.random.default_rng(0), 0)
    times_s = step.observed_s + ahead_s * np.array([0.1, 0.5, 1.0])
    recorder.step(replace(step, times_ns=(times_s * 1e9).astype(np.int64)))
    recorder.close()
    robot = tmp_path / "robot.toml"
    robot.write_text(new_text("table", arm, "virtual", SIMULATED))
    done = dreamvla("replay", tmp_path / "r", "--arm", robot)
    assert done.returncode == 15
    assert said in cure_of(done.stderr)[0]
