"""Recordings made up for tests, written by the real recorder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from dreamvla_edge.export.data_set import load_data_set
from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.runtime.guardian.message import State, new_report
from dreamvla_edge.runtime.recording.header import Header
from dreamvla_edge.runtime.recording.recorder import Recorder
from dreamvla_edge.runtime.recording.recording import Recording, open_recording
from dreamvla_edge.runtime.recording.step import Observation, Step

START_S = 100.0
RATE_HZ = 30.0
PERIOD_S = 1 / RATE_HZ
CHUNK = 3
JOINTS = 5


def header(lossless: bool = False, data_set: str = "calvin") -> Header:
    """Of an SO-101 with the numbers of a shipped data set."""
    return Header(
        robot="table",
        arm=load_description("so101"),
        specification=load_data_set(data_set).specification,
        rate_hz=RATE_HZ,
        started="2026-01-01T00:00:00+00:00",
        version="0.1.0",
        lossless=lossless,
        bundle="test",
        contract_sha256="0" * 64,
    )


def random_step(random: np.random.Generator, number: int, first: bool = False) -> Step:
    """A step whose every number is random, full of bits."""
    observed_s = START_S + number * PERIOD_S
    return Step(
        observed_s=observed_s,
        primary_s=observed_s,
        wrist_s=observed_s - 0.003,
        instruction="push the red block to the left",
        first=first,
        state=random.standard_normal(7).astype(np.float32),
        chunk=random.standard_normal((CHUNK, 7)).astype(np.float32),
        action=np.append(random.uniform(-1, 1, 6), 1).astype(np.float32),
        times_ns=random.integers(0, 2**60, CHUNK),
        joints=random.uniform(-1, 1, (CHUNK, JOINTS)),
        gripper=random.uniform(0, 1, CHUNK),
        spans={
            "policy": (observed_s, observed_s + 0.01),
            "vision": (observed_s, observed_s + 0.004),
        },
        noise=random.standard_normal((CHUNK, 7)).astype(np.float32),
        position_error_m=float(random.uniform(0, 1e-3)),
        orientation_error_rad=float(random.uniform(0, 1e-2)),
        speed=0.5,
        before=(Observation(observed_s - 0.01, observed_s - 0.02, np.full(7, number, np.float32)),),
    )


def picture(number: int, height: int, width: int) -> np.ndarray:
    """A smooth picture with an edge, as of a camera; another one for every number."""
    rows, columns = np.mgrid[:height, :width]
    red = 128 + 100 * np.sin(2 * np.pi * (columns / width + number / 17))
    green = 255 * rows / height
    blue = np.where(columns + rows > (number % 9 + 3) * width / 8, 200, 60)
    return np.stack([red, green, blue], -1).astype(np.uint8)


def steady_report(cycle: int, joints: np.ndarray) -> np.ndarray:
    """The report of a healthy arm that is where it shall be; 100 a second, from 20 ms before."""
    report = new_report()
    deadline_ns = round(START_S * 1e9) + (cycle - 2) * 10_000_000
    report["state"], report["cycle"], report["deadline_ns"] = State.TRACK, cycle, deadline_ns
    report["lateness_ns"], report["servos"], report["speed"] = 60_000, JOINTS + 1, 1.0
    report["reading_ns"], report["written"], report["bus_ns"] = (
        deadline_ns + 1_000_000,
        1,
        2_000_000,
    )
    for name in ("measured", "asked", "sent"):
        report[name][:JOINTS] = joints
    report["velocity"][:JOINTS] = 0.0
    report["gripper"] = 0.5
    servos = JOINTS + 1
    report["load"][:servos], report["current_a"][:servos] = 0.1, 0.2
    report["voltage_v"][:servos], report["temperature_c"][:servos] = 12.0, 35.0
    report["transactions"] = 2 * cycle
    return report


def made(
    folder: Path,
    steps: int = 12,
    lossless: bool = False,
    seed: int = 0,
    resets: tuple[int, ...] = (),
) -> tuple[Recording, list[Step]]:
    """A recording with frames, reports and random steps, and the steps that went into it."""
    random = np.random.default_rng(seed)
    recorder = Recorder(folder, header(lossless))
    recorder.event("start", "test")
    given = []
    for number in range(steps):
        step = random_step(random, number, number == 0 or number in resets)
        task = max((reset for reset in resets if reset <= number), default=0)
        step = replace(step, instruction=f"task {task}")
        recorder.frame("primary", picture(number, 200, 200), step.primary_s)
        recorder.frame("wrist", picture(number + 5, 84, 84), step.wrist_s)
        recorder.step(step)
        for cycle in range(number * 3, number * 3 + 3):
            joints = 0.3 * np.sin(cycle / 20 + np.arange(JOINTS))
            recorder.report(steady_report(cycle, joints).tobytes())
        given.append(step)
    recorder.close("success")
    return open_recording(folder), given
