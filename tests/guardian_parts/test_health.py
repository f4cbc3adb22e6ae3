"""What readings over time say of the servos."""

from __future__ import annotations

import numpy as np
import pytest

from dreamvla_edge.runtime.arms.arm import ServoReading
from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.runtime.guardian.health import History, Verdict, judge
from guardian_parts.readings import FINE, reading

SO101 = load_description("so101")
LIMITS = SO101.limits
NAMES = (*(joint.name for joint in SO101.joints), "gripper")
STILL = np.zeros(5)
OVERLOAD = FINE._replace(faults=("overload",))
GRIPPER = 5


def verdicts(
    cycles: list[ServoReading], place: int = 1, sent: np.ndarray = STILL
) -> list[Verdict | None]:
    """One servo's readings, one each 10 ms, all others fine."""
    history, found = History(), list[Verdict | None]()
    for cycle, servo in enumerate(cycles):
        one = reading(STILL, 0.01 * cycle, servos={place: servo})
        verdict, history = judge(LIMITS, NAMES, one, sent, history)
        found.append(verdict)
    return found


def first(found: list[Verdict | None]) -> int | None:
    """The first cycle with a verdict."""
    return next((cycle for cycle, verdict in enumerate(found) if verdict), None)


@pytest.mark.parametrize(
    ("servo", "cycles", "drop", "text"),
    [
        (OVERLOAD, 2, False, "shoulder_lift: overload"),
        (FINE._replace(faults=("unknown fault 64",)), 2, False, "shoulder_lift: unknown fault 64"),
        (FINE._replace(faults=("overheated",)), 2, True, "shoulder_lift: 30 °C, allowed 65"),
        (FINE._replace(temperature_c=65.0), 5, True, "shoulder_lift: 65 °C, allowed 65"),
        (FINE._replace(voltage_v=4.9), 20, True, "shoulder_lift: 4.9 V, needs 5.0"),
        (FINE._replace(voltage_v=14.1), 20, False, "shoulder_lift: voltage fault at 14.1 V"),
        (FINE._replace(faults=("voltage",)), 20, False, "shoulder_lift: voltage fault at 7.4 V"),
    ],
)
def test_a_condition_must_last(servo: ServoReading, cycles: int, drop: bool, text: str) -> None:
    """So many cycles in a row, not one less; a single good one begins anew."""
    found = verdicts([servo] * (cycles + 3))
    assert first(found) == cycles - 1
    assert found[-1] == Verdict(drop, text)
    assert first(verdicts(([servo] * (cycles - 1) + [FINE]) * 5)) is None


@pytest.mark.parametrize("place", range(6))
def test_every_servo_is_judged(place: int) -> None:
    """By its name, the gripper too."""
    found = verdicts([OVERLOAD] * 3, place)[-1]
    assert found == Verdict(False, f"{NAMES[place]}: overload")


def test_a_servo_just_below_is_fine() -> None:
    """For a minute."""
    warm = FINE._replace(temperature_c=64.9, voltage_v=5.0)
    assert first(verdicts([warm] * 6000)) is None


def test_a_joint_stalls_by_current_and_error_and_time() -> None:
    """All three; 0.4 s after both began."""
    pushing = FINE._replace(current_a=1.2)
    away = np.array([0, 0.15, 0, 0, 0])
    found = verdicts([pushing] * 60, sent=away)
    assert first(found) == 40
    assert found[-1] == Verdict(False, "shoulder_lift: stalled", presses=True)
    assert first(verdicts([pushing] * 60, sent=away * 0.9)) is None
    assert first(verdicts([FINE._replace(current_a=1.19)] * 60, sent=away)) is None
    assert first(verdicts(([pushing] * 39 + [FINE]) * 3, sent=away)) is None
    assert first(verdicts([FINE._replace(current_a=-2.0)] * 60, sent=-away)) == 40


def test_a_gripper_that_holds_something_for_a_minute_is_no_fault() -> None:
    """It draws what it may and never gets to its goal; only its own fault bits count."""
    holding = FINE._replace(current_a=2.0, load=0.5)
    assert first(verdicts([holding] * 6000, GRIPPER)) is None
    assert first(verdicts([holding._replace(faults=("overload",))] * 2, GRIPPER)) == 1


def test_what_takes_the_torque_comes_before_what_keeps_it() -> None:
    """An overload in a servo that is too hot: it is lowered."""
    both = FINE._replace(faults=("overload", "overheated"))
    found = verdicts([both] * 3)[-1]
    assert found is not None and found.drop


def test_a_goal_that_is_not_known_is_no_stall() -> None:
    """Before the arm was taken over there is none."""
    pushing = FINE._replace(current_a=3.0)
    assert first(verdicts([pushing] * 100, sent=np.full(5, np.nan))) is None
