"""All parts of a run, opened in order and closed in the opposite one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from dreamvla_edge.runtime import motion
from dreamvla_edge.runtime.arms.description import ArmDescription
from dreamvla_edge.runtime.arms.kinematics import chain_of
from dreamvla_edge.runtime.bundle import Bundle
from dreamvla_edge.runtime.cameras.camera_pair import CameraPair, Sight
from dreamvla_edge.runtime.errors import (
    ArmError,
    GuardianError,
    LatencyError,
    ObservationError,
    RobotError,
)
from dreamvla_edge.runtime.guardian.client import Client
from dreamvla_edge.runtime.guardian.message import Order, State, readable
from dreamvla_edge.runtime.guardian.plan import HORIZON_S
from dreamvla_edge.runtime.guardian.process import GuardianProcess
from dreamvla_edge.runtime.guardian.report import reading_of
from dreamvla_edge.runtime.manifest import contract_sha256
from dreamvla_edge.runtime.pilot.pilot import Pilot
from dreamvla_edge.runtime.pilot.time_base import TimeBase, Wish, choose
from dreamvla_edge.runtime.pilot.watch import Watch
from dreamvla_edge.runtime.policy import Policy
from dreamvla_edge.runtime.profiler.stage_ring import SUFFIX, StageRing
from dreamvla_edge.runtime.recording.header import Header
from dreamvla_edge.runtime.recording.recorder import Recorder
from dreamvla_edge.runtime.robot import Robot, describe, load_robot
from dreamvla_edge.runtime.robot_check import mismatches
from dreamvla_edge.runtime.samplers.named import replacement
from dreamvla_edge.sim.bus_process import BusProcess

from .live_arm import virtual_bus

_FIRST_FRAME_S, _READY_S = 10.0, 15.0
_TIMED_STEPS = 5


@dataclass(frozen=True)
class Wishes:
    """What a run is asked for; see the options of `dreamvla run`.

    bus_log: what a virtual arm's bus writes; rate_hz: of steps, instead of the data set's;
    keep: gets every report of the guardian, unless a recording does.
    """

    instruction: str
    speed: float = 1.0
    shadow: bool = False
    limp: bool = False
    ordinary: bool = False
    time_base: Wish = "auto"
    record: Path | None = None
    lossless: bool = False
    threads: int | None = None
    sampler: str | None = None
    force: bool = False
    bus_log: Path | None = None
    seed: int | None = None
    backend: str = "onnxruntime"
    rate_hz: float | None = None
    keep: Callable[[bytes], None] | None = None


@dataclass(frozen=True, eq=False)
class Session:
    """A run that is ready: the guardian holds the arm, the policy has its instruction.

    period_s: between two steps in real time; bus: the virtual arm's, None for a real one;
    recorder: None unless a recording was asked for.
    """

    robot: Robot
    description: ArmDescription
    guardian: GuardianProcess
    policy: Policy
    pilot: Pilot
    watch: Watch
    base: TimeBase
    period_s: float
    recorder: Recorder | None
    bus: BusProcess | None

    def bus_position(self, servo: int) -> int:
        """Where a servo of the virtual arm is [step]."""
        assert self.bus is not None
        return round(float(self.bus.command(f"position {servo}")))

    def note(self, kind: str, text: str) -> None:
        """An event for the recording, if there is one."""
        if self.recorder is not None:
            self.recorder.event(kind, text)


@contextmanager
def session(
    bundle: Bundle,
    robot_file: Path,
    wishes: Wishes,
    progress: Callable[[str], None],
    loaded: Policy | None = None,
) -> Iterator[Session]:
    """Opens everything; at the end, however it comes, the arm is held (or limp, if wished).

    loaded: the bundle's policy where somebody has it already, and keeps it. Raises what its parts
    raise.
    """
    robot = load_robot(robot_file)
    description = describe(robot, robot_file.parent)
    manifest = bundle.manifest
    motion.require_fit(manifest.specification, chain_of(description))
    with ExitStack() as stack:
        bus = stack.enter_context(virtual_bus(robot, robot_file.parent, wishes.bus_log))
        progress("opening the cameras")
        sources = (robot.cameras.primary, robot.cameras.wrist)
        cameras = stack.enter_context(CameraPair.open(sources, manifest.specification.cameras))
        progress("loading the policy")
        sampler = replacement(manifest, wishes.sampler)
        policy = loaded or stack.enter_context(
            Policy(bundle, wishes.backend, wishes.threads, sampler=sampler)
        )
        policy.beside_guardian()
        policy.reset(wishes.instruction)
        progress("timing the policy")
        sight = _first_sight(cameras)
        steps_s = _time_steps(policy, sight)
        period_s = 1 / (wishes.rate_hz or manifest.specification.action.rate_hz)
        chunk = manifest.network.action_steps
        base = choose(wishes.time_base, steps_s, period_s, chunk, wishes.speed)
        if base.period_s > HORIZON_S:
            raise LatencyError(
                f"one step of the data set would take {base.period_s:.1f} s here",
                f"at most {HORIZON_S:g} s: the guardian follows nothing further ahead",
                "give a greater --speed, or --rate of a profile, if one was given; else a faster"
                " device, or a bundle that takes less time (`dreamvla quantize`)",
            )
        progress("starting the guardian")
        guardian = stack.enter_context(
            GuardianProcess(
                robot_file,
                None if bus is None else bus.port,
                wishes.speed,
                wishes.shadow,
                wishes.limp,
                wishes.ordinary,
            )
        )
        client = stack.enter_context(Client(guardian.socket, Order.DRIVE))
        reading = reading_of(_ready(client))
        frames = {"primary": sight.primary.image, "wrist": sight.wrist.image}
        wrong = mismatches(description, bundle, reading, frames)
        if wrong and not wishes.force:
            raise RobotError(
                f"{robot_file} and {bundle.path} do not match: {'; '.join(wrong)}",
                "a robot as the bundle's network saw it in training",
                "look with `dreamvla robot check`, or run it nevertheless with --force",
            )
        recorder = None
        if wishes.record is not None:
            header = _header(robot, description, bundle, wishes.lossless)
            recorder = Recorder(wishes.record, header)
            stack.callback(recorder.close)
        watch = Watch(client, cameras, recorder.report if recorder else wishes.keep or _forget)
        stack.callback(watch.close)
        ring = StageRing(guardian.socket.with_suffix(SUFFIX))
        stack.callback(ring.close)
        pilot = Pilot(policy, description, cameras, watch, base, recorder, wishes.seed, ring)
        pilot.instruct(wishes.instruction)
        yield Session(
            *(robot, description, guardian, policy, pilot, watch, base, period_s, recorder, bus)
        )


def _first_sight(cameras: CameraPair) -> Sight:
    deadline = time.monotonic() + _FIRST_FRAME_S
    while time.monotonic() < deadline:
        sight = cameras.newest()
        if sight is not None:
            return sight
        time.sleep(0.01)
    verdict = cameras.verdict(time.monotonic())
    raise ObservationError(
        f"no pair of frames within {_FIRST_FRAME_S:g} s: {verdict.reason}",
        "frames from both cameras",
        "look at them with `dreamvla camera show` and the robot file",
    )


def _time_steps(policy: Policy, sight: Sight) -> list[float]:
    """Durations [s] of steps with a full window; the policy forgets them afterwards."""
    manifest = policy.bundle.manifest
    state = np.zeros(manifest.specification.state.size, np.float32)
    durations = []
    for _ in range(manifest.network.window + 1 + _TIMED_STEPS):
        begin = time.monotonic()
        policy.act(sight.primary.image, sight.wrist.image, state)
        durations.append(time.monotonic() - begin)
    return durations[-_TIMED_STEPS:]


def _ready(client: Client) -> Any:
    """The first report of an arm that is held. Raises ArmError with what went wrong instead."""
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline:
        report = client.report(_READY_S)
        state = State(int(report["state"]))
        if state in (State.HOLD, State.RAMP, State.TRACK):
            return report
        if state in (State.FAULT, State.LIMP, State.STOP):
            raise ArmError(
                readable(report["reason"]) or f"the guardian is in {state.name}",
                "an arm that is found, read and held",
                "remove the cause, then try `dreamvla robot check` and start again",
            )
    raise GuardianError(
        f"the arm was not ready within {_READY_S:g} s",
        "an arm that is found, read and held",
        "try `dreamvla robot check` with the robot file",
    )


def _header(robot: Robot, description: ArmDescription, bundle: Bundle, lossless: bool) -> Header:
    specification = bundle.manifest.specification
    return Header(
        robot=robot.name,
        arm=description,
        specification=specification,
        rate_hz=specification.action.rate_hz,
        started=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        version=version("dreamvla-edge"),
        lossless=lossless,
        bundle=bundle.path.name,
        contract_sha256=contract_sha256(
            bundle.manifest.network, specification, bundle.manifest.preprocessing
        ),
    )


def _forget(packet: bytes) -> None:
    """Without a recording, reports are only looked at."""
