"""Hours of the guardian's own loop in lock step, and defects that this finds."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from unittest import mock

import numpy as np
import pytest

from dreamvla_edge.runtime.guardian import guardian, limits, mover, states
from dreamvla_edge.runtime.guardian.message import State
from dreamvla_edge.runtime.guardian.plan import Plan
from guardian.lock_step import CYCLES_PER_HOUR, FAULTS, LockStep

MINUTE = CYCLES_PER_HOUR // 60


@pytest.mark.parametrize("arm", ["so101", "koch"])
def test_minutes_of_faults(arm: str) -> None:
    """Everything happens and is survived: no goal outside the limits, no fault that clears."""
    run = LockStep(arm, seed=1)
    run.run(5 * MINUTE)
    assert set(FAULTS) <= set(run.people.happened)
    assert {State.TRACK, State.STOP, State.FAULT, State.LOWER, State.LIMP} <= set(run.people.states)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("arm", ["so101", "koch"])
def test_two_hours_of_faults(arm: str) -> None:
    """The 24 hours are part of `make soak`."""
    run = LockStep(arm, seed=2)
    run.run(2 * CYCLES_PER_HOUR)


def _leap(own: limits.Limits, target: limits.Target, *rest: object) -> limits.Allowed:
    joints = np.clip(target.joints, own.lower, own.upper)
    return limits.Allowed(limits.Motion(joints, np.zeros_like(joints), 0.5), ())


def _never_out(plan: Plan, now_s: float) -> limits.Target:
    velocity = (plan.joints[-1] - plan.joints[0]) / (plan.end_s - plan.times_s[0])
    reached = plan.joints[0] + velocity * (now_s - plan.times_s[0])
    return limits.Target(reached, velocity, float(plan.gripper[-1]))


def _forgives(state: State, event: states.Event) -> State:
    return State.CONNECT if state is State.FAULT else states.after(state, event)


PLANTED: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "limits are not kept": lambda: mock.patch.object(mover, "allow", _leap),
    "motion beyond the last waypoint": lambda: mock.patch.object(Plan, "at", _never_out),
    "a fault that is not latched": lambda: mock.patch.object(guardian, "after", _forgives),
}


@pytest.mark.parametrize("defect", PLANTED)
def test_a_planted_defect_is_found(defect: str) -> None:
    """Each within minutes of the guardian's time."""
    with PLANTED[defect](), pytest.raises(AssertionError):
        LockStep("so101", seed=3).run(5 * MINUTE)
