"""Drives an arm for a profile and keeps what every decision, cycle and sample says."""

from __future__ import annotations

import contextlib
import itertools
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dreamvla_edge.runtime.bundle import Bundle
from dreamvla_edge.runtime.cameras.source import CameraSource
from dreamvla_edge.runtime.errors import ProfileError
from dreamvla_edge.runtime.guardian.client import socket_path
from dreamvla_edge.runtime.guardian.message import REPORT, Order, State, readable
from dreamvla_edge.runtime.pilot.pilot import Decision
from dreamvla_edge.runtime.profiler import process
from dreamvla_edge.runtime.profiler.rhythm import Rhythm, of_a_cycle, of_cameras
from dreamvla_edge.runtime.profiler.sample import Sample
from dreamvla_edge.runtime.profiler.telemetry import open_telemetry
from dreamvla_edge.runtime.profiler.timeline import Timeline, first_sent_s, timeline
from dreamvla_edge.runtime.robot import VIRTUAL, load_robot
from dreamvla_edge.runtime.stopwatch import Spans
from dreamvla_edge.sim.writes import read_writes

from .robot_text import new_text
from .session import Session, Wishes, session

ARM = "so101"
EVENLY = tuple(1.2207440846057596**-power for power in (1, 2, 3))
"""How old both pictures are when a step begins, and how long goals wait for the guardian's cycle,
follow from how these rhythms lie to each other. In a run that is chance; here every step moves them
on by these shares of their periods, which goes through all three together evenly, so that two
profiles agree (Kronecker's sequence with the root of x⁴ = x + 1: Roberts, Unreasonable
effectiveness of quasirandom sequences, 2018)."""
_CAMERA_HZ, _CYCLE_S, _REST_S = 30.0, 0.01, 0.04
INSTRUCTION = "push the red block to the left"
UNTIL = {
    (True, True): "the last serial byte, by the bus's clock",
    (True, False): "goals that are about to be sent",
    (False, False): "goals that would be sent: torque is off",
}
"""What end to end ends with: whether the arm is virtual, whether its bytes were found."""
_GOAL = {"feetech": 42}
"""Protocol → the register of goals, for those whose bytes the bus's log can be searched for."""
_SILENT_S = 60.0
"""Without a decision for so long nothing will come any more."""
_LAST_S, _CLEARED_S = 0.1, 0.5
_BEGINNINGS = 20


@dataclass(frozen=True)
class Asked:
    """What shall be measured; see the options of `dreamvla profile`."""

    robot: Path | None = None
    runs: int = 200
    warm_up: int = 10
    rate_hz: float | None = None
    backend: str = "onnxruntime"
    threads: int | None = None
    sampler: str | None = None


class Decided(NamedTuple):
    """A decision: the sequence of its command, its spans, the stamps of both pictures [s]."""

    sequence: int
    spans: Spans
    stamps_s: tuple[float, float]


class Spent(NamedTuple):
    """Processor time of the policy's process, guardian, virtual bus and all programs [s]."""

    policy_s: float | None
    guardian_s: float | None
    bus_s: float | None
    all_s: float | None


@dataclass(frozen=True, eq=False)
class Seen:
    """What is known while an arm is driven.

    decided: in their order; samples: from `telemetry`; begin_s, end_s: of the measured time,
    monotonic [s]; load: running programs per core before it; spent: processor time meanwhile;
    policy, guardian: memory of both processes; step_hz: of decisions; period_s: asked for;
    time_base: as it was at the end.
    """

    decided: list[Decided]
    samples: tuple[Sample, ...]
    telemetry: str
    begin_s: float
    end_s: float
    load: float
    spent: Spent
    policy: process.Memory | None
    guardian: process.Memory | None
    step_hz: float
    period_s: float
    time_base: str


@dataclass(frozen=True, eq=False)
class Run:
    """What came of it.

    timelines: of the decisions that count; rhythms: by stage, what they waited for there;
    left_out: decisions whose goals never left; reports: of the guardian while it was measured
    (n,); until: what a timeline ends with; arm, cameras: whose.
    """

    seen: Seen
    timelines: list[Timeline]
    rhythms: dict[str, Rhythm]
    left_out: int
    reports: NDArray[Any]
    until: str
    arm: str
    cameras: tuple[str, ...]


def drive(bundle: Bundle, asked: Asked, progress: Callable[[str], None]) -> Run:
    """Drives a virtual arm, or looks at a real one with its torque as it is.

    Raises what a run raises, and ProfileError if no decision reaches the servos.
    """
    process.forget_peak()  # of what went before, such as measuring the roof
    with tempfile.TemporaryDirectory(prefix="dreamvla-profile-") as temporary:
        folder = Path(temporary)
        rate_hz = asked.rate_hz or bundle.manifest.specification.action.rate_hz
        file = asked.robot or _virtual_robot(folder, rate_hz)
        robot = load_robot(file)
        virtual = robot.arm.port == VIRTUAL
        log, packets = folder / "bus.log", list[bytes]()
        wishes = Wishes(
            INSTRUCTION,
            shadow=not virtual,
            threads=asked.threads,
            sampler=asked.sampler,
            force=True,  # what the cameras show and where the arm stands changes no times
            bus_log=log if virtual else None,
            seed=0,
            backend=asked.backend,
            rate_hz=asked.rate_hz,
            keep=packets.append,
        )
        lock = socket_path(file).with_suffix(".lock")
        try:
            with session(bundle, file, wishes, progress) as parts:
                seen = _seen(parts, asked, progress)
                arm, protocol = parts.description.name, parts.description.protocol
        finally:
            if asked.robot is None:  # nobody else can know this robot
                with contextlib.suppress(OSError):
                    lock.unlink()
        bytes_s = _goals_s(log, _GOAL[protocol]) if virtual and protocol in _GOAL else None
    reports = np.frombuffer(b"".join(packets), REPORT)
    sent_s = first_sent_s(reports)
    pairs = [(timeline(o.sequence, o.spans, sent_s, bytes_s), o.stamps_s) for o in seen.decided]
    found = [(one, stamps_s) for one, stamps_s in pairs if one is not None]
    if not found:
        raise ProfileError(
            f"none of {len(pairs)} decisions reached the servos",
            "goals that follow from decisions",
            "see what the guardian says in `dreamvla run` with the same robot file",
        )
    timelines = [one for one, _ in found]
    rhythms = {"guardian": _of_the_guardian(timelines, reports)}
    if asked.robot is None:  # of real cameras the phases stay what they are
        rates = robot.cameras.primary.fps, robot.cameras.wrist.fps
        rhythms["capture"] = _of_the_cameras(found, (1 / rates[0], 1 / rates[1]))
    until = UNTIL[(virtual, bytes_s is not None)]
    return Run(
        seen,
        timelines,
        rhythms,
        len(pairs) - len(found),
        reports[reports["deadline_ns"] >= seen.begin_s * 1e9],
        until,
        f"virtual {arm}" if virtual else arm,
        (robot.cameras.primary.kind, robot.cameras.wrist.kind),
    )


def _of_the_guardian(timelines: Sequence[Timeline], reports: NDArray[Any]) -> Rhythm:
    """Its cycle, and how long every decision's goals had to wait for the next."""
    due_s = np.unique(reports["deadline_ns"]) / 1e9
    ready_s = [one.path["guardian"][0] for one in timelines]
    return of_a_cycle(ready_s, due_s[-1], float(np.median(np.diff(due_s))))


def _of_the_cameras(
    found: Sequence[tuple[Timeline, tuple[float, float]]], periods_s: tuple[float, float]
) -> Rhythm:
    """How old the pictures were when each step had both."""
    ages_s = [[one.path["capture"][1] - stamp_s for stamp_s in stamps] for one, stamps in found]
    return of_cameras(np.array(ages_s), periods_s)


def _virtual_robot(folder: Path, rate_hz: float) -> Path:
    file = folder / "robot.toml"
    least = max(1, round(_CAMERA_HZ / rate_hz))  # pictures per step
    cameras = {
        name: CameraSource("simulated", fps=round((least + 1 - share) * rate_hz, 3))
        for name, share in zip(("primary", "wrist"), EVENLY, strict=False)
    }
    file.write_text(new_text("profile", ARM, VIRTUAL, cameras))
    return file


def _seen(parts: Session, asked: Asked, progress: Callable[[str], None]) -> Seen:
    warm_up = parts.policy.bundle.manifest.network.window + asked.warm_up
    steps = _decisions(parts, warm_up)
    progress(f"warming up with {warm_up} decisions, then measuring {asked.runs}")
    decided: list[Decided] = []
    guardian = parts.guardian.pid
    next(steps)  # the first with a full window
    with open_telemetry() as telemetry:
        before = next(steps)  # does not count either
        load = os.getloadavg()[0] / (os.cpu_count() or 1)
        spent = _spent(parts)
        while len(decided) < asked.runs:
            decision = next(steps)
            step = decision.step
            stamps_s = step.primary_s, step.wrist_s
            decided.append(Decided(decision.sequence, dict(step.spans), stamps_s))
        end_s = time.monotonic()
        spent = _since(spent, _spent(parts))
        time.sleep(_LAST_S)  # until the last goals have left
        samples = telemetry.samples
        source = telemetry.source
    begin_s = before.step.spans["policy"][0]
    return Seen(
        decided,
        samples,
        source,
        begin_s,
        end_s,
        load,
        spent,
        policy=process.memory(),
        guardian=process.memory(guardian),
        step_hz=len(decided) / (decided[-1].spans["policy"][0] - begin_s),
        period_s=parts.period_s,
        time_base="stretched" if parts.pilot.factor < 1 else "real",
    )


def _spent(parts: Session) -> Spent:
    bus = None if parts.bus is None else process.processor_s(parts.bus.process.pid)
    own = process.processor_s(), process.processor_s(parts.guardian.pid)
    return Spent(*own, bus, process.busy_s())


def _since(then: Spent, now: Spent) -> Spent:
    return Spent(
        *(None if a is None or b is None else b - a for a, b in zip(then, now, strict=True))
    )


def _decisions(parts: Session, warm_up: int) -> Iterator[Decision]:
    """Decisions with a full window, without the first `warm_up` after every beginning.

    What is computed ahead is waited for before a step begins, so that it is off the path as it is
    where the rate leaves time for it; where there is no rate to keep, cameras then get the time to
    deliver what they took beside it. A virtual arm in fault, as it gets where this machine leaves
    its bus no time, is cleared. Raises ProfileError when no decision comes any more, or the policy
    has to begin anew again and again.
    """
    since, beginnings, heard_s = 0, 0, time.monotonic()
    for turn in itertools.count():
        parts.policy.settle()
        due_s, now_s = parts.pilot.next_s, time.monotonic()
        if parts.pilot.factor < 1:
            due_s = max(due_s, now_s + _REST_S)
        time.sleep(max(0.0, due_s + turn * EVENLY[2] % 1 * _CYCLE_S - now_s))
        decision = parts.pilot.step()
        if decision is None:
            fault = State(int(parts.watch.report["state"])) is State.FAULT
            if fault and parts.bus is not None:
                parts.watch.order(Order.CLEAR)
                time.sleep(_CLEARED_S)
            if time.monotonic() - heard_s > _SILENT_S or (fault and parts.bus is None):
                raise _silent(parts)
            continue
        heard_s = time.monotonic()
        since = 0 if decision.step.first else since + 1
        beginnings += decision.step.first
        if beginnings > _BEGINNINGS:
            raise _silent(parts)
        if since >= warm_up:
            yield decision


def _silent(parts: Session) -> ProfileError:
    report = parts.watch.report
    state = f"{State(int(report['state'])).name} {readable(report['reason'])}".strip()
    return ProfileError(
        f"the policy is stopped, or has to begin anew again and again; guardian: {state};"
        f" cameras: {parts.watch.blind or 'good'}",
        "an arm that may move, cameras that are good, and a machine that has time for them",
        "remove the cause, end other programs, or lower --rate if it was given; then profile again",
    )


def _goals_s(log: Path, register: int) -> list[float]:
    """When the last byte of every packet of goals was at the servos [s], rising."""
    return sorted({w["stamp_s"] for w in read_writes(log) if w["address"] == register})
