"""The motor against closed forms, without registers and clock."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamvla_edge.sim.motor import (
    AMBIENT_C,
    FRICTION,
    FULL_TORQUE_STEPS,
    HEAT_RISE_C,
    HEAT_TIME_S,
    INERTIA,
    RESISTANCE,
    SINK_SPEED,
    Drive,
    Motor,
    MotorKind,
)

SPEED, ACCELERATION = 1000.0, 5000.0
KIND = MotorKind(SPEED, ACCELERATION, stall_current_a=2.0, supply_v=12.0)
LIMP = Drive(0.0, None, 0.0, ACCELERATION)


def to(goal: float, torque: float = 1.0, speed: float = SPEED) -> Drive:
    """Go there with all acceleration there is."""
    return Drive(torque, goal, speed, ACCELERATION)


def arrival_s(motor: Motor, drive: Drive) -> float:
    """How long it takes until it rests."""
    for millisecond in range(1, 20_000):
        motor.advance(0.001, drive)
        if motor.position == drive.goal and motor.speed == 0.0:
            return millisecond / 1000
    raise AssertionError("it never arrives")


@settings(max_examples=40)
@given(st.floats(1.0, 2000.0), st.sampled_from([-1, 1]), st.floats(200.0, 1000.0))
def test_a_way_takes_as_long_as_a_ramp_of_speed_says(way: float, side: int, speed: float) -> None:
    """A trapezoid, or a triangle where the way is too short; 1 ms steps and the end cost 25 ms."""
    ramp = speed**2 / ACCELERATION  # up and down again
    if way >= ramp:
        expected = way / speed + speed / ACCELERATION
    else:
        expected = 2 * math.sqrt(way / ACCELERATION)
    took = arrival_s(Motor(KIND, 0.0), to(side * way, speed=speed))
    assert expected - 0.002 <= took <= expected + 0.025


@given(st.lists(st.floats(1e-4, 0.05), max_size=30), st.floats(-1000, 1000))
def test_speed_and_acceleration_stay_within_their_limits(waits: list[float], goal: float) -> None:
    """Whenever one looks, also when the goal jumps to the other side."""
    motor = Motor(KIND, 0.0)
    for number, wait in enumerate(waits):
        before, position = motor.speed, motor.position
        motor.advance(wait, to(goal if number % 2 else -goal))
        assert abs(motor.speed) <= SPEED * (1 + 1e-9)
        assert abs(motor.speed - before) <= ACCELERATION * wait * (1 + 1e-9)
        assert abs(motor.position - position) <= SPEED * wait * (1 + 1e-9)


def test_load_is_inertia_then_friction_then_weight() -> None:
    """While it speeds up, at even speed, and at rest."""
    motor = Motor(KIND, 0.0)
    motor.gravity = 0.2
    motor.advance(0.1, to(10_000))
    assert motor.load == pytest.approx(0.2 + FRICTION + INERTIA)
    motor.advance(0.2, to(10_000))
    assert (motor.speed, motor.load) == (SPEED, pytest.approx(0.2 + FRICTION))
    motor.advance(20.0, to(10_000))
    assert (motor.position, motor.load) == (10_000, pytest.approx(0.2))


@pytest.mark.parametrize(
    ("start", "goal", "edge"), [(0, 100, 30.0), (90, -50, 60.0), (45, 90, 45.0), (45, 0, 45.0)]
)
def test_an_obstacle_is_not_entered(start: float, goal: float, edge: float) -> None:
    """From either side, and no way out from inside; torque and current grow with the error."""
    motor = Motor(KIND, start)
    motor.obstacle = (30.0, 60.0)
    motor.advance(3.0, to(goal))
    load = (goal - edge) / FULL_TORQUE_STEPS
    assert (motor.position, motor.speed) == (edge, 0.0)
    assert motor.load == pytest.approx(load)
    assert motor.current_a == pytest.approx(abs(load) * 2.0)
    motor.advance(3.0, to(goal + math.copysign(10_000, goal - edge), torque=0.5))
    assert abs(motor.load) == 0.5
    motor.obstacle = None
    motor.advance(3.0, to(goal))
    assert (motor.position, motor.load) == (goal, 0.0)


def test_a_stuck_motor_presses() -> None:
    """It stays, also when limp, and pushes when its goal is elsewhere."""
    motor = Motor(KIND, 0.0)
    motor.stuck = True
    motor.advance(1.0, to(5000))
    assert (motor.position, motor.load) == (0.0, 1.0)
    assert motor.voltage_v == pytest.approx(12.0 - RESISTANCE * 2.0)
    motor.advance(1.0, LIMP)
    assert (motor.position, motor.load) == (0.0, 0.0)


def test_too_little_torque_cannot_lift_but_can_lower() -> None:
    """The weight pulls towards lower steps."""
    motor = Motor(KIND, 0.0)
    motor.gravity = 0.3
    motor.advance(1.0, to(100, torque=0.3))
    assert (motor.position, motor.load) == (0.0, 0.3)
    motor.advance(1.0, to(-100, torque=0.3))
    assert motor.position == -100
    motor.advance(1.0, to(100, torque=0.36))
    assert motor.position == 100


@pytest.mark.parametrize("gravity", [0.4, -0.4, 0.04, 0.0])
def test_a_limp_joint_sinks_unless_friction_holds_it(gravity: float) -> None:
    """Against the torque that would hold it, at an even speed."""
    motor = Motor(KIND, 0.0)
    motor.gravity = gravity
    motor.advance(1.0, LIMP)
    sinking = SPEED * SINK_SPEED * max(abs(gravity) - FRICTION, 0) / (1 - FRICTION)
    assert motor.speed == pytest.approx(-math.copysign(sinking, gravity))
    assert motor.load == 0.0
    assert motor.position * gravity <= 0


def test_a_motor_that_loses_torque_runs_out() -> None:
    """It slows down as fast as it can speed up."""
    motor = Motor(KIND, 0.0)
    motor.advance(1.0, to(10_000))
    start = motor.position
    motor.advance(1.0, LIMP)
    assert motor.speed == 0.0
    assert motor.position - start == pytest.approx(SPEED**2 / ACCELERATION / 2, rel=0.02)


def test_turning_without_a_goal() -> None:
    """For ever at one speed, in either direction."""
    motor = Motor(KIND, 0.0)
    motor.advance(10.0, Drive(1.0, None, -300.0, ACCELERATION))
    ramp = 300.0**2 / ACCELERATION / 2
    assert motor.position == pytest.approx(-300.0 * 10 + ramp, rel=1e-3)
    motor.slowness = 0.1
    motor.advance(10.0, Drive(1.0, None, -300.0, ACCELERATION))
    assert motor.speed == -SPEED * 0.1


@given(st.floats(0.1, 1.0), st.floats(1.0, 2000.0))
def test_heat_rises_with_the_square_of_the_load_and_goes_again(load: float, time_s: float) -> None:
    """The closed form of a body with one time constant."""
    motor = Motor(KIND, 0.0)
    motor.gravity = load
    motor.advance(time_s, to(0.0))
    hot = AMBIENT_C + HEAT_RISE_C * load**2 * (1 - math.exp(-time_s / HEAT_TIME_S))
    assert motor.temperature_c == pytest.approx(hot)
    motor.gravity = 0.0
    motor.advance(time_s, to(0.0))
    cold = AMBIENT_C + (hot - AMBIENT_C) * math.exp(-time_s / HEAT_TIME_S)
    assert motor.temperature_c == pytest.approx(cold)
