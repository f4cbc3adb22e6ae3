"""One task of `dreamvla demo`: a scene, its servo bus, its cameras, and the policy at the arm."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamvla_edge.runtime.bundle import Bundle
from dreamvla_edge.runtime.cameras.source import CameraSource
from dreamvla_edge.runtime.errors import BackendError, OutputError
from dreamvla_edge.runtime.pilot.pilot import Decision
from dreamvla_edge.sim.bus_process import BusProcess
from dreamvla_edge.sim.demo import ARM
from dreamvla_edge.sim.evaluation.evaluation import trials
from dreamvla_edge.sim.scene.views import Views
from dreamvla_edge.sim.scene_judge import SceneJudge

from .robot_text import new_text
from .run_status import Status
from .session import Wishes, session

_SIZE = 320
"""Edge of the pictures that are kept [pixel]."""
_KEPT = ("demo.png", "bundle")


@dataclass(frozen=True, eq=False)
class Told:
    """What became of one task.

    time_s: until it was done, or given up; before, after (h, w, 3): the primary camera's view;
    status: of the run (`Status`); stage_ms: median of each stage.
    """

    family: str
    seed: int
    instruction: str
    done: bool
    time_s: float
    decisions: list[Decision]
    status: dict[str, Any]
    before: NDArray[np.uint8]
    after: NDArray[np.uint8]

    @property
    def stage_ms(self) -> dict[str, float]:
        """Median duration of every stage, in the order in which stages first appear."""
        durations: dict[str, list[float]] = {}
        for decision in self.decisions:
            for stage, (start, end) in decision.step.spans.items():
                durations.setdefault(stage, []).append((end - start) * 1e3)
        return {stage: float(np.median(values)) for stage, values in durations.items()}


def prepare(output: Path | None, force: bool) -> Path:
    """Makes the folder, empty of what the demo writes; the one in the user's cache if None.

    Raises OutputError if that fails, or if something is there that must not be replaced.
    """
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = (output or Path(cache) / "dreamvla-edge" / "demo").absolute()
    found = [folder / name for name in _KEPT if (folder / name).exists()]
    if found and output is not None and not force:
        raise OutputError(
            f"{' and '.join(map(str, found))} exist{'s' if len(found) == 1 else ''}",
            "a folder without an earlier demo",
            "choose another folder, or replace it with --force",
        )
    try:
        for path in found:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be made ({error.strerror})",
            "a folder that can be written",
            "choose another one with -o",
        ) from error
    return folder


def drive(
    bundle: Bundle,
    folder: Path,
    seed: int,
    instruction: str | None,
    seconds: float,
    viewer: bool,
    progress: Callable[[str], None],
) -> Told:
    """The task of a seed, on the wall clock: bus, guardian and cameras are real processes.

    instruction: instead of the task's own. What went over the bus is in `folder`/bus.log.
    """
    (asked,) = trials(range(seed, seed + 1))
    feed, log, robot = folder / "scene", folder / "bus.log", folder / "robot.toml"
    with ExitStack() as stack:
        scene = (asked.family, asked.seed)
        bus = stack.enter_context(
            BusProcess(ARM, link=folder / "arm", log=log, scene=scene, feed=feed)
        )
        camera = CameraSource("scene", device=str(feed))
        robot.write_text(new_text("demo", ARM, bus.port, {"primary": camera, "wrist": camera}))
        judge = SceneJudge(feed)
        stack.callback(judge.close)
        views = stack.enter_context(Views(judge.scene, _SIZE))
        shown = stack.enter_context(_window(judge)) if viewer else lambda: None
        said = instruction or judge.task.instruction
        progress(f"{asked.family}: {said}")
        parts = stack.enter_context(
            session(bundle, robot, Wishes(said, seed=seed), lambda message: None)
        )
        names = (*(joint.name for joint in parts.description.joints), "gripper")
        status = Status(parts.base, names, parts.guardian.output.strip())
        judge.look()
        before = views.image("primary")
        begin_s, decisions, done = time.monotonic(), [], False
        while not done and time.monotonic() < begin_s + seconds:
            decision = parts.pilot.step()
            if decision is not None:
                decisions.append(decision)
                status.decided(decision)
            status.reported(parts.watch.reports())
            done = judge.look()
            shown()
        time_s = time.monotonic() - begin_s
        return Told(
            *(asked.family, seed, said, done, time_s, decisions, status.document(), before),
            after=views.image("primary"),
        )


@contextmanager
def _window(judge: SceneJudge) -> Iterator[Callable[[], None]]:
    """MuJoCo's window on the judge's scene; what is yielded shows it as it is."""
    import mujoco.viewer

    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise BackendError(
            "there is no display for MuJoCo's window",
            "DISPLAY or WAYLAND_DISPLAY in the environment",
            "start it from a desktop, or leave --viewer out and look at the picture",
        )
    with mujoco.viewer.launch_passive(judge.scene.model, judge.scene.data) as window:
        yield window.sync


def as_document(task: Told) -> dict[str, Any]:
    """Everything about a task but its pictures."""
    return {
        "family": task.family,
        "seed": task.seed,
        "instruction": task.instruction,
        "done": task.done,
        "time_s": task.time_s,
        "stage_ms": task.stage_ms,
        "actions": [decision.step.action for decision in task.decisions],
        **task.status,
    }
