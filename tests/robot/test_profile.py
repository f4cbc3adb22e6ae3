"""`dreamvla profile` as a person runs it: real processes, a virtual arm, a run beside it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from commands import PROGRAM, cure_of, document, dreamvla
from desk import SO101, Desk
from dreamvla_edge.cli.exit_codes import EXIT_CODES
from dreamvla_edge.cli.profile_run import Asked, _goals_s, drive
from dreamvla_edge.demo import BUNDLE
from dreamvla_edge.runtime.arms.feetech import sync_write
from dreamvla_edge.runtime.arms.port import Port
from dreamvla_edge.runtime.bundle import open_bundle
from dreamvla_edge.runtime.pilot import pilot
from dreamvla_edge.runtime.profiler.profile import load_profile
from dreamvla_edge.runtime.profiler.timeline import PATH
from profiling.browser import laid_out

RUNS = 30
FILES = ("profile.json", "index.html", "trace.json")
GOAL = 42


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With everything that one profile of the shipped bundle writes."""
    folder = tmp_path_factory.mktemp("profile") / "out"
    done = dreamvla("profile", "demo", "-n", RUNS, "--rate", 20, "-o", folder, "--json")
    assert done.returncode == 0, done.stderr
    (folder / "stdout.json").write_text(done.stdout)
    return folder


def events(folder: Path) -> list[dict[str, Any]]:
    """Of the trace."""
    found: list[dict[str, Any]] = json.loads((folder / "trace.json").read_text())["traceEvents"]
    return found


def test_the_document(folder: Path) -> None:
    """Every stage of every decision, and together they are the whole."""
    found = load_profile(folder / "profile.json")
    told = json.loads((folder / "stdout.json").read_text())
    assert told["profile"]["end_to_end"]["seconds"] == list(found.end_to_end.seconds)
    stages = {name: stage.seconds for name, stage in found.stages.items()}
    assert {*PATH, "prefill", "other"} - {"prefill_wait"} <= set(stages)
    whole = np.sum([s for name, s in stages.items() if name != "prefill"], axis=0)
    np.testing.assert_allclose(whole, found.end_to_end.seconds, atol=1e-9)
    assert all(np.isfinite(seconds).all() and min(seconds) >= 0 for seconds in stages.values())
    assert found.subject.until == "the last serial byte, by the bus's clock"
    assert found.subject.runs + found.left_out == RUNS
    # The median of what is left between the stages: 3 % is the promise.
    assert found.stages["other"].summary.p50 <= 0.03 * found.end_to_end.summary.p50
    assert found.cold_start is not None and 0 < found.cold_start.open < found.cold_start.total
    # Measuring the roof, before, takes 268 MB that are not the policy's.
    assert 50 < found.use.policy_mb <= found.use.policy_peak_mb < found.use.policy_mb + 200
    assert len(found.use.core_loads) == found.environment.cores
    for name, stage in found.stages.items():
        if stage.floor is not None:
            assert 0 <= stage.floor.seconds < stage.summary.max, name


def test_the_trace(folder: Path) -> None:
    """In Google's format; its spans are the document's, and none overlaps another on its track."""
    found, trace = load_profile(folder / "profile.json"), events(folder)
    tracks: dict[tuple[int, int], list[dict[str, Any]]] = {}
    open_events = set()
    for event in trace:
        assert {"ph", "name", "pid", "tid", "ts"} <= set(event)
        if event["ph"] == "X":
            assert event["dur"] >= 0
            tracks.setdefault((event["pid"], event["tid"]), []).append(event)
        elif event["ph"] == "b":
            open_events.add((event["id"], event["name"]))
        elif event["ph"] == "e":
            open_events.remove((event["id"], event["name"]))
        else:
            assert event["ph"] in "MC" and isinstance(event["args"], dict)
    assert not open_events
    for spans in tracks.values():
        ordered = sorted(spans, key=lambda span: (span["ts"], span["dur"]))
        for one, following in zip(ordered, ordered[1:], strict=False):
            assert one["ts"] + one["dur"] <= following["ts"] + 1
    visions = [event["dur"] / 1e6 for event in trace if event["name"] == "vision"]
    np.testing.assert_allclose(visions, found.stages["vision"].seconds, atol=1e-9)
    whole = {}
    for event in trace:
        if event["name"].startswith("decision "):
            whole.setdefault(event["id"], []).append(event["ts"] / 1e6)
    np.testing.assert_allclose(
        [end - begin for begin, end in whole.values()], found.end_to_end.seconds, atol=1e-6
    )


def test_nothing_is_computed_ahead_while_goals_are_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However long inverse kinematics takes, it has the machine for itself."""
    quick = pilot.route

    def slow(*about: Any) -> pilot.Route:
        time.sleep(0.02)
        return quick(*about)

    monkeypatch.setattr(pilot, "route", slow)
    found = drive(open_bundle(BUNDLE), Asked(runs=5, warm_up=1, rate_hz=10), lambda _: None)
    spans = [one.spans for one in found.seen.decided]
    for one, following in zip(spans, spans[1:], strict=False):
        assert following["prefill"][0] > one["kinematics"][1]


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
def test_its_page(folder: Path, tmp_path: Path) -> None:
    """Of a real run, on a telephone."""
    found = laid_out((folder / "index.html").read_text(), 390, tmp_path)
    assert found["said"] == [] and found["crossing"] == [] and found["scroll"] <= 390
    for chart in found["charts"]:
        assert chart["marks"] > 0 and chart["overlaps"] == [] and chart["outside"] == []


def test_a_deadline_that_is_not_kept(folder: Path) -> None:
    """Its own exit code, after everything was measured and compared."""
    before = folder / "profile.json"
    done = dreamvla(
        *("profile", "demo", "-n", 10, "--rate", 20, "--json"),
        *("--against", before, "--deadline", "0.5ms", "--board", "agx-orin-64gb:MODE_30W"),
    )
    assert done.returncode == EXIT_CODES["LatencyError"]
    assert " of all 10 took longer than 0.5 ms" in cure_of(done.stderr)[0]
    told = document(done)
    assert told["profile"]["roof"]["mode"] == "MODE_30W"
    assert told["deadline"]["late"] == told["profile"]["subject"]["runs"]
    assert {r["verdict"] for r in told["against"]["ratios"].values()} <= {
        "slower",
        "faster",
        "no difference",
    }
    assert {"vision", "end to end", "guardian"} <= set(told["against"]["ratios"])


@pytest.mark.parametrize(
    ("options", "error", "found"),
    [
        (("--against", "{folder}/none.json"), "ProfileError", "none.json holds no profile"),
        (("-o", "{folder}"), "OutputError", "exists"),
        (("--backend", "tensorrt"), "BackendError", "tensorrt"),
        (("--layers", "--backend", "tensorrt"), "BackendError", "tensorrt"),
        (("--board", "toaster"), "BoardError", "board 'toaster'"),
        (("--predict", "toaster"), "BoardError", "board 'toaster'"),
        (
            ("--predict", "thor-t5000", "--rate", "5"),
            "WrongUsage",
            "--predict does not take '--rate'",
        ),
        (("--layers", "-o", "{folder}/x"), "WrongUsage", "--layers does not take '-o'"),
        (("--layers", "--predict", "thor-t5000"), "WrongUsage", "exclude each other"),
        (("--seconds", "3"), "WrongUsage", "--seconds belongs to --watch"),
        (("--force",), "WrongUsage", "--force belongs to -o"),
        (("--rate", "1e-310"), "WrongUsage", "is not in the range 0.01<=x<=1000"),
        (("--watch", "--deadline", "3ms"), "WrongUsage", "does not take '--deadline', '[BUNDLE]'"),
        (("--html", "{folder}/same", "--trace", "{folder}/same"), "OutputError", "two files"),
        (("-o", "/proc/x"), "OutputError", "nothing can be written into /proc"),
        (("--deadline", "soon"), "WrongUsage", "'soon' is no duration"),
        (("--robot", "{folder}/robot.toml"), "RobotError", "robot.toml"),
    ],
)
def test_what_is_refused(options: tuple[str, ...], error: str, found: str, folder: Path) -> None:
    """Before anything is measured."""
    given = [option.format(folder=folder) for option in options]
    done = dreamvla("profile", "demo", *given)
    assert done.returncode == EXIT_CODES[error], done.stderr
    assert found in done.stderr


@pytest.mark.parametrize("stdout", ["closed", "/dev/full"])
def test_a_stdout_that_takes_nothing(stdout: str, tmp_path: Path) -> None:
    """What was measured is in its files first."""
    command = [*PROGRAM, "profile", "demo", "-n", "5", "--rate", "20", "-o", tmp_path / "out"]
    place = stdout
    if stdout == "closed":
        place = str(tmp_path / "pipe")
        os.mkfifo(place)
        threading.Thread(target=lambda: open(place).close(), daemon=True).start()
    with open(place, "w") as nowhere:
        done = subprocess.run(
            command, stdout=nowhere, stderr=subprocess.PIPE, text=True, timeout=300
        )
    assert done.returncode == (1 if stdout == "closed" else EXIT_CODES["OutputError"])
    assert "Traceback" not in done.stderr
    assert load_profile(tmp_path / "out" / "profile.json").subject.runs > 0
    assert {p.name for p in (tmp_path / "out").iterdir()} == {*FILES}


def test_a_tegrastats_that_ends(tmp_path: Path) -> None:
    """Power of a moment is not passed off as that of the whole time."""
    program = tmp_path / "tegrastats"
    program.write_text(
        "#!/bin/sh\nsleep 0.5; echo VDD_IN 5000mW/5000mW; sleep 0.2\necho VDD_IN 5000mW/5000mW\n"
    )
    program.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = dreamvla(
        *("profile", "demo", "-n", 40, "--rate", 10, "--json"), env={**os.environ, "PATH": path}
    )
    found = document(done)["profile"]
    assert found["environment"]["telemetry"].startswith("tegrastats, which ended, then sysfs")
    assert found["use"]["power_w"] == pytest.approx(5.0) and found["use"]["core_loads"]
    (note,) = found["notes"]
    assert "nothing told the power for " in note


def test_a_folder_with_a_module(tmp_path: Path) -> None:
    """What a user calls random.py is no module of the guardian, the bus or a fresh policy."""
    for name in ("random", "numpy", "runpy", "signal"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(99)\n")
    done = dreamvla("profile", "demo", "-n", 5, "--rate", 20, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_without_a_bundle_or_a_run(desk: Desk) -> None:
    """What is missing is named."""
    assert "BUNDLE" in cure_of(dreamvla("profile").stderr)[0]
    assert "--robot FILE" in cure_of(dreamvla("profile", "--watch").stderr)[0]
    done = dreamvla("profile", "--watch", "--robot", desk.robot)
    assert done.returncode == EXIT_CODES["GuardianError"]


def test_beside_a_run(desk: Desk) -> None:
    """Its stages are seen from outside, and it goes on."""
    run = desk.terminal(
        *("run", "demo", "--robot", desk.robot, "--instruction", "touch the red cube", "--force")
    )
    run.see("TRACK")
    told = document(dreamvla("profile", "--watch", "--robot", desk.robot, "--seconds", 3, "--json"))
    assert told["shown"] >= 2 and told["decisions"] >= told["shown"]
    assert {"capture", "vision", "sampler", "guardian", "end to end"} <= set(told["stages"])
    assert told["stages"]["end to end"]["p50"] >= told["stages"]["vision"]["p50"] > 0
    assert told["guardian"]["cycles"] > 50
    run.type("q\n")
    code = run.program.wait(120)
    assert code == 0


def test_the_clock_of_the_bus(desk: Desk) -> None:
    """The log's stamp of goals lies between their writing and an answer that follows them."""
    port = Port(str(desk.bus.port), SO101.baud)
    before, stamps = time.monotonic(), []
    for _ in range(20):
        begin = time.monotonic()
        port.send(sync_write(GOAL, {servo: b"\x00\x08" for servo in SO101.servos}))
        time.sleep(0.01)
        stamps.append((begin, time.monotonic()))
    port.close()
    time.sleep(0.2)
    found = [at for at in _goals_s(desk.log, GOAL) if at >= before]
    assert len(found) == 20
    late = [at - begin for at, (begin, _) in zip(found, stamps, strict=True)]
    assert min(late) >= 0 and np.median(late) < 0.01


def test_layers(tmp_path: Path) -> None:
    """Every layer by its name, and the denoiser's ten times a step."""
    told = document(dreamvla("profile", "demo", "--layers", "-n", 5, "--json"))
    layers = told["layers"]
    assert {layer["subgraph"] for layer in layers} == {"vision", "embed", "backbone", "denoise"}
    assert {layer["use"] for layer in layers} == {"frame", "step", "prefill", "evaluation"}
    products = [layer for layer in layers if layer["layer"].startswith("net.blocks.0.mlp.fc1/")]
    assert {layer["times"] for layer in products} == {10}
    assert all(layer["seconds"] >= 0 for layer in layers)
    assert told["step_s"] == pytest.approx(sum(layer["step_s"] for layer in layers))
    steps = [layer["step_s"] for layer in layers]
    assert steps == sorted(steps, reverse=True)
