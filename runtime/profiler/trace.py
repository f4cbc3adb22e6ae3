"""A run as a trace that ui.perfetto.dev and chrome://tracing open.

JSON of the Trace Event Format (Google, "Trace Event Format", 2016): complete events "X" on tracks
of their own for policy, prefill, guardian and wire, asynchronous ones "b", "e" for what overlaps
(capture and the whole way of a decision), counters "C" for what the machine says of itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from dreamvla_edge.runtime.guardian.message import State

from .sample import Sample
from .timeline import Timeline

Event = dict[str, Any]
_PROCESSES = {1: "policy", 2: "guardian", 3: "machine"}
_TRACKS = {(1, 1): "stages", (1, 2): "computed ahead", (2, 1): "cycles", (2, 2): "to the servos"}
_TRACK = {"guardian": (2, 2), "wire": (2, 2)}
_OVERLAPS = ("capture",)


def trace_events(
    timelines: Sequence[Timeline], reports: NDArray[Any], samples: Sequence[Sample]
) -> Event:
    """The whole document; times are CLOCK_MONOTONIC [µs].

    reports (n,): records of `message.REPORT`; samples: telemetry.
    """
    return {
        "traceEvents": [
            *_names(),
            *(event for number, one in enumerate(timelines, 1) for event in _decision(number, one)),
            *map(_cycle, reports),
            *(event for sample in samples for event in _counters(sample)),
        ],
        "displayTimeUnit": "ms",
    }


def _names() -> list[Event]:
    processes = [
        {"ph": "M", "name": "process_name", "pid": pid, "tid": 0, "ts": 0, "args": {"name": name}}
        for pid, name in _PROCESSES.items()
    ]
    threads = [
        {"ph": "M", "name": "thread_name", "pid": pid, "tid": tid, "ts": 0, "args": {"name": name}}
        for (pid, tid), name in _TRACKS.items()
    ]
    return processes + threads


def _decision(number: int, one: Timeline) -> list[Event]:
    events = _asynchronous(f"decision {number}", number, one.begin_s, one.end_s)
    for stage, (begin_s, end_s) in one.path.items():
        if stage in _OVERLAPS:
            events += _asynchronous(stage, number, begin_s, end_s)
        else:
            pid, tid = _TRACK.get(stage, (1, 1))
            args = {"decision": number, "sequence": one.sequence}
            events.append(_complete(stage, pid, tid, begin_s, end_s, args))
    if one.prefill is not None:
        events.append(_complete("prefill", 1, 2, *one.prefill, {"for decision": number}))
    return events


def _complete(
    name: str, pid: int, tid: int, begin_s: float, end_s: float, args: dict[str, Any]
) -> Event:
    return {
        "ph": "X",
        "cat": "stage",
        "name": name,
        "pid": pid,
        "tid": tid,
        "ts": begin_s * 1e6,
        "dur": (end_s - begin_s) * 1e6,
        "args": args,
    }


def _asynchronous(name: str, number: int, begin_s: float, end_s: float) -> list[Event]:
    return [
        {
            "ph": ph,
            "cat": "path",
            "id": number,
            "name": name,
            "pid": 1,
            "tid": 1,
            "ts": time_s * 1e6,
        }
        for ph, time_s in (("b", begin_s), ("e", end_s))
    ]


def _cycle(report: Any) -> Event:
    """From the beginning of a cycle for as long as it was on the bus."""
    begin_ns = int(report["deadline_ns"]) + int(report["lateness_ns"])
    args = {
        "cycle": int(report["cycle"]),
        "late_us": int(report["lateness_ns"]) / 1e3,
        "sequence": int(report["sequence"]),
    }
    end_s = (begin_ns + int(report["bus_ns"])) / 1e9
    return _complete(State(int(report["state"])).name, 2, 1, begin_ns / 1e9, end_s, args)


def _counters(sample: Sample) -> list[Event]:
    loads = {
        f"core {core}": round(100 * load, 1)
        for core, load in enumerate(sample.cpu_load or ())
        if load is not None
    }
    tracks = {
        "core load [%]": loads,
        "power [W]": {} if sample.power_w is None else {sample.power_of: sample.power_w},
        "temperature [°C]": {} if sample.temperature_c is None else {"chip": sample.temperature_c},
        "GPU load [%]": {} if sample.gpu_load is None else {"gpu": 100 * sample.gpu_load},
    }
    return [
        {"ph": "C", "name": name, "pid": 3, "tid": 0, "ts": sample.time_s * 1e6, "args": values}
        for name, values in tracks.items()
        if values
    ]
