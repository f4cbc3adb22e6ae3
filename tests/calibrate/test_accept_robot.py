"""Two bundles take turns on an arm, and a person at the keyboard judges."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from commands import cure_of, dreamvla
from desk import Desk
from dreamvla_edge.cli.accept_robot import Verdicts, open_trials, tried
from dreamvla_edge.cli.exit_codes import EXIT_CODES
from dreamvla_edge.cli.report import Report
from dreamvla_edge.demo import BUNDLE
from dreamvla_edge.runtime.bundle import open_bundle, sha256
from dreamvla_edge.runtime.errors import AcceptanceError, OutputError
from dreamvla_edge.runtime.manifest import MANIFEST_NAME

ABOUT = {"new": "a" * 64, "old": "b" * 64, "instruction": "lift the block"}


def test_both_do_every_trial_in_an_order_that_tells_nothing(tmp_path: Path) -> None:
    """Each once, and the new one begins about as often as the old."""
    order = list(open_trials(200, Verdicts(tmp_path / "verdicts", ABOUT)))
    assert len(order) == len(set(order)) == 400
    begins = [who for trial, who in order if [w for t, w in order if t == trial][0] == who]
    assert 70 < sum(who == "new" for who in begins) < 130


def test_what_is_said_is_kept(tmp_path: Path) -> None:
    """Also when the last line was cut off; that trial is done again."""
    path = tmp_path / "verdicts"
    verdicts = Verdicts(path, ABOUT)
    for trial, who in open_trials(3, verdicts):
        verdicts.add(trial, who, trial == 1)
    assert list(open_trials(3, Verdicts(path, ABOUT))) == []
    path.write_text(path.read_text()[:-5])
    again = Verdicts(path, ABOUT)
    assert len(again.said) == 5 and len(list(open_trials(3, again))) == 1
    assert {key[0] for key, done in again.said.items() if done} <= {1}


def test_verdicts_about_something_else_are_refused(tmp_path: Path) -> None:
    """Another bundle, or another task."""
    Verdicts(tmp_path / "verdicts", ABOUT)
    with pytest.raises(OutputError, match="other bundles or another instruction"):
        Verdicts(tmp_path / "verdicts", {**ABOUT, "new": "c" * 64})


@pytest.mark.parametrize(("done", "accepted"), [(0, False), (9, False), (10, True)])
def test_what_hardly_succeeds_accepts_nothing(done: int, accepted: bool, tmp_path: Path) -> None:
    """Both do alike; of 100 trials it takes 10 to be sure, with 95 %, of more than 5 %."""
    shipped, path = open_bundle(BUNDLE), tmp_path / "verdicts"
    digest = sha256(shipped.file(MANIFEST_NAME))
    verdicts = Verdicts(path, {"new": digest, "old": digest, "instruction": "lift the block"})
    for trial, who in open_trials(100, verdicts):
        verdicts.add(trial, who, trial < done)
    asked = (shipped, shipped, tmp_path / "robot.toml", "lift the block", 100, path, Report())
    if accepted:
        assert tried(*asked)["difference"] == 0
        return
    with pytest.raises(AcceptanceError, match=f"itself did {done} of 100 on the robot"):
        tried(*asked)


def test_nobody_to_judge(desk: Desk, recordings: Path, tmp_path: Path) -> None:
    """Without a terminal nothing is moved, read or written."""
    asked = ["--preset", "cpu", "--accept", "robot", "--robot", desk.robot]
    asked += ["--instruction", "lift the red block"]
    done = dreamvla("quantize", "demo", recordings, "-o", tmp_path / "made", *asked)
    found, _, cure = cure_of(done.stderr)
    assert done.returncode == EXIT_CODES["WrongUsage"] and "without a terminal" in found
    assert "in a terminal" in cure and "rx" not in desk.log.read_text()


def test_the_arm_is_judged_at_the_keyboard(desk: Desk, recordings: Path, tmp_path: Path) -> None:
    """Ended on the way and gone on with; too few trials to accept, then enough."""
    plan, output = tmp_path / "plan.toml", tmp_path / "made"
    plan.write_text('version = 1\nname = "same"\n[subgraphs]\n')
    asked = ["quantize", "demo", recordings, "-o", output, "--preset", plan, "--sampler"]
    asked += ["parallel-9", "--frames", 10, "--no-dream", "--accept", "robot", "--json"]
    asked += ["--robot", desk.robot, "--instruction", "lift the red block", "--trials"]
    first = desk.terminal(*asked, 1, "-v")
    after = 0
    for trial in (1, 2):
        first.see(f"trial {trial} of 2: set the scene up", after)
        after = first.type("\n")
        first.see("y: done", after)
        after = first.type("y")
    verdicts = tmp_path / "made.verdicts.jsonl"
    first.see("expected")
    code, _ = first.end()
    assert code == EXIT_CODES["AcceptanceError"]
    assert len(verdicts.read_text().splitlines()) == 3
    assert set(desk.torque().values()) == {1}
    assert not output.exists()
    lines = [{"trial": t, "who": w, "success": True} for t in range(100) for w in ("new", "old")]
    begun = verdicts.read_text().splitlines()[0]
    verdicts.write_text("\n".join([begun, *map(json.dumps, lines)]) + "\n")
    code, told = desk.terminal(*asked, 100).end()
    assert code == 0
    acceptance = open_bundle(output).manifest.quantization.acceptance  # type: ignore[union-attr]
    assert acceptance is not None and acceptance["kind"] == "robot"
    assert acceptance["episodes"] == 100 and acceptance["at_least"] > -0.05
