"""The parts of `dreamvla demo`: a made-up checkpoint, a run on the virtual arm, its parity."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from dreamvla_edge.export.data_set import DataSet, load_data_set
from dreamvla_edge.runtime import loop
from dreamvla_edge.runtime.arms import open_arm
from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.runtime.bundle import TOKENIZER_NAME, Bundle
from dreamvla_edge.runtime.chunk import action_use
from dreamvla_edge.runtime.policy import Chunk, Policy
from dreamvla_edge.runtime.preprocess import preprocess
from dreamvla_edge.runtime.tokenizer import Tokenizer
from dreamvla_edge.runtime.verify import relative_error
from dreamvla_edge.sim.camera import SimulatedCamera
from dreamvla_edge.sim.servo_bus import VirtualBus, Write

ARM = "so101"
START_STEP = 2048
STEP_SCALE = 0.05
"""Random weights ask for steps some twenty times larger than a trained network's ±1."""


def demo_folder() -> Path:
    """Where the demo keeps its checkpoint and bundle."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "dreamvla-edge" / "demo"


def demo_data_set(heads: int) -> DataSet:
    """CALVIN's conventions, with smaller steps because the demo's weights are random.

    heads: attention heads of the demo's backbone.
    """
    data_set = load_data_set("calvin")
    action = data_set.specification.action
    dimensions = tuple(
        msgspec.structs.replace(dimension, scale=dimension.scale * STEP_SCALE)
        for dimension in action.dimensions
    )
    specification = msgspec.structs.replace(
        data_set.specification,
        name="demo",
        action=msgspec.structs.replace(action, dimensions=dimensions),
    )
    model = msgspec.structs.replace(data_set.model, heads=heads)
    return DataSet(specification=specification, model=model)


@dataclass(frozen=True)
class Observed:
    """One call of the policy: what it saw, the noise it started from, what it answered."""

    primary: npt.NDArray[np.uint8]
    wrist: npt.NDArray[np.uint8]
    state: npt.NDArray[np.float32]
    noise: npt.NDArray[np.float32]
    chunk: Chunk


class WatchedPolicy:
    """A policy that keeps what goes in and out, and draws its noise from a seed."""

    def __init__(self, policy: Policy, seed: int) -> None:
        self._policy = policy
        self._rng = np.random.default_rng(seed)
        self.observed: list[Observed] = []

    def act(
        self,
        primary: npt.NDArray[np.uint8],
        wrist: npt.NDArray[np.uint8],
        state: npt.NDArray[np.float32],
    ) -> Chunk:
        """As `Policy.act`."""
        shape = (self._policy.bundle.manifest.network.action_steps, 7)
        noise = self._rng.standard_normal(shape, dtype=np.float32)
        chunk = self._policy.act(primary, wrist, state, noise)
        self.observed.append(Observed(primary, wrist, state, noise, chunk))
        return chunk


@dataclass
class Run:
    """What happened while the arm was driven.

    before, after: servo positions [step] by name; duration_s: from the first deadline to the
    last goal.
    """

    before: dict[str, int]
    after: dict[str, int]
    cycles: list[loop.Cycle]
    observed: list[Observed]
    writes: tuple[Write, ...]
    duration_s: float


class _TimeIsUp(Exception):
    """Ends the loop, which then holds the arm as it does on any end."""


@dataclass
class _Clock:
    seconds: float
    cycles: list[loop.Cycle] = field(default_factory=list)
    start_s: float = 0.0

    def watch(self, cycle: loop.Cycle) -> None:
        self.cycles.append(cycle)
        if time.monotonic() - self.start_s >= self.seconds:
            raise _TimeIsUp


def drive(bundle: Bundle, instruction: str, seconds: float, seed: int, black: bool) -> Run:
    """Run an instruction on the virtual arm through a real serial device."""
    specification = bundle.manifest.specification
    description = load_description(ARM)
    names = [*(joint.name for joint in description.joints), "gripper"]
    servos = dict(zip(names, description.servos, strict=True))
    cameras = tuple(SimulatedCamera(camera, seed, black) for camera in specification.cameras)
    with (
        Policy(bundle) as policy,
        VirtualBus({servo: START_STEP for servo in servos.values()}, description.baud) as bus,
    ):
        policy.reset(instruction)
        arm = open_arm(ARM, bus.port)
        watched = WatchedPolicy(policy, seed)
        clock = _Clock(seconds, start_s=time.monotonic())
        before = {name: round(bus.position(servo)) for name, servo in servos.items()}
        try:
            loop.run(
                watched,
                arm,
                (cameras[0], cameras[1]),
                specification,
                action_use(specification.action),
                watch=clock.watch,
            )
        except _TimeIsUp:
            pass
        finally:
            arm.close()
        duration_s = time.monotonic() - clock.start_s
        after = {name: round(bus.position(servo)) for name, servo in servos.items()}
        return Run(before, after, clock.cycles, watched.observed, bus.writes, duration_s)


def released_parity(
    checkpoint: Path, data_set: DataSet, bundle: Bundle, run: Run, instruction: str
) -> float:
    """Largest error of the run's chunks against the released loop in PyTorch, relative.

    Replays the first steps, through filling and sliding.
    """
    import torch

    from dreamvla_edge.export.export import hints
    from dreamvla_edge.model.checkpoint import load_network
    from dreamvla_edge.model.released import ReleasedLoop

    network = load_network(checkpoint, hints(data_set))
    released = ReleasedLoop(network)
    manifest = bundle.manifest
    tokens = torch.from_numpy(Tokenizer(bundle.file(TOKENIZER_NAME))(instruction)[0]).long()
    window, worst = manifest.network.window, 0.0
    for step in run.observed[: window + 3]:
        frames = zip((step.primary, step.wrist), manifest.specification.cameras, strict=True)
        images = np.stack([preprocess(f, camera, manifest.preprocessing) for f, camera in frames])
        noise = torch.from_numpy(step.noise).expand(window, -1, -1)
        found = released.act(tokens, torch.from_numpy(images), torch.from_numpy(step.state), noise)
        worst = max(worst, relative_error(step.chunk.actions, found.numpy()))
    return worst


def stage_times_ms(run: Run) -> dict[str, float]:
    """Median duration of every stage [ms], in the order in which stages first appear."""
    durations: dict[str, list[float]] = {}
    for cycle in run.cycles:
        for stage, (start, end) in cycle.spans.items():
            durations.setdefault(stage, []).append((end - start) * 1e3)
    return {stage: float(np.median(values)) for stage, values in durations.items()}


def as_document(run: Run, parity: float, checkpoint: Path, bundle: Path) -> dict[str, Any]:
    """Everything about a run in types that JSON has."""
    return {
        "bundle": str(bundle),
        "checkpoint": str(checkpoint),
        "cycles": len(run.cycles),
        "rate_hz": len(run.cycles) / run.duration_s,
        "skipped_deadlines": sum(cycle.skipped for cycle in run.cycles),
        "stage_ms": stage_times_ms(run),
        "servos_before": run.before,
        "servos_after": run.after,
        "parity": parity,
        "actions": [cycle.action.tolist() for cycle in run.cycles],
        "chunks": [step.chunk.actions.tolist() for step in run.observed],
        "bus_writes": [write.as_dict() for write in run.writes],
    }
