"""The scripted policy with real eyes: the product's pilot, watch and camera threads.

    python seeing_policy.py SOCKET ARM

Only the network is missing: its actions are the dance of `scripted_policy`. Every line on stdin is
what is wrong with the wrist camera from now on: a name of `CAMERA_FAULTS`, or ok; or it is
`stand`, and the dance stands still.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.runtime.cameras.camera_pair import CameraPair
from dreamvla_edge.runtime.cameras.camera_thread import CameraThread
from dreamvla_edge.runtime.cameras.health import Limits
from dreamvla_edge.runtime.errors import GuardianError
from dreamvla_edge.runtime.guardian.client import Client
from dreamvla_edge.runtime.guardian.message import Order
from dreamvla_edge.runtime.pilot.pilot import Pilot
from dreamvla_edge.runtime.pilot.time_base import TimeBase
from dreamvla_edge.runtime.pilot.watch import Watch
from dreamvla_edge.runtime.policy import Chunk
from dreamvla_edge.runtime.specification import (
    UNUSED,
    ActionSpecification,
    CameraSpecification,
    Dimension,
    GripperCommand,
    Specification,
    StateSpecification,
)
from dreamvla_edge.sim.camera import SimulatedCamera
from dreamvla_edge.sim.camera_fault import FaultyCamera

sys.path.insert(0, str(Path(__file__).parent))
from scripted_policy import CHUNK, PERIOD_S, dance  # noqa: E402

HEIGHT, WIDTH = 48, 64
RATE_HZ = 1 / PERIOD_S


def specification(joints: list[str]) -> Specification:
    """Absolute joint angles in radians, as the network gives them."""
    names = [*joints, *[UNUSED] * (6 - len(joints))]
    dimensions = tuple(Dimension(n, "1" if n == UNUSED else "rad") for n in names)
    eyes = tuple(CameraSpecification(role, HEIGHT, WIDTH) for role in ("primary", "wrist"))
    return Specification(
        "dance",
        ActionSpecification("joints", dimensions, GripperCommand("open"), RATE_HZ),
        StateSpecification(dimensions, "command"),
        eyes,
    )


class Dancer:
    """In the place of `Policy`: the same interface, without a network."""

    def __init__(self, joints: list[str]) -> None:
        manifest = SimpleNamespace(
            specification=specification(joints),
            network=SimpleNamespace(window=10, action_steps=CHUNK),
        )
        self.sampler = None
        self.bundle, self._joints = SimpleNamespace(manifest=manifest), len(joints)
        self.stands_s: float | None = None

    def reset(self, instruction: str) -> None:
        """Forgets nothing: it remembers nothing."""

    def observe(self, *seen: Any) -> None:
        """Looks away."""

    def prepare(self) -> None:
        """Knows its steps by heart."""

    def act(self, *seen: Any, prepare: bool) -> Chunk:
        """The next steps of the dance."""
        actions = np.zeros((CHUNK, 7), np.float32)
        for step in range(CHUNK):
            now_s = time.monotonic() + (step + 1) * PERIOD_S
            actions[step, : self._joints] = dance(self.stands_s or now_s, self._joints)
        return Chunk(actions, np.zeros((CHUNK, 1), np.float32))


def main(path: str, arm: str) -> None:
    """Drives until the guardian ends."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # also below nohup
    description = load_description(arm)
    dancer: Any = Dancer([joint.name for joint in description.joints])
    eyes = dancer.bundle.manifest.specification.cameras
    limits = Limits.at_rate(RATE_HZ)
    wrist = FaultyCamera(SimulatedCamera(eyes[1], rate_hz=RATE_HZ))
    cameras = CameraPair(
        CameraThread(lambda: SimulatedCamera(eyes[0], rate_hz=RATE_HZ), (HEIGHT, WIDTH), limits),
        CameraThread(lambda: wrist, (HEIGHT, WIDTH), limits),
        limits,
    )
    watch = Watch(Client(Path(path), Order.DRIVE), cameras, lambda packet: None)
    pilot = Pilot(dancer, description, cameras, watch, TimeBase("real", PERIOD_S, 1.0))
    pilot.instruct("dance")

    def listen() -> None:
        for word in map(str.strip, sys.stdin):
            if word == "stand":
                dancer.stands_s = time.monotonic()
            else:
                wrist.fault = None if word == "ok" else word

    threading.Thread(target=listen, daemon=True).start()
    number = 0
    while True:
        try:
            decision = pilot.step()
        except GuardianError:
            return
        if decision is not None:
            number += 1
            print(number, decision.step.times_ns[-1], flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
