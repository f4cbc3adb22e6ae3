"""The page in a browser, and the document that it is made from."""

from __future__ import annotations

import json
import shutil
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from dreamvla_edge.cli.profile import _judge
from dreamvla_edge.cli.profile_charts import number
from dreamvla_edge.cli.profile_document import power_gaps
from dreamvla_edge.cli.profile_page import page
from dreamvla_edge.cli.profile_run import Seen, Spent
from dreamvla_edge.cli.profile_table import facts, show_comparison
from dreamvla_edge.cli.profile_watch import _document
from dreamvla_edge.cli.report import Report
from dreamvla_edge.runtime.errors import LatencyError, ProfileError
from dreamvla_edge.runtime.guardian.message import REPORT
from dreamvla_edge.runtime.profiler.profile import Profile, compare, load_profile, unlike
from dreamvla_edge.runtime.profiler.sample import Sample
from dreamvla_edge.runtime.profiler.stage_ring import Noted
from profiling.browser import laid_out
from profiling.profiles import MEDIANS_MS, full, sparse


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
@pytest.mark.parametrize(("made", "width"), [(full, 1280), (full, 390), (sparse, 390)])
def test_the_page(made: object, width: int, tmp_path: Path) -> None:
    """No error, no empty chart, nothing over something else or beyond the edge, nothing loaded."""
    assert callable(made)
    found = laid_out(page(made()), width, tmp_path)
    assert found["said"] == [] and found["linked"] == 0
    assert found["width"] == width and found["scroll"] <= width
    assert len(found["charts"]) == 4 and found["crossing"] == []
    for chart in found["charts"]:
        assert chart["marks"] > 0, chart["label"]
        assert chart["overlaps"] == [] and chart["outside"] == [], chart["label"]
        assert chart["height"] > 100 and chart["smallest"] > 9, chart["label"]


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
def test_what_the_browser_would_find(tmp_path: Path) -> None:
    """Planted: an error, an empty chart, two texts over each other, one beyond the edge."""
    empty = '<svg viewBox="0 0 360 100" aria-label="x"><text x="0" y="20">{}</text></svg>'
    texts = '<text x="2" y="20">above</text><text x="300" y="80">a long way out of it</text>'
    bad = "<script>undefined_function()</script>" + empty.format("below</text>" + texts + "<text>")
    found = laid_out(page(full()).replace("<h1>", f"{bad}<h1>", 1), 390, tmp_path)
    assert "undefined_function" in found["said"][0]
    chart = found["charts"][0]
    assert chart["marks"] == 0 and chart["overlaps"] == ["below / above"]
    assert chart["outside"] == ["a long way out of it"]


def test_what_is_said_beside_the_times() -> None:
    """Everything that this machine tells, and that it does not tell."""
    told, silent = " ".join(facts(full())), " ".join(facts(sparse()))
    for part in ("21.5 W, 26.00 J per action", "45 °C before", "off", "2400 MB", "200 of 200"):
        assert part in told
    assert "does not tell" in silent and "cold start" not in silent
    use = msgspec.structs.replace(full().use, power_of="GPU")
    alone = " ".join(facts(msgspec.structs.replace(full(), use=use)))
    assert "power of the GPU alone: 21.5 W" in alone and "alone" not in told


@pytest.mark.parametrize(
    ("slow", "left_out", "kept"),
    [(0, 0, True), (0, 2, True), (2, 0, True), (0, 3, False), (3, 0, False), (2, 1, False)],
)
def test_a_deadline_is_for_all(slow: int, left_out: int, kept: bool) -> None:
    """99 of 100 decisions, and those that never arrived are late."""
    found, report = msgspec.structs.replace(full(200), left_out=left_out), Report(as_json=True)
    deadline_s = float(np.sort(found.end_to_end.seconds)[-1 - slow])
    if kept:
        _judge(found, deadline_s, report)
    else:
        with pytest.raises(LatencyError, match=f"3 of all {200 + left_out} "):
            _judge(found, deadline_s, report)
    assert json.loads(report.as_text())["deadline"]["late"] == slow + left_out


def test_when_nothing_told_the_power() -> None:
    """What one source told, until it ended, is not that of the next, which tells another's."""
    seen = Seen(
        *([], tuple(Sample(t / 10, 5.0) for t in range(20)), "x", 0.0, 10.0, 0.0),
        *(Spent(None, None, None, None), None, None, 1.0, 1.0, "real"),
    )
    (said,) = power_gaps(seen)
    assert "nothing told the power for 8.1 of 10.0 s" in said
    gpu = tuple(Sample(t / 10, 50.0, power_of="GPU") for t in range(20, 100))
    assert power_gaps(replace(seen, samples=seen.samples + gpu)) == (said,)
    board = tuple(Sample(t / 10, 5.0) for t in range(20, 100))
    assert power_gaps(replace(seen, samples=seen.samples + board)) == ()
    assert power_gaps(replace(seen, samples=())) == ()


def test_a_look_counts_what_began_since() -> None:
    """Goals of a decision before it left before anybody looked, however late a report says so."""
    reports = np.zeros(3, REPORT)
    reports["deadline_ns"] = [1_000_000_000, 1_010_000_000, 1_150_000_000]
    reports["sequence"], reports["missed"] = [7, 7, 8], [40, 40, 42]
    reports["sent_ns"] = reports["deadline_ns"] + 1_000_000
    noted = [
        Noted(number, 6 + number, {"policy": (begin_s, ready_s), "kinematics": (begin_s, ready_s)})
        for number, begin_s, ready_s in ((1, 0.9, 0.96), (2, 1.05, 1.14))
    ]
    found = _document(noted, deque(report.tobytes() for report in reports))
    assert found["shown"] == 1 and found["decisions"] == 2
    assert found["stages"]["guardian"]["max"] == pytest.approx(0.011)
    assert found["guardian"]["missed"] == 2


def test_a_comparison(capsys: pytest.CaptureFixture[str]) -> None:
    """A profile against itself: every stage, nothing told apart, and how sure that is."""
    show_comparison(full(), full(), Report())
    shown = capsys.readouterr().out
    assert shown.count("1.000") == shown.count("no difference") > 10
    assert "intervals hold 99.9 %" in shown and "mind" not in shown


def test_a_document_comes_back(tmp_path: Path) -> None:
    """As it was written."""
    file = tmp_path / "profile.json"
    file.write_bytes(msgspec.json.encode({"profile": full(), "against": {}}))
    assert load_profile(file) == full()


def damaged(document: dict[str, Any], **changed: object) -> bytes:
    """A profile with other fields of one stage."""
    document["stages"]["vision"].update(changed)
    return json.dumps({"profile": document}).encode()


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda d: b"", "holds no profile"),
        (lambda d: b"[1, 2]", "holds no profile"),
        (lambda d: json.dumps({"success": 1}).encode(), "holds no profile"),
        (lambda d: json.dumps({"profile": {**d, "schema_version": 99}}).encode(), "version 99"),
        (lambda d: json.dumps({"profile": {**d, "left_out": "two"}}).encode(), "left_out"),
        (lambda d: json.dumps({"profile": {**d, "more": 1}}).encode(), "more"),
        (lambda d: b"[" * 100_000, "holds no profile"),
        (lambda d: json.dumps({"profile": {**d, "schema_version": "1"}}).encode(), "version '1'"),
        (lambda d: damaged(d, seconds=[]), "0 durations"),
        (lambda d: damaged(d, seconds=[0.1] * 4), "4 durations, a summary of 5"),
        (lambda d: damaged(d, seconds=[-0.1] * 5), "above zero"),
        (lambda d: damaged(d, rhythm={"waits": [0.1], "even": [0.0]}), "1 waits"),
    ],
)
def test_what_is_no_profile(change: object, found: str, tmp_path: Path) -> None:
    """Another file, another version, a damaged one."""
    assert callable(change)
    file = tmp_path / "profile.json"
    file.write_bytes(change(msgspec.to_builtins(full(5))))
    with pytest.raises(ProfileError, match=found):
        load_profile(file)
    with pytest.raises(ProfileError, match="No such file"):
        load_profile(tmp_path / "none.json")


def test_two_profiles() -> None:
    """A third slower is slower in every stage, the same again in none."""
    before, again, slow = full(seed=1), full(seed=4), full(scale=1.33, seed=3)
    assert {found.verdict for found in compare(again, before).values()} == {"no difference"}
    ratios = compare(slow, before)
    assert set(ratios) == {*MEDIANS_MS, "end to end"}
    assert {found.verdict for found in ratios.values()} == {"slower"}
    assert all(1.2 < found.ratio < 1.45 for found in ratios.values())
    assert unlike(slow, before) == []
    other: Profile = msgspec.structs.replace(
        before, subject=msgspec.structs.replace(before.subject, threads=1)
    )
    assert unlike(before, other) == ["threads: 8, before 1"]
    moved = msgspec.structs.replace(
        before.environment, board="another", cores=1, versions={"onnxruntime": "0"}
    )
    found = unlike(msgspec.structs.replace(before, environment=moved), before)
    assert [line.partition(":")[0] for line in found] == [
        "board",
        "cores",
        "onnxruntime",
        "tensorrt",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.004, "0.00"), (1.005, "1.00"), (9.999, "10.0"), (99.96, "100"), (1234.5, "1234")],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text
