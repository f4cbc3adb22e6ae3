"""The independent judge: reads a bus log, with a decoder of its own, for writes outside limits.

Shares no code with the product; the log's format stands in `sim/bus_process.py`. One write is one
control cycle, however close in time two of them are. Any byte out of place is a fault, too.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

# What may be written while an arm is guarded, address -> size: first the torque, last the goal.
MAY = {"feetech": {40: 1, 48: 2, 42: 2}, "dynamixel": {64: 1, 98: 1, 100: 2, 102: 2, 116: 4}}
READS, SYNC_WRITE, SET_MIDDLE, BESIDE_PRESENT = (1, 2, 0x82), 0x83, b"\x80", 12  # [step]
SPANS = (1, 3, 10)  # cycles over which motion is judged: rounding weighs less over more of them
Bound = tuple[float, float, float, float, float]  # lowest, highest, per cycle, per cycle², rounding
BOX = (0, 0, math.inf, math.inf, 0.001)  # of how far the tool is out of its box [m]


def violations(
    log: Path, bounds: Mapping[int, Bound], outside_m: Callable[[Mapping[int, int]], float]
) -> list[str]:
    """What is wrong, in words; bounds: servo -> [step]; outside_m: servo -> goal -> BOX's [m]."""
    lines = map(json.loads, log.open())
    protocol, wrong, servos = next(lines)["start"]["protocol"], list[str](), tuple(bounds)
    bounds, tracks = {**bounds, 0: BOX}, {servo: list[float]() for servo in (*bounds, 0)}
    torque, *_, goal = MAY[protocol]
    for motion, servo, address, data in writes(lines, protocol == "dynamixel"):
        if servo not in servos or len(data) != MAY[protocol].get(address) or data == SET_MIDDLE:
            wrong.append(f"servo {servo}: {data.hex()} written at {address}")
        elif address == goal:
            value = int.from_bytes(data, "little", signed=len(data) == 4)
            tracks[servo].append(value if len(data) == 4 or value < 0x8000 else 0x8000 - value)
            if servo == servos[-1]:
                tracks[0].append(outside_m({s: int(tracks[s][-1]) for s in servos if tracks[s]}))
        elif address == torque and data[0]:
            present, begin = motion[str(servo)][0] / math.tau * 4096, tracks[servo][-1:]
            if not begin or abs(begin[0] - present) > BESIDE_PRESENT:
                wrong.append(f"servo {servo}: torque on at {present}, goal {begin}")
            for key in (servo, 0):  # the goal at which the torque goes on is a new beginning
                begin = tracks[key][-1:]
                while begin and tracks[key][-1:] == begin:
                    tracks[key].pop()
                wrong, tracks[key] = [*wrong, *judge(key, tracks[key], bounds[key])], begin
    return wrong + [w for key, track in tracks.items() for w in judge(key, track, bounds[key])]


def writes(lines: Iterable[Any], wide: bool) -> Iterator[tuple[Any, int, int, bytes]]:
    """Last motion line, servo, address, data of every write; address -1: anything else."""
    data, motion, n, head = b"", {}, 1 + wide, 7 if wide else 4
    for line in lines:
        motion = line.get("motion", motion)
        data = b"" if "plug" in line.get("event", "") else data + bytes.fromhex(line.get("rx", ""))
        while len(data) >= (size := head + int.from_bytes(data[head - n : head], "little") % 256):
            servo, code, rest = data[2 * n], data[4 + 3 * wide], data[5 + 3 * wide : size - n]
            good = data.startswith(b"\xff\xff\xfd\0" if wide else b"\xff\xff")
            data, address = data[size:], int.from_bytes(rest[:n], "little")
            if good and code == SYNC_WRITE:
                stride = int.from_bytes(rest[n : 2 * n], "little") + 1
                for at in range(2 * n, len(rest), stride):
                    yield motion, rest[at], address, rest[at + 1 : at + stride]
            elif not good or code not in READS:
                yield motion, servo, address if good and code == 3 else -1, rest[n:]


def judge(servo: int, track: list[float], bound: Bound) -> Iterator[str]:
    """One servo's goals from a stand on, one a cycle, or the box's."""
    lower, upper, fastest, hardest, rounding = bound
    x = np.array(track[:1] * 2 * SPANS[-1] + track, float)
    out = np.maximum(lower - x, x - upper).clip(0)
    if (out > np.minimum.accumulate(out) + rounding).any():
        yield f"servo {servo}: goes out, to {x.min():g} or {x.max():g}"
    for k in SPANS if len(x) else ():
        speed = np.abs(x[k:] - x[:-k]).max() - 2 * rounding
        change = np.abs(x[2 * k :] - 2 * x[k:-k] + x[: -2 * k]).max() - 4 * rounding
        if speed > fastest * k or change > hardest * k**2:
            yield f"servo {servo}: {speed:g} steps in {k} cycles, {change:g} more than before"
