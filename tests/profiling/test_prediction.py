"""What is expected of a board follows from its floors and what is assumed."""

from __future__ import annotations

import json

import pytest

from dreamvla_edge.cli.prediction import show_prediction
from dreamvla_edge.cli.report import Report
from dreamvla_edge.demo import BUNDLE
from dreamvla_edge.runtime.bundle import open_bundle
from dreamvla_edge.runtime.errors import BoardError
from dreamvla_edge.runtime.profiler.boards import board
from dreamvla_edge.runtime.profiler.prediction import (
    ASSUMED,
    Efficiency,
    measured,
    predict,
    predict_stages,
)
from dreamvla_edge.runtime.profiler.roofline import ACTION, WHOLE, Roof, Runs, floors, stages
from dreamvla_edge.runtime.work import Product, Work

DEMO = open_bundle(BUNDLE)
NANO = board("orin-nano-super").roof()
NO_START = Efficiency(0.25, 0.5, 0.0, 0.0, "made up")
ROOF = Roof("a machine", "on", {"fp32": 1e12}, 1e11, 0.0, "made up")


def of(whole_s: float, rate_hz: float, waypoints: int, efficiency: Efficiency) -> tuple[str, str]:
    """The time bases at both ends for a step of that floor."""
    gflop = Product(1, 1, round(whole_s * 5e11), 1, "fp32", "fp32")
    work = {"step": (Runs(Work((gflop,), 0, 0, 0, 1)),)}
    found = predict_stages(
        *(work, ROOF, rate_hz, waypoints), precision="as stored", efficiencies={"step": efficiency}
    )
    return found.best.name, found.worst.name


def test_the_range_is_the_floor_over_the_efficiencies() -> None:
    """And the sums are those of the stages."""
    names = ("vision", "embed", "step", "prefill", "sampler")
    found = predict(DEMO.manifest, NANO, efficiencies=dict.fromkeys(names, NO_START))
    for name, floor in floors(DEMO, NANO).items():
        assert found.stages[name].floor == floor
        assert found.stages[name].low_s == pytest.approx(floor.seconds / 0.5)
        assert found.stages[name].high_s == pytest.approx(floor.seconds / 0.25)


def test_a_small_network_takes_what_its_kernels_take_to_start() -> None:
    """The demo's arithmetic is nothing to a Jetson."""
    found = predict(DEMO.manifest, NANO)
    kernels = sum(runs.work.kernels * runs.times for runs in stages(DEMO.manifest)["sampler"])
    assert found.stages["sampler"].high_s == pytest.approx(kernels * 3e-6)
    assert found.stages[ACTION].high_s < found.stages[WHOLE].high_s


def test_a_measured_share_replaces_the_assumption() -> None:
    """For its stage alone."""
    share = measured(0.2, "profile.json of this board")
    found = predict(DEMO.manifest, NANO, efficiencies={"vision": share})
    vision = found.stages["vision"]
    assert vision.low_s == vision.high_s == pytest.approx(vision.floor.seconds / 0.2)
    assert found.efficiencies["vision"].source == "profile.json of this board"
    assert "published" in found.efficiencies["step"].source


@pytest.mark.parametrize(
    ("whole_s", "bases"),
    [
        (0.01, ("real", "real")),  # 20 to 40 ms; two of 50 ms fit into three periods of 33 ms
        (0.02, ("real", "stretched")),  # 40 to 80 ms
        (0.03, ("stretched", "stretched")),
    ],
)
def test_real_time(whole_s: float, bases: tuple[str, str]) -> None:
    """By the rule of `dreamvla run`, at both ends."""
    assert of(whole_s, 30.0, 3, NO_START) == bases


def test_precisions() -> None:
    """Fewer bits never have a higher floor; 8-bit floats are Thor's alone."""
    whole = [predict(DEMO.manifest, NANO, p).stages[WHOLE].floor.seconds for p in (None, "fp16")]
    assert whole[1] < whole[0]
    orin = predict(DEMO.manifest, NANO, "orin").stages[WHOLE].floor.seconds
    assert orin < whole[1]
    with pytest.raises(BoardError):
        predict(DEMO.manifest, NANO, "thor")
    assert predict(DEMO.manifest, board("thor-t5000").roof(), "thor").precision == "thor"


def test_what_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """Marked as a prediction, with what was assumed and where that comes from."""
    report = Report()
    show_prediction(DEMO, "orin-nano-super", "maxn_super", None, report)
    report.finish()
    shown = capsys.readouterr().out
    for text in ("prediction, not measured: Orin Nano 8GB Super, power mode MAXN_SUPER", "FlashRT"):
        assert text in shown
    assert "the data set's 10 Hz: in real time" in shown
    assert "other power modes: 25W, 15W" in shown


def test_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """One document with the same figures, and those of the precisions that the board knows."""
    report = Report(as_json=True)
    show_prediction(DEMO, "orin-nano-super", None, "ddim-5", report)
    report.finish()
    told = json.loads(capsys.readouterr().out)
    assert told["if_quantized"].keys() == set(ASSUMED) - {"thor"}
    stage = told["prediction"]["stages"]["sampler"]
    work = DEMO.manifest.subgraphs["denoise"].work["evaluation"]
    assert stage["floor"]["gflop"] == pytest.approx(5 * work.gflop)
    assert stage["low_s"] <= stage["high_s"]
