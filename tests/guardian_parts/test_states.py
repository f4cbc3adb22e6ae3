"""Every state and every event, against a table that was written from what is promised."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from dreamvla_edge.runtime.guardian.message import State
from dreamvla_edge.runtime.guardian.states import LATCHED, Event, after

# Columns: what happens. Rows: in which state. Empty: nothing changes.
TABLE = """
           PORT_OPEN IDENTIFIED POSE_READ TORQUE_ON WAYPOINTS RAMPED WAYPOINTS_OUT STOP  LOWER LOWERED DROP  FAULT CLEAR
CONNECT    IDENTIFY  -          -         -         -         -      -             FAULT -     -       -     FAULT -
IDENTIFY   -         READ_POSE  -         -         -         -      -             FAULT -     -       -     FAULT -
READ_POSE  -         -          ENABLE    -         -         -      -             FAULT -     -       -     FAULT -
ENABLE     -         -          -         HOLD      -         -      -             FAULT -     -       -     FAULT -
HOLD       -         -          -         -         RAMP      -      -             STOP  LOWER -       LOWER FAULT -
RAMP       -         -          -         -         -         TRACK  HOLD          STOP  LOWER -       LOWER FAULT -
TRACK      -         -          -         -         -         -      HOLD          STOP  LOWER -       LOWER FAULT -
STOP       -         -          -         -         -         -      -             -     LOWER -       LOWER FAULT HOLD
LOWER      -         -          -         -         -         -      -             STOP  -     LIMP    -     FAULT -
LIMP       -         -          -         -         -         -      -             -     -     -       -     -     CONNECT
FAULT      -         -          -         -         -         -      -             -     -     -       LOWER -     CONNECT
"""  # noqa: E501
HEAD, *ROWS = [line.split() for line in TABLE.strip().splitlines()]

events = st.sampled_from(list(Event))
states = st.sampled_from(list(State))


def test_every_pair() -> None:
    """All states, all events, all pairs."""
    assert set(HEAD) == {event.name for event in Event}
    assert {row[0] for row in ROWS} == {state.name for state in State}
    for (name, *cells), event in itertools.product(ROWS, Event):
        expected = cells[HEAD.index(event.name)]
        found = after(State[name], event).name
        assert found == (name if expected == "-" else expected), (name, event.name)


def test_only_a_person_ends_what_is_latched() -> None:
    """But a servo that is too hot or too weak in a stop or a fault is lowered all the same."""
    for state, event in itertools.product(LATCHED, Event):
        following = after(state, event)
        persons = event in (Event.CLEAR, Event.LOWER) or following is State.FAULT
        assert following is state or persons or event is Event.DROP


@given(states, st.lists(events, max_size=30))
def test_a_fault_at_the_end_moves_nothing(state: State, before: list[Event]) -> None:
    """Whatever came before: afterwards the arm is in fault, or is limp already."""
    for event in before:
        state = after(state, event)
    assert after(state, Event.FAULT) in (State.FAULT, State.LIMP)


@given(states, st.lists(events, max_size=30))
def test_after_a_stop_no_waypoints_move_the_arm(state: State, before: list[Event]) -> None:
    """Until somebody clears it."""
    for event in before:
        state = after(state, event)
    state = after(state, Event.STOP)
    for event in set(Event) - {Event.CLEAR, Event.LOWER, Event.DROP}:
        assert after(state, event) not in (State.RAMP, State.TRACK, State.HOLD)


@given(st.lists(events, max_size=60))
def test_nothing_moves_before_the_pose_was_read_and_torque_is_on(happened: list[Event]) -> None:
    """From the start, and again after every fault: the four steps in order.

    Nobody judges the heat of an arm that was not taken over: see test_guardian.py.
    """
    steps = [Event.PORT_OPEN, Event.IDENTIFIED, Event.POSE_READ, Event.TORQUE_ON]
    state, left = State.CONNECT, list(steps)
    for event in happened:
        if event is Event.DROP and left:
            continue
        following = after(state, event)
        if following is State.CONNECT and state is not State.CONNECT:
            left = list(steps)
        elif left and event is left[0] and following is not state:
            left.pop(0)
        state = following
        if state in (State.HOLD, State.RAMP, State.TRACK, State.STOP, State.LOWER):
            assert not left
