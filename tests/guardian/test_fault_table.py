"""The fault table: the arm ends where it must, in time, and no goal on the way is forbidden."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dreamvla_edge.runtime.arms import connect
from guardian.cell import inject
from guardian.checker import violations
from guardian.measure import Key, Rigs, measure
from guardian.rig import Rig
from guardian.table import CELLS, TABLE

WORDS = ("off", "stuck", "garbage", "wrong", "slow", "delayed", "intermittent")
PAGE = Path(__file__).parents[2] / "docs" / "fault-table.md"
REPETITIONS, TRIES = 20, 3
OFTEN: tuple[Key, ...] = (
    ("servo", "overload bit"),
    ("servo", "intermittent"),
    ("bus", "delayed"),
    ("cable", "off"),
    ("camera", "stuck"),
    ("camera", "off"),
    ("policy", "off"),
    ("policy", "stuck"),
    ("policy", "delayed"),
    ("guardian", "off"),
    ("operator", "stuck"),
)
"""Those of `make test`."""


@pytest.fixture(scope="module")
def rigs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rigs]:
    """Arms for all cells; at the end the checker reads everything that was ever written to them."""
    with Rigs(tmp_path_factory.mktemp("rigs")) as rigs:
        yield rigs
        assert rigs.violations() == []


def name(key: Key) -> str:
    """Of a test."""
    return "-".join(key).replace(" ", "_")


def test_the_table_is_complete() -> None:
    """Every word for every part; a cell that means nothing says so."""
    assert all(set(WORDS) <= set(row) for row in TABLE.values())
    assert all(
        "means nothing" in cell
        for row in TABLE.values()
        for cell in row.values()
        if isinstance(cell, str)
    )


@pytest.mark.parametrize("key", OFTEN, ids=name)
def test_it_ends_as_the_table_says(rigs: Rigs, key: Key) -> None:
    """In time at least once of three; a busy machine may be late, but no end is ever wrong."""
    for _ in range(TRIES):
        (done,) = measure(rigs, [key])
        if not done.refused:
            return
        assert " after " in done.refused, done
    raise AssertionError(done)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("key", CELLS, ids=name)
def test_it_always_ends_as_the_table_says(rigs: Rigs, key: Key) -> None:
    """Again and again: the worst counts."""
    done = list(measure(rigs, [key] * REPETITIONS))
    assert not [one for one in done if one.refused]


def test_dynamixels_stop_by_themselves(tmp_path_factory: pytest.TempPathFactory) -> None:
    """After the guardian was killed their watchdogs expire; the log of all that is clean."""
    with Rig(tmp_path_factory.mktemp("koch"), arm="koch") as rig:
        outcome = inject(rig, CELLS["guardian", "off"])
        assert not CELLS["guardian", "off"].refused(outcome), outcome
        arm = connect(rig.description, rig.bus.port)
        try:
            registers = arm.registers()
        finally:
            arm.close()
        assert {registers[servo]["bus_watchdog"] for servo in rig.description.servos} == {-1}
        outcome = inject(rig, CELLS["policy", "off"])
        assert not CELLS["policy", "off"].refused(outcome), outcome
        assert violations(rig.log, rig.bounds(), rig.outside_m) == []


def test_torque_comes_on_where_the_arm_is(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Also while some answers are wrong and their sums are right: no goal is a leap."""
    with Rig(tmp_path_factory.mktemp("noisy")) as rig:
        rig.start_guardian()
        for _ in range(6):
            rig.bus.command("unplug")
            time.sleep(0.1)
            rig.bus.command("replug")
            rig.bus.command("fault bus wrong-sum 0.15")
            rig.start_guardian()
            rig.bus.command("fault bus ok")
        assert violations(rig.log, rig.bounds(), rig.outside_m) == []


def test_the_page_shows_every_cell() -> None:
    """Measured often enough, in time, and nothing that the table does not know."""
    shown: dict[Key, list[str]] = {}
    part = ""
    for line in PAGE.read_text().splitlines():
        if line.startswith("## "):
            part = line[3:].lower()
        elif line.startswith("| ") and not line.startswith("| fault"):
            word, *columns = (column.strip() for column in line.strip("|").split("|"))
            shown[part, word] = columns
    assert [*shown] == [(part, word) for part, row in TABLE.items() for word in row]
    for key, cell in CELLS.items():
        _, ends, stands, decided, _, count = shown[key]
        assert int(count) >= REPETITIONS, key
        assert {end.partition(" (")[0] for end in ends.split("; ")} <= set(cell.ends), key
        for took, allowed in ((stands, cell.stands_s), (decided, cell.decided_s)):
            assert allowed is None or not took or float(took) <= allowed, key
