"""The parts of `dreamvla demo`: a made-up checkpoint, a run on the virtual arm, its parity."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from dreamvla_edge.export.data_set import DataSet, load_data_set
from dreamvla_edge.runtime.bundle import TOKENIZER_NAME, Bundle
from dreamvla_edge.runtime.cameras.source import CameraSource
from dreamvla_edge.runtime.errors import OutputError
from dreamvla_edge.runtime.pilot.pilot import Decision
from dreamvla_edge.runtime.preprocess import preprocess
from dreamvla_edge.runtime.robot import VIRTUAL
from dreamvla_edge.runtime.tokenizer import Tokenizer
from dreamvla_edge.runtime.verify import relative_error
from dreamvla_edge.sim.writes import read_writes

from .robot_text import new_text
from .run_status import Status
from .session import Wishes, session

ARM = "so101"
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


def write_robot(path: Path, seed: int, black: bool) -> None:
    """A robot file: the virtual arm and simulated cameras, with their caps on if black."""
    options: dict[str, int | bool] = {"seed": seed, "black": black}
    camera = CameraSource("simulated", may_be_dark=black, options=options)
    path.write_text(new_text("demo", ARM, VIRTUAL, {"primary": camera, "wrist": camera}))


@dataclass
class Run:
    """What happened while the arm was driven.

    before, after: servo positions [step] by name; status: counts and the guardian's reports;
    writes: everything that was written on the serial bus.
    """

    before: dict[str, int]
    after: dict[str, int]
    decisions: list[Decision]
    status: dict[str, Any]
    writes: list[dict[str, Any]]


def drive(
    bundle: Bundle,
    robot: Path,
    instruction: str,
    seconds: float,
    seed: int,
    progress: Callable[[str], None],
) -> Run:
    """Run an instruction on the virtual arm: policy, guardian and bus in processes of their own."""
    log = robot.with_name("bus.log")
    log.unlink(missing_ok=True)
    wishes = Wishes(instruction, seed=seed, time_base="stretched", bus_log=log)
    decisions: list[Decision] = []
    with session(bundle, robot, wishes, progress) as parts:
        description = parts.description
        names = (*(joint.name for joint in description.joints), "gripper")
        servos = dict(zip(names, description.servos, strict=True))
        before = {name: parts.bus_position(servo) for name, servo in servos.items()}
        status = Status(parts.base, names, parts.guardian.output.strip())
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            decision = parts.pilot.step()
            if decision is not None:
                decisions.append(decision)
                status.decided(decision)
            status.reported(parts.watch.reports())
        after = {name: parts.bus_position(servo) for name, servo in servos.items()}
    return Run(before, after, decisions, status.document(), read_writes(log))


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

    network = load_network(checkpoint, hints(data_set))
    released = ReleasedLoop(network)
    manifest = bundle.manifest
    tokens = torch.from_numpy(Tokenizer(bundle.file(TOKENIZER_NAME))(instruction)[0]).long()
    window, last = manifest.network.window, len(run.decisions) - 1
    errors = {}
    for number, decision in enumerate(run.decisions):
        step, sight = decision.step, decision.sight
        if step.first:
            released = ReleasedLoop(network)
        pictures = (sight.primary.image, sight.wrist.image)
        frames = zip(pictures, manifest.specification.cameras, strict=True)
        images = np.stack([preprocess(f, camera, manifest.preprocessing) for f, camera in frames])
        seen = (tokens, torch.from_numpy(images), torch.from_numpy(step.state))
        if number in (0, window // 2, window, last):
            noise = torch.from_numpy(step.noise).expand(window, -1, -1)
            golden = released.act(*seen, noise).numpy()
            errors[number] = relative_error(step.chunk, golden)
        else:
            released.observe(*seen)
    return errors


def stage_times_ms(run: Run) -> dict[str, float]:
    """Median duration of every stage [ms], in the order in which stages first appear."""
    durations: dict[str, list[float]] = {}
    for decision in run.decisions:
        for stage, (start, end) in decision.step.spans.items():
            durations.setdefault(stage, []).append((end - start) * 1e3)
    return {stage: float(np.median(values)) for stage, values in durations.items()}


def as_document(run: Run, errors: dict[int, float]) -> dict[str, Any]:
    """Everything about a run; errors: as from `released_parity`."""
    return {
        **run.status,
        "stage_ms": stage_times_ms(run),
        "servos_before": run.before,
        "servos_after": run.after,
        "parity": max(errors.values(), default=float("nan")),
        "parity_by_step": errors,
        "brightness": [_brightness(decision) for decision in run.decisions],
        "actions": [decision.step.action for decision in run.decisions],
        "chunks": [decision.step.chunk for decision in run.decisions],
        "bus_writes": run.writes,
    }


def _brightness(decision: Decision) -> tuple[float, float]:
    """Mean of the primary and of the wrist picture that was decided upon, 0 to 255."""
    sight = decision.sight
    return float(sight.primary.image.mean()), float(sight.wrist.image.mean())
