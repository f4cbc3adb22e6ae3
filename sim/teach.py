"""The expert's tries as recordings, like those of a person.

    python -m dreamvla_edge.sim.teach FOLDER [--seeds 0:100] [--families touch push …] [--by BUNDLE]

FOLDER/<family>-<seed> is one recording each, which `dreamvla record export` and all else that
reads recordings takes. Beside its frames lies the motion of the scene, from which more can be
drawn: `motion.npz` with `qpos` (n, …), one row per step, as `Scene.show` takes it. What is there
already is left alone, so that it goes on where it ended. With --by a policy moves the arm, and the
expert says what it should have done (Ross et al., "DAgger", AISTATS 2011).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

import numpy as np

from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.runtime.arms.kinematics import chain_of
from dreamvla_edge.runtime.errors import DreamvlaError, RecordingError
from dreamvla_edge.runtime.motion import gripper_command, gripper_opening, state_vector
from dreamvla_edge.runtime.policy import Policy
from dreamvla_edge.runtime.recording.frames import ROLES
from dreamvla_edge.runtime.recording.header import Header
from dreamvla_edge.runtime.recording.recorder import Recorder
from dreamvla_edge.runtime.recording.step import Step

from .demo import ARM, IMAGE, SPECIFICATION, action
from .episode import RATE_HZ, STEPS, Episode
from .evaluation.actors import PolicyActor
from .evaluation.trial import Actor
from .expert import STEP_RAD, Expert
from .scene.layout import TRAINING
from .scene.scene import Scene
from .scene.views import Views
from .tasks import FAMILIES, Family

MOTION = "motion.npz"


def teach(
    scene: Scene, views: Views, family: Family, seed: int, folder: Path, pupil: Actor | None = None
) -> bool:
    """Records the expert's try at a seed, or a pupil's; whether the task was done.

    folder: made here. What is kept as a step's action is what the expert wanted, without the
    noise, whatever the pupil did. Raises RecordingError if anything could not be written.
    """
    episode = Episode(scene, family, seed)
    expert = Expert(scene, np.random.default_rng((seed, 1)))
    description = scene.description
    chain, gripper = chain_of(description), SPECIFICATION.action.gripper
    recorder = Recorder(
        folder,
        Header(
            robot="scene",
            arm=description,
            specification=SPECIFICATION,
            rate_hz=RATE_HZ,
            started=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            version=version("dreamvla-edge"),
            lossless=True,
        ),
    )
    if pupil:
        pupil.begin(episode.task.instruction, seed)
    command, motion = gripper_command(gripper, 1.0), []
    while not episode.done and episode.steps < STEPS and episode.is_driven:
        now_s = episode.lock.clock.monotonic()
        motion.append(scene.data.qpos.copy())
        frames = {role: views.image(role) for role in ROLES}
        for role, frame in frames.items():
            recorder.frame(role, frame, now_s)
        reading, first = episode.lock.reading(), episode.steps == 0
        state = state_vector(SPECIFICATION.state, description, chain, reading, command)
        shown = expert.act(episode.progress, episode.goal)
        wanted = action(shown.delta, shown.opening)
        done, goal = wanted, episode.goal + shown.done
        if pupil:
            done = pupil.act(frames["primary"], frames["wrist"], state)
            goal = reading.joints + done[: len(goal)] * STEP_RAD
        opening = gripper_opening(gripper, float(done[-1]))
        episode.step(np.clip(goal, chain.lower, chain.upper), opening)
        recorder.report(episode.lock.desk.report)
        recorder.step(
            Step(
                observed_s=now_s,
                primary_s=now_s,
                wrist_s=now_s,
                instruction=episode.task.instruction,
                first=first,
                state=state,
                chunk=wanted[None],
                action=wanted,
                times_ns=np.array([round((now_s + 1 / RATE_HZ) * 1e9)], np.int64),
                joints=episode.goal[None],
                gripper=np.array([opening]),
                spans={},
            )
        )
        command = float(done[-1])
    written = recorder.close("success" if episode.done else "failure")
    if written.dropped or written.stopped:
        raise RecordingError(
            f"{folder} lacks {dict(written.dropped)} ({written.stopped or 'the disk is slow'})",
            "a disk that takes every frame",
            "free some room, remove that folder and start again",
        )
    np.savez_compressed(folder / MOTION, qpos=np.array(motion))
    return episode.done


def main(arguments: Sequence[str] | None = None) -> int:
    """Records; the exit status."""
    options = _parser().parse_args(arguments)
    first, end = options.seeds
    scene = Scene(load_description(ARM))
    try:
        with ExitStack() as stack:
            views = stack.enter_context(Views(scene, IMAGE))
            pupil = None
            if options.by is not None:
                pupil = PolicyActor(stack.enter_context(Policy(options.by, threads=1)))
            for seed in range(first, end):
                for name in options.families:
                    folder = options.folder / f"{name}-{seed}"
                    if (folder / MOTION).exists():
                        continue
                    done = teach(scene, views, FAMILIES[name], seed, folder, pupil)
                    print(f"{folder}: {'done' if done else 'not done'}", flush=True)
    except DreamvlaError as error:
        print(f"teach: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="teach", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("folder", type=Path, help="where the recordings go")
    parser.add_argument("--seeds", type=_seeds, default=(0, 10), help="FROM:TO, TO not included")
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=[*FAMILIES])
    parser.add_argument("--by", type=Path, help="bundle of a policy that moves the arm")
    return parser


def _seeds(text: str) -> tuple[int, int]:
    """Training seeds only: what is shown must not be what is asked for in an evaluation."""
    first, _, end = text.partition(":")
    seeds = int(first), int(end)
    if not 0 <= seeds[0] < seeds[1] <= TRAINING:
        raise argparse.ArgumentTypeError(f"seeds FROM:TO are within 0:{TRAINING}, not {text}")
    return seeds


if __name__ == "__main__":
    sys.exit(main())
