"""The log of a bus, written by several threads at once."""

from __future__ import annotations

import json
import threading
import time
from math import pi
from pathlib import Path

import pytest

from dreamvla_edge.sim.bus_log import BusLog


def test_lines_are_whole_and_in_order(tmp_path: Path) -> None:
    """No line is lost, cut or older than the one before it."""
    with BusLog(tmp_path / "log", "so101", "feetech", 1_000_000, [1]) as log:

        def write(kind: int) -> None:
            for number in range(2000):
                (log.sent if kind else log.received)(number.to_bytes(2, "big"))

        threads = [threading.Thread(target=write, args=(kind,)) for kind in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["ns"] for line in lines] == sorted(line["ns"] for line in lines)
    for key in ("rx", "tx"):
        found = [line[key] for line in lines if key in line]
        assert found == [f"{number:04x}" for number in range(2000)]


def test_an_old_motion_does_not_turn_time_back(tmp_path: Path) -> None:
    """A motion bears the time at which it was looked at, unless a line is younger already."""
    with BusLog(tmp_path / "log", "so101", "feetech", 1_000_000, [1]) as log:
        soon = time.monotonic_ns() + 10**9
        log.motion(soon, {})
        log.motion(soon - 5, {})
    stamps = [json.loads(line)["ns"] for line in (tmp_path / "log").read_text().splitlines()]
    assert stamps[1:] == [soon, soon]


def test_units_and_texts(tmp_path: Path) -> None:
    """Radians, and quotes inside a command."""
    with BusLog(tmp_path / "log", 'my "arm"', "feetech", 1_000_000, [1, 7]) as log:
        log.motion(time.monotonic_ns(), {1: (2048, 0.0), 7: (-4096.5, -1024)})
        log.event('say "x"')
    start, motion, event = (
        json.loads(line) for line in (tmp_path / "log").read_text().splitlines()
    )
    assert start["start"]["arm"] == 'my "arm"'
    assert motion["motion"]["1"] == pytest.approx([pi, 0], abs=1e-6)
    assert motion["motion"]["7"] == pytest.approx([-4096.5 / 2048 * pi, -pi / 2], abs=1e-6)
    assert event["event"] == 'say "x"'
