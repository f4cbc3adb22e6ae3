"""The two messages: their layout, to the byte, and what is refused."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamvla_edge.runtime.guardian.message import (
    COMMAND,
    MAX_JOINTS,
    MAX_WAYPOINTS,
    REPORT,
    Command,
    MessageError,
    Order,
    State,
    Waypoint,
    decode,
    decode_report,
    encode,
    new_report,
    readable,
    with_reason,
)

# As a ROS 2 node in another language would write them down: docs/guardian-socket.md.
COMMAND_LAYOUT = "<4sHHIIq64s" + MAX_WAYPOINTS * "q8dd"
REPORT_LAYOUT = "<4sHHQqqIHHhHHIdqq8d8d8d8d3d9f9f9f9fqII96s"

waypoints = st.lists(
    st.builds(
        Waypoint,
        st.integers(-(2**63), 2**63 - 1),
        st.lists(st.floats(), min_size=5, max_size=5).map(np.array),
        st.floats(),
    ),
    max_size=MAX_WAYPOINTS,
).map(tuple)


@given(
    st.sampled_from(Order),
    st.integers(0, 2**32 - 1),
    st.integers(-(2**63), 2**63 - 1),
    waypoints,
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=100),
)
def test_a_command_comes_back(
    order: Order, sequence: int, observed_ns: int, way: tuple[Waypoint, ...], reason: str
) -> None:
    """Bit by bit, NaN included; a reason that is too long ends at a whole character."""
    found = decode(encode(Command(order, sequence, observed_ns, way, reason)), 5)
    assert (found.order, found.sequence, found.observed_ns) == (order, sequence, observed_ns)
    assert reason.startswith(found.reason) and len(found.reason.encode()) > min(
        60, len(reason.encode()) - 1
    )
    assert len(found.waypoints) == len(way)
    for mine, theirs in zip(way, found.waypoints, strict=True):
        assert mine.time_ns == theirs.time_ns
        np.testing.assert_array_equal(mine.joints, theirs.joints)
        np.testing.assert_array_equal(mine.gripper, theirs.gripper)


def test_the_bytes_of_a_command() -> None:
    """Written down a second time; a change of the layout is a new version."""
    way = tuple(Waypoint(1000 + i, np.arange(5) + i / 10, 0.25 * i) for i in range(3))
    rows: list[float] = []
    for i in range(MAX_WAYPOINTS):
        joints = [j + i / 10 for j in range(5)] + [np.nan] * 3
        rows += [1000 + i, *joints, 0.25 * i] if i < 3 else [0] + [0.0] * 9
    expected = struct.pack(COMMAND_LAYOUT, b"DVGC", 2, 2, 7, 3, 123456789, b"why", *rows)
    found = encode(Command(Order.WAYPOINTS, 7, 123456789, way, "why"))
    assert len(found) == struct.calcsize(COMMAND_LAYOUT) == COMMAND.itemsize == 1368
    assert found == expected


def test_the_bytes_of_a_report() -> None:
    """Each field gets another number."""
    record, numbers = new_report(), list[object]()
    for name in REPORT.names or ():
        field = REPORT.fields[name][0]  # type: ignore[index]
        if name == "reason":
            record[name] = b"why"
            numbers.append(b"why")
        elif name not in ("magic", "version"):
            count = int(np.prod(field.shape, initial=1))
            values = (
                [State.TRACK.value]
                if name == "state"
                else list(range(len(numbers), len(numbers) + count))
            )
            record[name] = values if count > 1 else values[0]
            numbers += values
    expected = struct.pack(REPORT_LAYOUT, b"DVGR", 2, *numbers)
    assert len(expected) == REPORT.itemsize == 610
    assert record.tobytes() == expected
    assert decode_report(expected)["cycle"] == record["cycle"]


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: b"",
        lambda data: b"DVGX" + data[4:],
        lambda data: data[:4] + b"\3\0" + data[6:],  # the next version
        lambda data: data[:6] + b"\x63\0" + data[8:],  # an order that there is not
        lambda data: data[:12] + b"\x11\0\0\0" + data[16:],  # seventeen waypoints
    ],
)
def test_what_is_no_command_is_refused(change: object) -> None:
    """Another size, magic, version, order or count."""
    good = encode(Command(Order.STOP))
    assert decode(good, 5).order is Order.STOP
    with pytest.raises(MessageError):
        decode(change(good), 5)  # type: ignore[operator]


def test_what_is_no_report_is_refused() -> None:
    """The same, and a state that there is not."""
    good = new_report().tobytes()
    decode_report(good)
    for bad in (
        good[:-1],
        b"DVGC" + good[4:],
        good[:4] + b"\3\0" + good[6:],
        good[:6] + b"\x63\0" + good[8:],
    ):
        with pytest.raises(MessageError):
            decode_report(bad)


def test_what_does_not_fit_is_refused_by_the_sender() -> None:
    """Seventeen waypoints, nine joints."""
    way = Waypoint(0, np.zeros(MAX_JOINTS), 0.0)
    encode(Command(Order.WAYPOINTS, waypoints=(way,) * MAX_WAYPOINTS))
    with pytest.raises(ValueError, match="17 waypoints"):
        encode(Command(Order.WAYPOINTS, waypoints=(way,) * 17))
    with pytest.raises(ValueError, match="9 joints"):
        encode(Command(Order.WAYPOINTS, waypoints=(Waypoint(0, np.zeros(9), 0.0),)))


@given(st.binary(min_size=COMMAND.itemsize, max_size=COMMAND.itemsize))
def test_any_bytes_give_a_command_or_an_error(data: bytes) -> None:
    """Nothing else is raised, whatever a reason or a number looks like."""
    head = encode(Command(Order.WAYPOINTS))[:8] + b"\0\0\0\0\3\0\0\0"
    decode(head + data[16:], 5)
    try:
        decode(data, 5)
    except MessageError:
        pass


def test_a_report_with_another_reason() -> None:
    """All else stays."""
    record = new_report()
    record["state"], record["cycle"], record["reason"] = State.HOLD, 5, b"before"
    found = decode_report(with_reason(record.tobytes(), "ä" * 60))
    assert (found["state"], found["cycle"]) == (State.HOLD, 5)
    assert readable(found["reason"]) == "ä" * 48
