"""A cause that is planted in a healthy recording is named first; a healthy one names none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dreamvla_edge.runtime.guardian.message import Limit, State
from dreamvla_edge.runtime.recording.diagnosis import Diagnosis, diagnose
from dreamvla_edge.runtime.recording.recorder import Recorder
from dreamvla_edge.runtime.recording.recording import open_recording
from dreamvla_edge.runtime.recording.step import Step
from recording.recordings import (
    CHUNK,
    JOINTS,
    PERIOD_S,
    START_S,
    header,
    random_step,
    steady_report,
)

STEPS = 150
CYCLES = int(STEPS * PERIOD_S * 100)
LAG_S = 0.03
Steps = list[Step]
Reports = list[np.ndarray]


def path(time_s: np.ndarray | float) -> np.ndarray:
    """Where the arm goes: (n, JOINTS) [rad], each joint at its own pace."""
    phase = np.multiply.outer(np.asarray(time_s) - START_S, np.linspace(0.8, 1.4, JOINTS))
    return 0.5 * np.sin(phase)


def healthy() -> tuple[Steps, Reports]:
    """A policy that is in time and an arm that follows."""
    random = np.random.default_rng(0)
    steps = []
    for number in range(STEPS):
        seen_s = START_S + number * PERIOD_S
        times_s = seen_s + PERIOD_S * np.arange(1, CHUNK + 1)
        steps.append(
            replace(
                random_step(random, number, number == 0),
                observed_s=seen_s,
                primary_s=seen_s - 0.004,
                wrist_s=seen_s - 0.012,
                times_ns=(times_s * 1e9).astype(np.int64),
                joints=path(times_s) + random.normal(0, 0.002, (CHUNK, JOINTS)),
                spans={"policy": (seen_s, seen_s + 0.015 + random.uniform(0, 0.003))},
                position_error_m=0.001,
                speed=1.0,
            )
        )
    reports = []
    for cycle in range(CYCLES):
        report = steady_report(cycle, np.zeros(JOINTS))
        time_s = report["deadline_ns"] * 1e-9
        report["asked"][:JOINTS] = report["sent"][:JOINTS] = path(time_s)
        report["measured"][:JOINTS] = path(time_s - LAG_S)
        report["lateness_ns"] = int(random.uniform(30_000, 200_000))
        report["load"][: JOINTS + 1] = random.uniform(0.05, 0.3, JOINTS + 1)
        report["voltage_v"][: JOINTS + 1] = random.uniform(11.9, 12.1, JOINTS + 1)
        report["limit"] = Limit.ACCELERATION if cycle % 50 == 0 else Limit.NONE
        report["limit_joint"] = 1 if cycle % 50 == 0 else -1
        reports.append(report)
    return steps, reports


def late(steps: Steps, reports: Reports) -> None:
    """Every tenth chunk takes 200 ms: the waypoints end after 100 ms, and the arm holds."""
    for number in range(5, STEPS, 10):
        seen_s = steps[number].observed_s
        steps[number] = replace(steps[number], spans={"policy": (seen_s, seen_s + 0.2)})
        for report in reports[number * 3 : number * 3 + 6]:
            report["state"] = State.HOLD


def held(steps: Steps, reports: Reports) -> None:
    """A camera makes the guardian hold three times, for 0.3 s each."""
    for begin in (100, 200, 300):
        for report in reports[begin : begin + 30]:
            report["state"], report["reason"] = State.HOLD, b"wrist camera: 200 ms old"


def throttling(steps: Steps, reports: Reports) -> None:
    """A step takes 15 ms at first and 140 ms at the end, which makes the last chunks late."""
    for number, step in enumerate(steps):
        took_s = 0.015 + 0.125 * max(0, number - 50) / 100
        steps[number] = replace(step, spans={"policy": (step.observed_s, step.observed_s + took_s)})


def jumping(steps: Steps, reports: Reports) -> None:
    """Every other chunk aims 0.15 rad beside the others in the third joint."""
    for number in range(0, STEPS, 2):
        joints = steps[number].joints.copy()
        joints[:, 2] += 0.15
        steps[number] = replace(steps[number], joints=joints)


def unreachable(steps: Steps, reports: Reports) -> None:
    """A third of the poses lie 4 cm beyond the reach."""
    for number in range(0, STEPS, 3):
        steps[number] = replace(steps[number], position_error_m=0.04)


def skewed(steps: Steps, reports: Reports) -> None:
    """The wrist camera shows what was 250 ms ago."""
    for number, step in enumerate(steps):
        steps[number] = replace(step, wrist_s=step.observed_s - 0.25)


def frozen(steps: Steps, reports: Reports) -> None:
    """The primary camera gives every frame twice."""
    for number in range(1, STEPS, 2):
        steps[number] = replace(steps[number], primary_s=steps[number - 1].primary_s)


def slowed(steps: Steps, reports: Reports) -> None:
    """Velocity limits at a quarter, which clip."""
    for cycle, report in enumerate(reports):
        report["speed"] = 0.25
        if cycle % 3 == 0:
            report["limit"], report["limit_joint"] = Limit.VELOCITY, 0


def clipped(steps: Steps, reports: Reports) -> None:
    """The elbow is asked beyond its range in a fifth of the cycles."""
    for report in reports[::5]:
        report["limit"], report["limit_joint"] = Limit.POSITION, 2


def sagging(steps: Steps, reports: Reports) -> None:
    """Under load the supply falls to 9.5 V, and the servos stay behind."""
    for cycle, report in enumerate(reports):
        if cycle % 10 < 2:
            report["load"][1] = 0.9
            report["voltage_v"][: JOINTS + 1] = 9.5
            report["measured"][1] -= 0.3


def weak(steps: Steps, reports: Reports) -> None:
    """The second joint stays 0.4 rad behind."""
    for report in reports:
        report["measured"][1] -= 0.4


def hot(steps: Steps, reports: Reports) -> None:
    """The gripper's servo heats up to 68 °C."""
    for cycle, report in enumerate(reports):
        report["temperature_c"][JOINTS] = 35 + 33 * cycle / len(reports)


def unscheduled(steps: Steps, reports: Reports) -> None:
    """One cycle in fifty begins 8 ms late."""
    for report in reports[::50]:
        report["lateness_ns"] = 8_000_000


def lossy(steps: Steps, reports: Reports) -> None:
    """One reading in twenty is lost."""
    for cycle, report in enumerate(reports):
        report["rejected"] = cycle // 20


PLANTED: dict[Callable[[Steps, Reports], None], tuple[str, str]] = {
    late: (
        "late chunks",
        "15 of 149 chunks came after the last waypoint of the one before, the worst 133 ms",
    ),
    held: (
        "holds",
        "3 times, 18 % of the time between its first and last motion: wrist camera (3)",
    ),
    throttling: ("throttling", "ms at the end"),
    jumping: ("chunk-to-chunk jump", "elbow_flex"),
    unreachable: ("unreachable poses", "40.0 mm"),
    skewed: ("camera skew or old frames", "frames of wrist are 250 ms old"),
    frozen: ("camera skew or old frames", "50 % of the steps saw a frame of primary again"),
    slowed: ("slowed on purpose", "velocity limits at 0.25"),
    clipped: ("clipping", "elbow_flex position 20 %"),
    sagging: ("voltage sag", "from 12.0 V to 9.5 V (21 %) while the largest load is 90 %"),
    weak: ("servos do not follow", "shoulder_lift"),
    hot: ("hot servos", "68 °C"),
    unscheduled: ("guardian lateness", "8.00 ms late"),
    lossy: ("bus losses", "24 readings in 500 cycles"),
}
"""What is planted, and the cause that must come first with this in its evidence."""


def diagnosed(folder: Path, steps: Steps, reports: Reports) -> Diagnosis:
    """Of a recording that was written and read."""
    recorder = Recorder(folder, header())
    for step in steps:
        recorder.step(step)
    for report in reports:
        recorder.report(report.tobytes())
    assert not recorder.close().dropped
    return diagnose(open_recording(folder))


def test_a_healthy_recording_names_no_cause(tmp_path: Path) -> None:
    diagnosis = diagnosed(tmp_path / "r", *healthy())
    assert diagnosis.causes == ()
    assert len(diagnosis.others) == 13
    assert max(cause.score for cause in diagnosis.others) < 0.8
    assert diagnosis.missing == ()
    scores = {cause.name: cause.score for cause in diagnosis.others}
    # Plans that agree up to 2 mrad of noise do not jump, however far they move.
    assert scores["chunk-to-chunk jump"] < 0.3


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_the_planted_cause_comes_first(
    tmp_path: Path, plant: Callable[[Steps, Reports], None]
) -> None:
    steps, reports = healthy()
    plant(steps, reports)
    diagnosis = diagnosed(tmp_path / "r", steps, reports)
    name, evidence = PLANTED[plant]
    assert diagnosis.causes[0].name == name
    assert evidence in diagnosis.causes[0].evidence
    assert diagnosis.causes[0].cure
    # What else is named follows from it.
    followers = {"throttling": {"late chunks"}, "slowed on purpose": {"clipping"}}
    followers["late chunks"] = {"holds"}
    followers["voltage sag"] = {"servos do not follow"}
    assert {cause.name for cause in diagnosis.causes[1:]} <= followers.get(name, set())


def test_what_cannot_be_examined_is_said(tmp_path: Path) -> None:
    steps, reports = healthy()
    assert len(diagnosed(tmp_path / "steps", steps, []).missing) == 2
    (missing,) = diagnosed(tmp_path / "reports", [], reports).missing
    assert "no steps" in missing
    for report in reports:
        report["state"] = State.HOLD
    (missing,) = diagnosed(tmp_path / "held", steps, reports).missing
    assert "never followed" in missing
    assert len(diagnosed(tmp_path / "nothing", [], []).missing) == 3
