"""The page in a browser, and the document that it is made from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import msgspec
import pytest

from dreamvla_edge.cli.profile_charts import number
from dreamvla_edge.cli.profile_page import page
from dreamvla_edge.cli.profile_table import facts, show_comparison
from dreamvla_edge.cli.report import Report
from dreamvla_edge.runtime.errors import ProfileError
from dreamvla_edge.runtime.profiler.profile import Profile, compare, load_profile, unlike
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


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda d: b"", "holds no profile"),
        (lambda d: b"[1, 2]", "holds no profile"),
        (lambda d: json.dumps({"success": 1}).encode(), "holds no profile"),
        (lambda d: json.dumps({"profile": {**d, "schema_version": 99}}).encode(), "version 99"),
        (lambda d: json.dumps({"profile": {**d, "left_out": "two"}}).encode(), "left_out"),
        (lambda d: json.dumps({"profile": {**d, "more": 1}}).encode(), "more"),
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


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.004, "0.00"), (1.005, "1.00"), (9.999, "10.0"), (99.96, "100"), (1234.5, "1234")],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text
