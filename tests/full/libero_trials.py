"""What `tools/libero.sh` runs: trials of an untrained network in LIBERO, whoever plays them.

It does not do its task, so nothing that is made of it is accepted there; and what is refused before
any trial is.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

import msgspec

from dreamvla_edge.calibrate.plan import Choice, QuantPlan
from dreamvla_edge.calibrate.quantize import quantize
from dreamvla_edge.cli.exit_codes import EXIT_CODES
from dreamvla_edge.export.data_set import DataSet, load_data_set
from dreamvla_edge.export.export import export
from dreamvla_edge.model.synthetic import LIBERO, SMALL, write_checkpoint
from dreamvla_edge.runtime.bundle import Bundle, open_bundle, sha256
from dreamvla_edge.runtime.errors import AcceptanceError
from dreamvla_edge.runtime.manifest import MANIFEST_NAME
from dreamvla_edge.sim.evaluation.acceptance import compared
from dreamvla_edge.sim.evaluation.evaluation import TRIALS
from dreamvla_edge.sim.evaluation.libero import trials

SUITE, NUMBERS = "libero_spatial", range(4, 15, 10)
"""Two states of the task whose bowl lies in a drawer: an arm that thrashes about cannot push it
onto the plate, as it did where the bowl stands beside that."""
_AT_ONCE_S = 60
"""Much less than one trial of 600 steps takes."""


def main() -> None:
    """Prints what was found; raises AssertionError if anything is not as it must be."""
    count = len(NUMBERS)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        opened = _exported(folder)
        _refused(opened, folder)
        alone = _evaluated(opened, folder / "eval")
        print(alone)
        plan = QuantPlan(1, "w8", {"denoise": Choice(precision="w8")})
        made = quantize(opened, plan, {}, folder / "made")
        log = folder / "trials" / sha256(opened.file(MANIFEST_NAME))[:12] / TRIALS
        for attempt in ("played", "gone on with"):
            began_s = monotonic()
            why = _not_accepted(made, opened, folder / "trials")
            print(f"{attempt} in {monotonic() - began_s:.0f} s: {why}")
            assert f"did 0 of {count} in {SUITE}" in why
            pair = sorted(_lines(log), key=lambda trial: trial["seed"])
            assert [(trial["seed"], trial["steps"], trial["end"]) for trial in pair] == [
                (number // 10, 600, "time") for number in NUMBERS
            ]
            assert pair[0] == alone  # by one process as by two, with the sha256 of all actions
            assert [*(folder / "trials").rglob("*")] == [log.parent, log]  # no picture, not `made`
        assert monotonic() - began_s < _AT_ONCE_S


def _exported(folder: Path) -> Bundle:
    """A small network of LIBERO's form, as its random weights are."""
    given = load_data_set("libero")
    small = {part: getattr(SMALL, part) for part in ("backbone", "vision", "text", "denoiser")}
    model = msgspec.structs.replace(given.model, heads=SMALL.backbone.heads)
    write_checkpoint(folder / "c.pth", replace(LIBERO, **small), 0)
    data_set = DataSet(specification=given.specification, model=model)
    export(folder / "c.pth", folder / "bundle", data_set)
    return open_bundle(folder / "bundle")


def _dreamvla(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dreamvla_edge.cli", *map(str, arguments)]
    return subprocess.run(command, stderr=subprocess.PIPE, text=True)


def _refused(opened: Bundle, folder: Path) -> None:
    """Before DATA is looked for, which there is none of."""
    asked = ["quantize", opened.path, folder / "none", "-o", folder / "new", "--preset", "cpu"]
    for options, kind, said in (
        ((), "WrongUsage", "--libero SUITE"),
        (("--libero", "libero_moon"), "ObservationError", "no suite of LIBERO is called"),
    ):
        done = _dreamvla(*asked, "--accept", "sim", *options)
        assert done.returncode == EXIT_CODES[kind] and said in done.stderr, done.stderr
        print(done.stderr, end="")


def _evaluated(opened: Bundle, out: Path) -> dict[str, Any]:
    """The first trial by the command, in one process."""
    seeds = f"{NUMBERS[0]}:{NUMBERS[0] + 1}"
    options = ["--libero", SUITE, "--seeds", seeds, "--no-controls", "-o", out]
    done = _dreamvla("eval", opened.path, *options)
    assert done.returncode == 0, done.stderr
    (trial,) = _lines(out / TRIALS)
    return trial


def _lines(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line)["trial"] for line in log.read_text().splitlines()]


def _not_accepted(made: Bundle, opened: Bundle, folder: Path) -> str:
    """Why not, which must be that the unchanged bundle never succeeds."""
    try:
        compared(made, opened, trials(SUITE, NUMBERS), folder, 2, print)
    except AcceptanceError as error:
        return str(error)
    raise AssertionError("accepted")


if __name__ == "__main__":
    main()
