"""Many trials: on some processes, and gone on with where they were left."""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.runtime.bundle import open_bundle
from dreamvla_edge.runtime.errors import OutputError
from dreamvla_edge.runtime.policy import Policy
from dreamvla_edge.runtime.samplers.named import replacement
from dreamvla_edge.sim.demo import ARM
from dreamvla_edge.sim.episode import Episode
from dreamvla_edge.sim.scene.layout import TRAINING
from dreamvla_edge.sim.scene.scene import Scene
from dreamvla_edge.sim.scene.views import Views
from dreamvla_edge.sim.tasks import FAMILIES, draw

from .actors import CONTROLS, PolicyActor
from .trial import Played, Trial, play

if TYPE_CHECKING:
    from .libero import LiberoStage

POLICY = "policy"
SCENE = "scene"
TRIALS = "trials.jsonl"


class Asked(NamedTuple):
    """What shall be tried: a family's seed, by the policy itself or by one of CONTROLS.

    A family of another world than the scene has a slash in its name, see `libero`.
    """

    family: str
    seed: int
    who: str = POLICY

    @property
    def world(self) -> str:
        """SCENE, or a suite of LIBERO."""
        suite, slash, _ = self.family.partition("/")
        return suite if slash else SCENE


class Candidate(NamedTuple):
    """What is tried: a bundle, with another sampler than its own if one is named."""

    bundle: Path
    sampler: str | None = None

    def policy(self) -> Policy:
        """For one process. One thread: what is computed then does not depend on the cores."""
        opened = open_bundle(self.bundle)
        return Policy(opened, threads=1, sampler=replacement(opened.manifest, self.sampler))


def trials(seeds: range, who: Sequence[str] = (POLICY,)) -> list[Asked]:
    """Each seed once, with the families in turn; raises ValueError for a seed of training."""
    if seeds and min(seeds) < TRAINING:
        raise ValueError(f"seed {min(seeds)} was for training; those from {TRAINING} on are not")
    names = list(FAMILIES)
    return [Asked(names[seed % len(names)], seed, actor) for actor in who for seed in seeds]


class Stage:
    """A policy and a scene that it can be tried in, for one process. Use as a context."""

    def __init__(self, candidate: Candidate) -> None:
        self._stack = ExitStack()
        with ExitStack() as stack:
            self._policy = stack.enter_context(candidate.policy())
            self._specification = self._policy.bundle.manifest.specification
            self._scene = Scene(load_description(ARM))
            size = self._specification.cameras[0].height
            self._views = stack.enter_context(Views(self._scene, size))
            self._stack = stack.pop_all()

    def __enter__(self) -> Stage:
        """Is ready since it was made."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes."""
        self._stack.close()

    def play(self, asked: Asked) -> tuple[Played, tuple[float, ...]]:
        """One trial, and how long the policy's decisions took [s]."""
        episode = Episode(self._scene, FAMILIES[asked.family], asked.seed)
        actor = (CONTROLS | {POLICY: PolicyActor})[asked.who](self._policy)
        said = other_instruction(asked) if asked.who == "shuffled instruction" else None
        played = play(episode, self._views, actor, self._specification, said)
        times = tuple(actor.times_s) if isinstance(actor, PolicyActor) else ()
        return played, times


def open_stage(candidate: Candidate, asked: Sequence[Asked]) -> Stage | LiberoStage:
    """The stage in which these trials are played, all of one world."""
    if asked[0].world != SCENE:
        from .libero import LiberoStage

        return LiberoStage(candidate)
    return Stage(candidate)


def other_instruction(asked: Asked) -> str:
    """What another family's task is called in a layout of that seed."""
    names = list(FAMILIES)
    step = 1 + asked.seed // len(names) % (len(names) - 1)
    other = FAMILIES[names[(names.index(asked.family) + step) % len(names)]]
    return draw(other, asked.seed, _JOINTS).instruction


_JOINTS = len(load_description(ARM).joints)


class Log:
    """Trials in a folder, one line each in TRIALS, in the order in which they ended.

    motions: whether failures leave their motion too, which takes megabytes in LIBERO. A line that
    was cut off does not count. Times are not kept: they differ from run to run.

    Use as a context: only one at a time adds trials to a folder, and another one, in whatever
    program, gets OutputError. `done` can be read afterwards.
    """

    def __init__(self, folder: Path, motions: bool = True) -> None:
        self._folder, self._motions = folder, motions
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / TRIALS).open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise OutputError(
                f"another program adds trials to {folder}",
                "one program at a time",
                "wait until it is done, or give another folder",
            ) from error
        self.done: dict[Asked, Trial] = {}
        self._file.seek(0)
        written = self._file.read()
        whole = written[: written.rfind(b"\n") + 1]
        for line in whole.splitlines():
            found = json.loads(line)
            trial = msgspec.convert(found["trial"], Trial)
            self.done[Asked(trial.family, trial.seed, found["who"])] = trial
        if whole != written:
            self._file.truncate(len(whole))

    def __enter__(self) -> Log:
        """Is alone since it was made."""
        return self

    def __exit__(self, *_: object) -> None:
        """Lets others go on."""
        self._file.close()

    def add(self, asked: Asked, played: Played) -> None:
        """Writes a trial down."""
        if self._motions and not played.trial.success and asked.who == POLICY:
            np.savez_compressed(self.motion(played.trial), motion=played.motion)
        line = {"who": asked.who, "trial": msgspec.to_builtins(played.trial)}
        self._file.write(json.dumps(line).encode() + b"\n")
        self._file.flush()
        self.done[asked] = played.trial

    def motion(self, trial: Trial) -> Path:
        """Where a failure's motion lies."""
        return self._folder / f"{trial.family.replace('/', '-')}-{trial.seed}.npz"


def evaluate(
    candidate: Candidate,
    asked: Sequence[Asked],
    log: Log,
    workers: int,
    tell: Callable[[int, int], None],
    ray: str | None = None,
) -> list[float]:
    """Plays all that the log does not hold; how long the policy's decisions took [s].

    workers: processes, each with a policy and a scene; their number changes no result. tell: of
    how many trials there are results now, and how many there will be. ray: a cluster's address,
    see `cluster`. When it is interrupted, every trial that had ended is in the log.
    """
    open_ = [trial for trial in asked if trial not in log.done]
    times_s: list[float] = []
    if not open_:
        return times_s
    with _results(candidate, open_, workers, ray) as results:
        for number, (trial, played, times) in enumerate(results, len(asked) - len(open_) + 1):
            log.add(trial, played)
            times_s += times
            tell(number, len(asked))
    return times_s


Results = Iterator[tuple[Asked, Played, tuple[float, ...]]]
"""What was tried, how it went, and how long the policy's decisions took [s]."""
_stages: list[Stage | LiberoStage] = []
"""This process's own, in one that `evaluate` has started."""


@contextmanager
def _results(
    candidate: Candidate, asked: Sequence[Asked], workers: int, ray: str | None
) -> Iterator[Results]:
    if ray is not None:
        from .cluster import results_on_ray

        with results_on_ray(candidate, asked, workers, ray) as results:
            yield results
        return
    if workers == 1 or len(asked) < 2:
        with open_stage(candidate, asked) as stage:
            yield ((trial, *stage.play(trial)) for trial in asked)
        return
    others = multiprocessing.active_children()
    # spawn: a process that draws cannot be copied
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, _begin, (candidate, asked[:1]))
    try:
        open_ = {pool.submit(_play, trial): trial for trial in asked}
        # In the order in which they end, lest one that has ended waits for another to be kept.
        yield ((open_.pop(ended), *ended.result()) for ended in as_completed(open_))
    except BaseException:  # nobody waits for trials that have begun: they take minutes in LIBERO
        for process in multiprocessing.active_children():
            if process not in others:
                process.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(candidate: Candidate, asked: Sequence[Asked]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that has the log
    _stages.append(open_stage(candidate, asked))


def _play(asked: Asked) -> tuple[Played, tuple[float, ...]]:
    return _stages[0].play(asked)
