"""`dreamvla quantize --accept robot`: two bundles take turns on the arm, a person judges.

Nobody is told which bundle moves the arm. Both do every trial once, in an order that is drawn for
the trial; the verdicts stand in a file beside the output, so that the same command goes on.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from dreamvla_edge.runtime.bundle import sha256
from dreamvla_edge.runtime.errors import AcceptanceError, GuardianError, OutputError
from dreamvla_edge.runtime.manifest import MANIFEST_NAME

from .dialogue import fresh_line, say

if TYPE_CHECKING:
    from dreamvla_edge.runtime.bundle import Bundle

    from .keyboard import Keyboard
    from .report import Report
    from .session import Session

_NEW, _OLD = "new", "old"
_KEYS = "y: done, n: not done; space, Esc: stop; q Enter: go on another day"


class Verdicts:
    """What a person said, by trial and bundle; every line of the file is one verdict.

    about: what the verdicts are of; those of something else are refused. Raises OutputError.
    """

    def __init__(self, path: Path, about: dict[str, str]) -> None:
        self._path = path
        self.said: dict[tuple[int, str], bool] = {}
        lines = path.read_text().splitlines() if path.exists() else []
        if lines and json.loads(lines[0]) != about:
            raise OutputError(
                f"{path} holds verdicts about other bundles or another instruction",
                f"verdicts about {about[_NEW][:12]}… and {about[_OLD][:12]}…",
                "remove the file to begin anew, or give the same bundle, data and preset again",
            )
        for line in lines[1:]:
            with suppress(json.JSONDecodeError):  # cut off: that trial is done again
                found = json.loads(line)
                self.said[found["trial"], found["who"]] = found["success"]
        if not lines:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(about) + "\n")

    def add(self, trial: int, who: str, success: bool) -> None:
        """Writes a verdict down."""
        self.said[trial, who] = success
        with self._path.open("a") as file:
            print(json.dumps({"trial": trial, "who": who, "success": success}), file=file)


def open_trials(count: int, verdicts: Verdicts) -> Iterator[tuple[int, str]]:
    """What is still to be done, in an order that nobody can guess from the numbers."""
    for trial in range(count):
        order = [_NEW, _OLD]
        random.Random(trial).shuffle(order)
        for who in order:
            if (trial, who) not in verdicts.said:
                yield trial, who


def tried(
    made: Bundle,
    opened: Bundle,
    robot_file: Path,
    instruction: str,
    count: int,
    verdicts_file: Path,
    report: Report,
) -> dict[str, float]:
    """How both did.

    Raises AcceptanceError if trials are open, the new one may be much worse, or the old one does
    too little to tell.
    """
    from dreamvla_edge.sim.evaluation.loss import require_able, require_kept
    from dreamvla_edge.sim.evaluation.statistics import compare

    bundles = {_NEW: made, _OLD: opened}
    hashes = {name: sha256(b.file(MANIFEST_NAME)) for name, b in bundles.items()}
    verdicts = Verdicts(verdicts_file, {**hashes, "instruction": instruction})
    for trial, who in open_trials(count, verdicts):
        done = len(verdicts.said)
        begin = f"trial {done + 1} of {2 * count}: set the scene up, then Enter (q Enter ends)"
        if fresh_line(begin).lower() == "q":
            break
        verdict = _judged(bundles[who], robot_file, instruction, report)
        if verdict is None:
            break
        verdicts.add(trial, who, verdict)
    if len(verdicts.said) < 2 * count:
        raise AcceptanceError(
            f"{len(verdicts.said)} of {2 * count} trials are done ({verdicts_file})",
            "all of them",
            "give the same command again to go on",
        )
    outcomes = {who: [verdicts.said[i, who] for i in range(count)] for who in bundles}
    found = compare(outcomes[_NEW], outcomes[_OLD])
    report.text(
        f"{count} trials on the robot: {sum(outcomes[_NEW])} done by the new bundle,"
        f" {sum(outcomes[_OLD])} by the old one; with 95 % not below {100 * found.low:+.1f} points"
    )
    require_able(outcomes[_OLD], "on the robot")
    numbers = {
        "episodes": count,
        "difference": found.mean,
        "at_least": found.low,
        "p": found.p,
    }
    require_kept(numbers, "on the robot")
    return numbers


def _judged(bundle: Bundle, robot_file: Path, instruction: str, report: Report) -> bool | None:
    """One trial's verdict; None if the person ends for today. The arm holds afterwards."""
    from dreamvla_edge.runtime.guardian.message import Order

    from .keyboard import Key, Keyboard
    from .session import Wishes, session

    keys = {"y": Key("verdict", "y"), "n": Key("verdict", "n")}
    with session(bundle, robot_file, Wishes(instruction), report.progress) as parts:

        def stop() -> None:
            with suppress(GuardianError):  # it has ended, and so does the trial
                parts.watch.order(Order.STOP, "stopped at the keyboard")

        with Keyboard(stop, keys) as keyboard:
            say(_KEYS)
            return _watch(keyboard, parts)


def _watch(keyboard: Keyboard, parts: Session) -> bool | None:
    while True:
        for key in keyboard.take():
            if key.action == "verdict":
                return key.text == "y"
            if key.action == "quit":
                return None
        parts.pilot.step()
        parts.watch.reports()
