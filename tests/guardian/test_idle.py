"""Nothing is wrong, and nothing is held: every report of the whole time says that it tracks."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest

from dreamvla_edge.runtime.guardian.message import State, decode_report
from guardian.checker import violations
from guardian.rig import Rig, run_first

POLICY_PRIORITY = 40
"""Below the guardian's: what is shown is not how busy the machine that runs the tests is."""


def watch(folder: Path, stands: bool, duration_s: float) -> None:
    """With real camera threads, which must find nothing wrong either."""
    with Rig(folder, eyes=True) as rig:
        rig.dance()
        assert rig.policy is not None
        run_first(rig.policy.pid, POLICY_PRIORITY)
        if stands:
            rig.tell_policy("stand")
        time.sleep(1.0)
        states = Counter[State]()
        rig.keep = lambda packet: states.update([State(int(decode_report(packet)["state"]))])
        time.sleep(duration_s)
        assert [*states] == [State.TRACK], states
        assert sum(states.values()) > duration_s * 50
        assert violations(rig.log, rig.bounds(), rig.outside_m) == []


@pytest.mark.parametrize("stands", [True, False], ids=["standing", "dancing"])
def test_nothing_is_held_for_no_reason(stands: bool, tmp_path: Path) -> None:
    """For some seconds."""
    watch(tmp_path, stands, 8.0)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ten_idle_minutes_without_a_hold(tmp_path: Path) -> None:
    """An arm that is told to stay where it is."""
    watch(tmp_path, True, 600.0)
