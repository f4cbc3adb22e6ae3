"""The parts of `dreamvla demo`: a made-up checkpoint, a run on the virtual arm, its parity."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field, replace
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
from dreamvla_edge.runtime.errors import OutputError
from dreamvla_edge.runtime.policy import Chunk, Policy
from dreamvla_edge.runtime.preprocess import preprocess
from dreamvla_edge.runtime.tokenizer import Tokenizer
from dreamvla_edge.runtime.verify import relative_error
from dreamvla_edge.sim.camera import SimulatedCamera
from dreamvla_edge.sim.virtual_bus import VirtualBus, Write

ARM = "so101"
START_STEP = 2048
STEP_SCALE = 0.05
"""Random weights ask for steps some twenty times larger than a trained network's ±1."""


def demo_folder() -> Path:
    """Where the demo keeps its checkpoint and bundle."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "dreamvla-edge" / "demo"


def prepare(folder: Path, outputs: tuple[Path, ...], force: bool) -> None:
    """Make the folder.

    Raises OutputError if that fails, or if an output is there and must not be replaced.
    """
    found = [str(path) for path in outputs if path.exists()]
    if found and not force:
        raise OutputError(
            f"{' and '.join(found)} exist{'s' if len(found) == 1 else ''}",
            "a folder without checkpoint and bundle",
            "choose another folder, or replace them with --force",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be made ({error.strerror})",
            "a folder that can be written",
            "choose another one with -o",
        ) from error


def made_up(checkpoint: Path, seed: int) -> DataSet:
    """Write a checkpoint with random weights; the data set that fits it.

    Raises OutputError if there is no room.
    """
    from dreamvla_edge.model.synthetic import IMAGE, SMALL, write_checkpoint

    try:
        write_checkpoint(checkpoint, replace(SMALL, dreams=(IMAGE,)), seed)
    except (OSError, RuntimeError) as error:  # the latter is what torch says of a full disk
        raise OutputError(
            f"{checkpoint} cannot be written ({str(error).splitlines()[0]})",
            "a folder with room for 1 GB",
            "free some space or choose another folder with -o",
        ) from error
    return demo_data_set(SMALL.backbone.heads)


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
) -> dict[int, float]:
    """Largest relative error of the run's chunks to the released loop in PyTorch, by step.

    The released loop computes as much in one step as the policy in twenty, so it predicts only
    at some steps: the first, one while the window fills, one when it has slid, and the last.
    """
    import torch

    from dreamvla_edge.export.export import hints
    from dreamvla_edge.model.checkpoint import load_network
    from dreamvla_edge.model.released import ReleasedLoop

    released = ReleasedLoop(load_network(checkpoint, hints(data_set)))
    manifest = bundle.manifest
    tokens = torch.from_numpy(Tokenizer(bundle.file(TOKENIZER_NAME))(instruction)[0]).long()
    window, last = manifest.network.window, len(run.observed) - 1
    errors = {}
    for number, step in enumerate(run.observed):
        frames = zip((step.primary, step.wrist), manifest.specification.cameras, strict=True)
        images = np.stack([preprocess(f, camera, manifest.preprocessing) for f, camera in frames])
        seen = (tokens, torch.from_numpy(images), torch.from_numpy(step.state))
        if number in (0, window // 2, window, last):
            noise = torch.from_numpy(step.noise).expand(window, -1, -1)
            golden = released.act(*seen, noise).numpy()
            errors[number] = relative_error(step.chunk.actions, golden)
        else:
            released.observe(*seen)
    return errors


def stage_times_ms(run: Run) -> dict[str, float]:
    """Median duration of every stage [ms], in the order in which stages first appear."""
    durations: dict[str, list[float]] = {}
    for cycle in run.cycles:
        for stage, (start, end) in cycle.spans.items():
            durations.setdefault(stage, []).append((end - start) * 1e3)
    return {stage: float(np.median(values)) for stage, values in durations.items()}


def as_document(run: Run, errors: dict[int, float]) -> dict[str, Any]:
    """Everything about a run; errors: as from `released_parity`."""
    return {
        "cycles": len(run.cycles),
        "rate_hz": len(run.cycles) / run.duration_s,
        "skipped_deadlines": sum(cycle.skipped for cycle in run.cycles),
        "stage_ms": stage_times_ms(run),
        "servos_before": run.before,
        "servos_after": run.after,
        "parity": max(errors.values()),
        "parity_by_step": errors,
        "actions": [cycle.action for cycle in run.cycles],
        "chunks": [step.chunk.actions for step in run.observed],
        "bus_writes": [write.as_dict() for write in run.writes],
    }
