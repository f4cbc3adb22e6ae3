"""A virtual arm that dances under a guardian, as processes of their own, and what was measured."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any

import numpy as np

from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.runtime.arms.kinematics import chain_of, forward
from dreamvla_edge.runtime.errors import GuardianError
from dreamvla_edge.runtime.guardian.client import Client, socket_path
from dreamvla_edge.runtime.guardian.message import Command, Order, State, decode_report, readable
from dreamvla_edge.runtime.guardian.process import GuardianProcess
from dreamvla_edge.sim.bus_process import BusProcess

HERE = Path(__file__).parent
STEP_RAD = math.tau / 4096
STANDS_RAD_S = 0.02
MOVES_RAD_S = 0.1
NEAR_OPENING = 0.1
PERIOD_S = 0.01
HANGING, WEIGHT = 2, 0.2  # a servo that needs a fifth of its torque: without torque it sinks,
SUPPORT_STEP = 1650  # as far as this
PATIENT_S = 120.0
GRIPPER_SPEED = 3.0  # [1/s], stated in docs/guardian.md
SETTLES_S = 0.3
PRIORITY = 30  # of the measurement: below guardian and bus
LATCHED = (State.STOP, State.FAULT, State.LIMP)


class Rig:
    """The arm dances from `dance` until something goes wrong.

    eyes: the policy looks through two simulated cameras; else it is blind and cheap. log: of the
    bus, until the end; reports: of the guardian, the newest last; keep: gets each as it comes.
    """

    def __init__(self, folder: Path, arm: str = "so101", eyes: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.description, self._eyes, self._folder = load_description(arm), eyes, folder
        # A disk that stalls would stall the virtual bus, which logs every byte as it comes.
        memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
        self._memory = TemporaryDirectory(prefix="dreamvla-rig-", dir=memory)
        self.log = Path(self._memory.name) / "bus.log"
        self.bus = BusProcess(arm, link=folder / "port", log=self.log)
        self.robot = folder / "robot.toml"
        self.robot.write_text(
            f'name = "rig"\n[arm]\ntype = "{arm}"\nport = "{folder / "port"}"\nrest = {self.rest}\n'
            '[cameras.primary]\nkind = "simulated"\n[cameras.wrist]\nkind = "simulated"\n'
        )
        self.socket = socket_path(self.robot)
        self.guardian: GuardianProcess | None = None
        self.policy: subprocess.Popen[str] | None = None
        self.reports: deque[Any] = deque(maxlen=1000)
        self.keep: Callable[[bytes], None] = lambda packet: None
        self._tail, self._cut = self.log.open(), ""
        self._watching = threading.Thread()

    def __enter__(self) -> Rig:
        """Is built, but at rest."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends all processes."""
        self.end_policy()
        if self.guardian is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.guardian.pid, signal.SIGCONT)
            self.guardian.end()
        self._tail.close()
        self.bus.close()
        self._memory.cleanup()

    @property
    def rest(self) -> list[float]:
        """Where the arm is lowered to [rad]."""
        return [0.0] * len(self.description.joints)

    # Processes

    def start_guardian(self) -> None:
        """Starts the guardian unless it runs, and waits until it holds the arm."""
        if self.guardian is None or not _alive(self.guardian.pid):
            if self.guardian is not None:
                self.guardian.end()
            self.reports.clear()
            self.guardian = GuardianProcess(self.robot)
            self._watching = threading.Thread(target=self._watch, daemon=True)
            self._watching.start()
        self._clear()

    def start_policy(self) -> None:
        """Starts the policy unless it runs."""
        if self.policy is not None and self.policy.poll() is None:
            self.tell_policy("ok")
            return
        self.end_policy()
        joints = len(self.description.joints)
        program = ["seeing_policy.py", str(self.socket), self.description.name]
        if not self._eyes:
            program = ["scripted_policy.py", str(self.socket), str(joints)]
        self.chunks = self._folder / "chunks"
        with self.chunks.open("w") as output:
            self.policy = subprocess.Popen(
                [sys.executable, str(HERE / program[0]), *program[1:]],
                stdin=subprocess.PIPE,
                stdout=output,
                text=True,
                bufsize=1,
                start_new_session=True,
            )

    def tell_policy(self, line: str) -> None:
        """Says what is wrong with it from now on."""
        assert self.policy is not None and self.policy.stdin is not None
        self.policy.stdin.write(line + "\n")

    def end_policy(self) -> None:
        """Kills the policy."""
        if self.policy is not None:
            self.policy.kill()
            self.policy.wait()
            if self.policy.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    self.policy.stdin.close()
            self.policy = None

    def dance(self) -> None:
        """Mends everything, clears, and waits until the arm is at full speed."""
        for line in ("replug", "fault bus ok", *(f"fault {n} ok" for n in self.description.servos)):
            self.bus.command(line)
        if self.state in LATCHED:
            time.sleep(SETTLES_S)  # as a person who looks at the arm before he clears
        self.start_guardian()
        self.start_policy()
        self.reports.clear()
        time.sleep(SETTLES_S)  # for a gripper whose policy was away
        self._wait("the dance", self._tracks)
        # A fault may have left it far behind; it would go on on its own when the guardian dies.
        self._wait("the gripper's dance", self._grips)
        self.bus.command(f"obstacle {HANGING} 0 {SUPPORT_STEP}")
        self.bus.command(f"gravity {HANGING} {WEIGHT}")
        self._wait("motion", lambda: np.nanmax(np.abs(self.reports[-1]["velocity"])) > MOVES_RAD_S)
        self.motion()  # of before does not count

    def order(self, order: Order, reason: str = "a test") -> None:
        """What a person tells the guardian."""
        with Client(self.socket) as client:
            client.send(Command(order, reason=reason))

    # What is measured

    @property
    def state(self) -> State | None:
        """Of the guardian, in its newest report."""
        return State(int(self.reports[-1]["state"])) if self.reports else None

    @property
    def reason(self) -> str:
        """Of that state."""
        return readable(self.reports[-1]["reason"])

    @property
    def last_waypoint_ns(self) -> int:
        """When the last waypoint that was sent is reached [ns]."""
        return int(self.chunks.read_text().splitlines()[-1].split()[1])

    def motion(self) -> list[tuple[int, Mapping[str, list[float]]]]:
        """The bus's true motion since the last call, or the dance: (stamp [ns], by servo)."""
        # The last line may still be on its way into the file.
        *whole, self._cut = (self._cut + self._tail.read()).split("\n")
        lines = map(json.loads, whole)
        return [(line["ns"], line["motion"]) for line in lines if "motion" in line]

    def bounds(self) -> dict[int, tuple[float, float, float, float, float]]:
        """The arm's limits for the checker, in steps and cycles."""
        own, bounds = self.description.limits, {}
        for joint in self.description.joints:
            ends = [
                joint.zero_step + joint.direction * angle / STEP_RAD
                for angle in (joint.lower_rad, joint.upper_rad)
            ]
            speed = float(own.per_joint("velocity_rad_s", [joint.name])[0])
            stop = float(own.per_joint("stop_acceleration_rad_s2", [joint.name])[0])
            bounds[joint.servo] = (
                min(ends),
                max(ends),
                speed * PERIOD_S / STEP_RAD,
                stop * PERIOD_S**2 / STEP_RAD,
                0.5,
            )
        grip = self.description.gripper
        ends = [grip.closed_step, grip.open_step]
        fastest = GRIPPER_SPEED * PERIOD_S * abs(ends[1] - ends[0])
        bounds[grip.servo] = (min(ends), max(ends), fastest, math.inf, 0.5)
        return bounds

    def outside_m(self, goals: Mapping[int, int]) -> float:
        """How far goals put the tool point out of the workspace [m]."""
        chain, box = chain_of(self.description), self.description.limits.workspace_m
        joints = self.description.joints
        if box is None or any(joint.servo not in goals for joint in joints):
            return 0.0
        angles = [(goals[j.servo] - j.zero_step) * j.direction * STEP_RAD for j in joints]
        tool = forward(chain, np.array(angles)).position
        return float(np.linalg.norm(tool - np.clip(tool, box.min, box.max)))

    # How

    def _watch(self) -> None:
        with contextlib.suppress(GuardianError), punctual(), Client(self.socket) as client:
            while True:
                for packet in client.reports(0.1):
                    self.keep(packet)
                    self.reports.append(decode_report(packet))

    def _clear(self) -> None:
        """Until the guardian holds the arm."""
        deadline = time.monotonic() + PATIENT_S
        while time.monotonic() < deadline:
            if self.state in LATCHED:
                self.order(Order.CLEAR)
            time.sleep(0.05)
            if self.state in (State.HOLD, State.RAMP, State.TRACK):
                return
        said = self.guardian.output if self.guardian is not None else ""
        raise AssertionError(f"not cleared: {self.state} {self.reason} {said}")

    def _tracks(self) -> bool:
        """Whether it follows the policy; a fault while processes start is cleared."""
        if self.state in LATCHED:
            self._clear()
        return self.state is State.TRACK

    def _grips(self) -> bool:
        """Whether the gripper is near to where it was sent."""
        measured, _, sent = self.reports[-1]["gripper"]
        return abs(measured - sent) < NEAR_OPENING

    def _wait(self, what: str, there: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENT_S
        while not there():
            if time.monotonic() > deadline:
                raise AssertionError(f"{what} did not begin: {self.state} {self.reason}")
            time.sleep(0.01)


def _alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def run_first(pid: int, priority: int) -> None:
    """Lets a process run before all ordinary ones, where that is allowed."""
    with contextlib.suppress(PermissionError):
        for task in os.listdir(f"/proc/{pid}/task"):
            os.sched_setscheduler(int(task), os.SCHED_FIFO, os.sched_param(priority))


@contextlib.contextmanager
def punctual() -> Iterator[None]:
    """The thread runs before all ordinary ones: what it stamps happens when the stamp says."""
    policy = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, policy, os.sched_param(PRIORITY))
    try:
        yield
    finally:
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
