"""The guardian's states: one pure machine, drawn in `docs/guardian.md`."""

from __future__ import annotations

import enum
from collections.abc import Mapping

from .message import State


class Event(enum.Enum):
    """What can happen to the machine; the value is the word in the drawing."""

    PORT_OPEN = "port open"
    IDENTIFIED = "servos identified"
    POSE_READ = "pose read"
    TORQUE_ON = "goal := present, torque on"
    WAYPOINTS = "waypoints"
    RAMPED = "ramp over"
    WAYPOINTS_OUT = "no waypoints left"
    STOP = "stop"
    LOWER = "lower"
    LOWERED = "at rest, torque off"
    DROP = "overheated or under-voltage"
    FAULT = "fault"
    CLEAR = "clear"


_START = (State.CONNECT, State.IDENTIFY, State.READ_POSE, State.ENABLE)
_POWERED = (State.HOLD, State.RAMP, State.TRACK)

TRANSITIONS: Mapping[tuple[State, Event], State] = {
    (State.CONNECT, Event.PORT_OPEN): State.IDENTIFY,
    (State.IDENTIFY, Event.IDENTIFIED): State.READ_POSE,
    (State.READ_POSE, Event.POSE_READ): State.ENABLE,
    (State.ENABLE, Event.TORQUE_ON): State.HOLD,
    (State.HOLD, Event.WAYPOINTS): State.RAMP,
    (State.RAMP, Event.RAMPED): State.TRACK,
    (State.RAMP, Event.WAYPOINTS_OUT): State.HOLD,
    (State.TRACK, Event.WAYPOINTS_OUT): State.HOLD,
    (State.STOP, Event.CLEAR): State.HOLD,
    (State.LOWER, Event.STOP): State.STOP,
    (State.LOWER, Event.LOWERED): State.LIMP,
    (State.FAULT, Event.CLEAR): State.CONNECT,
    (State.LIMP, Event.CLEAR): State.CONNECT,
    # A stop must not be lost on the way; without torque there is nothing to hold.
    **{(state, Event.STOP): State.FAULT for state in _START},
    **{(state, Event.STOP): State.STOP for state in _POWERED},
    **{(state, Event.LOWER): State.LOWER for state in (*_POWERED, State.STOP)},
    **{(state, Event.DROP): State.LOWER for state in (*_POWERED, State.STOP, State.FAULT)},
    **{
        (state, Event.FAULT): State.FAULT for state in (*_START, *_POWERED, State.STOP, State.LOWER)
    },
}
"""Where an event leads. A pair that is missing changes nothing: so STOP, FAULT and LIMP are
latched, and a limp arm that loses its bus stays limp."""

LATCHED = (State.STOP, State.FAULT, State.LIMP)
"""States that only a person ends, with CLEAR."""


def after(state: State, event: Event) -> State:
    """The state after an event."""
    return TRANSITIONS.get((state, event), state)
