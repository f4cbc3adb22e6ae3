"""Whether a changed bundle is accepted by what it does, and that no trial is played twice."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from commands import PROGRAM, cure_of, entries, in_process
from dreamvla_edge.cli.exit_codes import EXIT_CODES
from dreamvla_edge.demo import BUNDLE
from dreamvla_edge.runtime.bundle import Bundle, open_bundle, sha256
from dreamvla_edge.runtime.errors import AcceptanceError
from dreamvla_edge.runtime.manifest import MANIFEST_NAME
from dreamvla_edge.sim.evaluation.acceptance import compared, require_accepted
from dreamvla_edge.sim.evaluation.evaluation import TRIALS, Asked, Log
from dreamvla_edge.sim.evaluation.loss import LARGEST_LOSS, require_able
from dreamvla_edge.sim.evaluation.trial import Played, Trial
from dreamvla_edge.sim.scene.layout import TRAINING

ASKED = [Asked("touch", seed) for seed in range(TRAINING, TRAINING + 60)]
"""So many that, where all succeed, 5 points are seen; the family that is soonest done."""
MORE = 11
"""Trials until Ctrl-C, twice each family."""


@pytest.fixture
def shipped() -> Bundle:
    """The demo's, which touches what it is told to."""
    return open_bundle(BUNDLE)


@pytest.fixture
def same(shipped: Bundle, tmp_path: Path) -> Bundle:
    """Acts like the demo's, and is another bundle."""
    copy = tmp_path / "same"
    shutil.copytree(shipped.path, copy)
    manifest = json.loads((copy / MANIFEST_NAME).read_text())
    (copy / MANIFEST_NAME).write_text(json.dumps(manifest | {"name": "same"}))
    return open_bundle(copy)


def place_of(bundle: Bundle, folder: Path) -> Path:
    """Where its trials are kept."""
    return folder / sha256(bundle.file(MANIFEST_NAME))[:12]


def played_before(bundle: Bundle, folder: Path, asked: list[Asked], end: str = "done") -> None:
    """As an earlier run leaves it."""
    log = Log(place_of(bundle, folder), motions=False)
    for one in asked:
        trial = Trial(
            **{"family": one.family, "seed": one.seed, "instruction": "", "end": end},
            **{"steps": 1, "flips": 0, "shake": 0.0, "collisions": 0, "actions": ""},
        )
        log.add(one, Played(trial, np.zeros(0)))


def lines(bundle: Bundle, folder: Path) -> list[Asked]:
    """What was tried, in the order in which it was written down."""
    text = (place_of(bundle, folder) / TRIALS).read_text().splitlines()
    found = [json.loads(line) for line in text]
    return [Asked(li["trial"]["family"], li["trial"]["seed"], li["who"]) for li in found]


def test_it_is_gone_on_with_and_passes(shipped: Bundle, same: Bundle, tmp_path: Path) -> None:
    """Stopped after the first of four real trials; each is played once, and only they count."""
    folder, told = tmp_path / "trials", []
    others = [Asked("libero_spatial/0", seed) for seed in range(60)] + [Asked("lift", TRAINING)]
    for bundle, end in ((shipped, "done"), (same, "time")):
        played_before(bundle, folder, ASKED[2:])
        played_before(bundle, folder, others, end)  # of another world or of other seeds

    def stop(line: str) -> None:
        told.append(line)
        if len(told) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compared(same, shipped, ASKED, folder, 1, stop)
    assert lines(shipped, folder) == [*ASKED[2:], *others, ASKED[0]]
    found = compared(same, shipped, ASKED, folder, 1, stop)
    assert lines(shipped, folder) == [*ASKED[2:], *others, *ASKED[:2]]
    assert lines(same, folder) == [*ASKED[2:], *others, *ASKED[:2]]
    assert told == [
        "the bundle: 59 of 60 trials, 59 successes",
        "the bundle: 60 of 60 trials, 60 successes",
        "the new bundle: 59 of 60 trials, 59 successes",
        "the new bundle: 60 of 60 trials, 60 successes",
    ]
    assert (found["world"], found["episodes"], found["difference"]) == ("scene", 60, 0)
    assert (found["better"], found["worse"]) == (0, 0) and found["at_least"] > -LARGEST_LOSS
    require_accepted(found)
    # Once more: nothing is played, and it is the same.
    assert compared(same, shipped, ASKED, folder, 1, stop) == found and len(told) == 4


def test_what_never_succeeds_accepts_nothing(shipped: Bundle, same: Bundle, tmp_path: Path) -> None:
    """However alike the other one is, which is not even played."""
    folder = tmp_path / "trials"
    played_before(shipped, folder, ASKED, "time")
    with pytest.raises(AcceptanceError, match="itself did 0 of 60 in the scene"):
        compared(same, shipped, ASKED, folder, 1, print)
    assert not place_of(same, folder).exists()


def test_a_loss_is_refused(shipped: Bundle, untrained: Path, tmp_path: Path) -> None:
    """One more failure than above, by a network that did not learn; it leaves no motion."""
    made, folder = open_bundle(untrained), tmp_path / "trials"
    played_before(shipped, folder, ASKED)
    played_before(made, folder, ASKED[1:])
    found = compared(made, shipped, ASKED, folder, 1, print)
    assert lines(made, folder) == [*ASKED[1:], ASKED[0]]
    assert [path.name for path in place_of(made, folder).iterdir()] == [TRIALS]
    assert (found["worse"], found["better"]) == (1, 0)
    with pytest.raises(AcceptanceError, match="in the scene the new bundle may lose"):
        require_accepted(found)
    with pytest.raises(AcceptanceError):
        require_accepted({**found, "at_least": float("nan")})


@pytest.mark.parametrize("count", [1, 40, 400])
def test_how_often_the_unchanged_bundle_must_succeed(count: int) -> None:
    """As often as one that does 5 % of all hardly ever would, by the score test's closed form."""
    need = math.ceil(count * (0.05 + 1.96 * math.sqrt(0.05 * 0.95 / count)))
    require_able([True] * need + [False] * (count - need), "anywhere")
    with pytest.raises(AcceptanceError, match=f"did {need - 1} of {count} anywhere"):
        require_able([True] * (need - 1) + [False] * (count - need + 1), "anywhere")


@pytest.fixture
def asked(tmp_path: Path) -> list[object]:
    """The rest of a command line, with data that there is none of."""
    return [tmp_path / "none", "-o", tmp_path / "new", "--preset", "cpu"]


def test_a_network_of_libero_needs_a_suite(
    bundle: Callable[[str], Bundle], asked: list[object], tmp_path: Path
) -> None:
    """Said before anything is read but the bundle."""
    path = bundle("libero_small").path
    done = in_process("quantize", path, *asked, "--accept", "sim")
    assert done.returncode == EXIT_CODES["WrongUsage"], done.stderr
    assert "cannot act in the demo's scene" in cure_of(done.stderr)[0]
    assert cure_of(done.stderr)[1] == "--libero SUITE"
    # By recordings it may be judged: then it is those that are missing.
    done = in_process("quantize", path, *asked)
    assert done.returncode == EXIT_CODES["DataError"] and entries(tmp_path) == set()


@pytest.mark.parametrize("accept", ["data", "robot", "none"])
def test_a_suite_for_what_plays_nothing(accept: str, asked: list[object]) -> None:
    """As when --accept sim was forgotten."""
    robot = ("--robot", "robot.toml", "--instruction", "lift")
    options = ("--accept", accept, "--libero", "libero_spatial", *robot)
    done = in_process("quantize", "demo", *asked, *options)
    assert done.returncode == EXIT_CODES["WrongUsage"]
    assert f"--libero libero_spatial with --accept {accept}" in cure_of(done.stderr)[0]


def test_without_liberos_packages(
    asked: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Said at once, not after calibrating."""
    monkeypatch.setitem(sys.modules, "libero", None)  # whether it is installed or not
    options = ("--accept", "sim", "--libero", "libero_spatial")
    done = in_process("quantize", "demo", *asked, *options)
    assert done.returncode == EXIT_CODES["MissingExtra"]
    assert cure_of(done.stderr)[2] == "pip install 'dreamvla-edge[libero]'"
    assert entries(tmp_path) == set()


def workers_of(program: int) -> list[int]:
    """Processes that a program has started to play for it."""
    children = Path(f"/proc/{program}/task/{program}/children").read_text().split()
    started = {int(c): Path(f"/proc/{c}/cmdline").read_bytes() for c in children}
    return [number for number, line in started.items() if b"spawn_main" in line]


def interrupted(arguments: list[object], played: int) -> tuple[int, str]:
    """The command, and Ctrl-C for it alone when so many trials are played; code and stderr.

    Its workers stand still in the middle of a trial then: whoever waits for them waits for ever.
    """
    program = subprocess.Popen(
        [*PROGRAM, *map(str, arguments), "-v"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert program.stderr is not None
    shown = []
    for one in program.stderr:
        shown.append(one)
        if f" {played} of 400 trials" in one:
            break
    workers = workers_of(program.pid)
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)
    program.send_signal(signal.SIGINT)
    try:
        _, rest = program.communicate(timeout=30)  # all have ended that could write there
    except subprocess.TimeoutExpired:
        for process in (*workers, program.pid):
            os.kill(process, signal.SIGKILL)
        raise
    return program.returncode, "".join([*shown, rest])


@pytest.mark.slow
def test_ctrl_c_leaves_what_was_played(shipped: Bundle, tmp_path: Path) -> None:
    """By two workers, by one, and by two: no trial twice, nothing half-written."""
    from dreamvla_edge.runtime.arms.description import load_description
    from dreamvla_edge.sim.demo import ARM, IMAGE
    from dreamvla_edge.sim.scene.scene import Scene
    from dreamvla_edge.sim.scene.views import Views
    from dreamvla_edge.sim.tasks import FAMILIES
    from dreamvla_edge.sim.teach import teach

    scene = Scene(load_description(ARM))
    with Views(scene, IMAGE) as views:
        for seed, family in enumerate(FAMILIES.values(), 7):
            teach(scene, views, family, seed, tmp_path / "data" / f"{family.name}-{seed}")
    (tmp_path / "plan.toml").write_text('version = 1\nname = "same"\n[subgraphs]\n')
    asked = ["quantize", "demo", tmp_path / "data", "-o", tmp_path / "new", "--accept", "sim"]
    asked += ["--preset", tmp_path / "plan.toml", "--frames", 20, "--sampler", "parallel-9"]
    folder, before = tmp_path / "new.trials", 0
    for workers in (2, 1, 2):
        code, told = interrupted([*asked, "--workers", workers], before + MORE)
        assert code == EXIT_CODES["Interrupted"], told
        assert "Traceback" not in told
        assert sorted(p.name for p in tmp_path.iterdir()) == ["data", "new.trials", "plan.toml"]
        found = lines(shipped, folder)
        assert len(found) == len(set(found)) >= before + MORE
        # A short trial that two workers begin after a long one does not wait for it.
        new = [asked.seed for asked in found[before:]]
        assert (new == sorted(new)) == (workers == 1)
        before = len(found)
    # What the unchanged bundle does is played before all that is made of it.
    assert [p.name for p in folder.iterdir()] == [place_of(shipped, folder).name]
