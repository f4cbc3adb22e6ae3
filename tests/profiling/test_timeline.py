"""From stamps of three processes to one decision's way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamvla_edge.runtime.errors import ProfileError
from dreamvla_edge.runtime.guardian.message import new_report
from dreamvla_edge.runtime.profiler.stage_ring import ROWS, STAGES, StageRing, read_ring
from dreamvla_edge.runtime.profiler.timeline import (
    OTHER,
    PATH,
    PREFILL,
    columns,
    first_sent_s,
    timeline,
)

SPANS = {
    "policy": (10.03, 10.07),
    "capture": (10.0, 10.04),
    "preprocess": (10.04, 10.041),
    "vision": (10.042, 10.05),
    "embed": (10.05, 10.051),
    "step": (10.051, 10.06),
    "sampler": (10.06, 10.07),
    "kinematics": (10.07, 10.072),
    PREFILL: (9.0, 9.5),
}
SENT_S = {7: 10.08}


def test_a_decision() -> None:
    """Every stage, and the millisecond between two of them that belongs to none."""
    found = timeline(7, SPANS, SENT_S, [9.99, 10.0801, 10.09])
    assert found is not None
    assert (found.begin_s, found.end_s, found.prefill) == (10.0, 10.0801, (9.0, 9.5))
    assert [*found.path] == [name for name in PATH if name != "prefill_wait"]
    seconds = found.seconds
    assert seconds["guardian"] == pytest.approx(0.008) and seconds["wire"] == pytest.approx(1e-4)
    assert seconds[OTHER] == pytest.approx(0.001) and seconds["prefill_wait"] == 0
    assert sum(seconds.values()) == pytest.approx(found.end_s - found.begin_s)


def test_where_nothing_is_sent() -> None:
    """The way ends where goals would have left."""
    found = timeline(7, SPANS, SENT_S, None)
    assert found is not None and found.end_s == 10.08 and "wire" not in found.seconds


@pytest.mark.parametrize("bytes_s", [[], [10.0], [10.5]])
def test_bytes_that_are_not_its_own(bytes_s: list[float]) -> None:
    """None at all, none after it, or only much later."""
    assert timeline(7, SPANS, SENT_S, bytes_s) is None


def test_a_command_that_was_overtaken() -> None:
    """No cycle knew it."""
    assert timeline(8, SPANS, SENT_S, [10.0801]) is None


def test_the_first_goals_of_each_command() -> None:
    """Cycles without goals and those that follow the first are left out."""
    rows = [(3, 0), (3, 100), (3, 200), (4, 0), (5, 300)]
    reports = np.stack([new_report() for _ in rows])
    for report, (sequence, sent_ns) in zip(reports, rows, strict=True):
        report["sequence"], report["sent_ns"] = sequence, sent_ns
    assert first_sent_s(reports) == pytest.approx({3: 100e-9, 5: 300e-9})
    assert first_sent_s(reports[:0]) == {}


def test_columns() -> None:
    """A wait that never was is left out; what is computed ahead and what is left stand last."""
    ways = [timeline(7, SPANS, SENT_S, [10.0801]), timeline(7, SPANS, SENT_S, [10.0803])]
    found = columns([way for way in ways if way is not None])
    assert [*found][-2:] == [PREFILL, OTHER] and "prefill_wait" not in found
    assert found["wire"] == pytest.approx([1e-4, 3e-4]) and found[PREFILL] == [0.5, 0.5]
    waited = timeline(7, {**SPANS, "prefill_wait": (10.05, 10.05)}, SENT_S, [10.0801])
    assert waited is not None and "prefill_wait" not in columns([waited])


@given(st.lists(st.floats(0, 1), min_size=20, max_size=20))
def test_stages_and_what_is_left_are_the_whole(durations: list[float]) -> None:
    """Whatever lies between them."""
    stamps = np.cumsum(durations)
    names = [name for name in PATH if name not in ("guardian", "wire")]
    spans = {name: (float(stamps[2 * i]), float(stamps[2 * i + 1])) for i, name in enumerate(names)}
    sent_s = float(stamps[17])
    found = timeline(1, spans, {1: sent_s}, [sent_s + 0.01])
    assert found is not None
    assert sum(found.seconds.values()) == pytest.approx(found.end_s - found.begin_s, abs=1e-9)
    assert found.seconds[OTHER] >= -1e-9


def test_a_ring_keeps_the_latest(tmp_path: Path) -> None:
    """In their order, with the stages that each had; and is gone when closed."""
    path = tmp_path / "x.stages"
    ring = StageRing(path)
    assert read_ring(path) == []
    for number in range(ROWS + 5):
        ring.note(number + 100, {**SPANS, "step": (float(number), number + 0.5), "more": (0, 0)})
    found = read_ring(path)
    assert [one.number for one in found] == [*range(6, ROWS + 6)]
    assert [one.sequence for one in found] == [*range(105, ROWS + 105)]
    assert found[-1].spans["step"] == (ROWS + 4, ROWS + 4.5)
    assert {*found[0].spans} == {*SPANS} and {*SPANS} <= {*STAGES}
    assert path.stat().st_mode & 0o777 == 0o600
    ring.close()
    with pytest.raises(ProfileError, match=r"no stages(.|\n)*dreamvla run"):
        read_ring(path)


def test_a_row_that_is_being_written_is_left_out(tmp_path: Path) -> None:
    """Its number is 0 meanwhile."""
    ring = StageRing(tmp_path / "x.stages")
    for number in range(3):
        ring.note(number, SPANS)
    ring._numbers[1] = 0
    assert [one.number for one in read_ring(tmp_path / "x.stages")] == [1, 3]
