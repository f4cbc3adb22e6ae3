"""One decision of the policy and one event, as bytes and back, bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Observation:
    """What a policy was shown without being asked: `Policy.observe`. Fields as in `Step`."""

    primary_s: float
    wrist_s: float
    state: Float32


@dataclass(frozen=True, eq=False)
class Step:
    """What the policy saw, decided and sent. Times are monotonic.

    observed_s: to which moment the waypoints are anchored [s]; primary_s, wrist_s: stamps of the
    frames that were looked at, equal to those given to `Recorder.frame` [s]; first: the policy
    was reset before this step; state (7,) or (8,): as `Policy.act` takes it; noise (P, 7): with
    which the chunk was sampled, None for a head that needs none; chunk (P, 7): the network's
    numbers; action (7,): what was executed of it; times_ns (m,), joints (m, n) [rad],
    gripper (m,) [opening, 0 to 1]: the waypoints sent; spans: stage -> (start, end) [s], the
    whole of the policy's work as `policy`, its stages as in `Chunk`; position_error_m,
    orientation_error_rad: what the inverse kinematics left over; speed: factor of the time base,
    1 = the data set's own; before: what the policy was shown since the step before, oldest first.
    """

    observed_s: float
    primary_s: float
    wrist_s: float
    instruction: str
    first: bool
    state: Float32
    chunk: Float32
    action: Float32
    times_ns: NDArray[np.int64]
    joints: Float64
    gripper: Float64
    spans: Mapping[str, tuple[float, float]]
    noise: Float32 | None = None
    position_error_m: float = 0.0
    orientation_error_rad: float = 0.0
    speed: float = 1.0
    before: tuple[Observation, ...] = ()


@dataclass(frozen=True)
class Event:
    """Something that happened once: its time, monotonic [s], its kind, and words for people."""

    time_s: float
    kind: str
    text: str


_DTYPES = {
    "state": "<f4",
    "chunk": "<f4",
    "action": "<f4",
    "noise": "<f4",
    "times_ns": "<i8",
    "joints": "<f8",
    "gripper": "<f8",
}


def encode_step(step: Step) -> bytes:
    """MessagePack of a step; an array is its shape and its bytes."""
    fields = {**vars(step), "spans": dict(step.spans)}
    for name, dtype in _DTYPES.items():
        if fields[name] is not None:
            fields[name] = _packed(fields[name], dtype)
    fields["before"] = [
        (seen.primary_s, seen.wrist_s, _packed(seen.state, _DTYPES["state"]))
        for seen in step.before
    ]
    return msgspec.msgpack.encode(fields)


def decode_step(data: bytes) -> Step:
    """The step in these bytes. Raises ValueError if they hold none."""
    try:
        fields: dict[str, Any] = msgspec.msgpack.decode(data, type=dict[str, Any])
        for name, dtype in _DTYPES.items():
            if fields[name] is not None:
                fields[name] = _unpacked(fields[name], dtype)
        fields["spans"] = {name: (start, end) for name, (start, end) in fields["spans"].items()}
        fields["before"] = tuple(
            Observation(primary_s, wrist_s, _unpacked(state, _DTYPES["state"]))
            for primary_s, wrist_s, state in fields["before"]
        )
        return Step(**fields)
    except (KeyError, TypeError, msgspec.DecodeError) as error:
        raise ValueError(f"no step: {error}") from error


def encode_event(event: Event) -> bytes:
    """MessagePack of an event."""
    return msgspec.msgpack.encode(event)


def decode_event(data: bytes) -> Event:
    """The event in these bytes. Raises ValueError if they hold none."""
    return msgspec.msgpack.decode(data, type=Event)


def _packed(array: NDArray[Any], dtype: str) -> tuple[tuple[int, ...], bytes]:
    return array.shape, np.ascontiguousarray(array, dtype).tobytes()


def _unpacked(packed: tuple[list[int], bytes], dtype: str) -> NDArray[Any]:
    shape, raw = packed
    return np.frombuffer(raw, dtype).reshape(shape)
