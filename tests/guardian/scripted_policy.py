"""A policy without a network: sends chunks of a slow dance to the guardian until it is killed.

    python scripted_policy.py SOCKET JOINTS

Every line on stdin is what is wrong from now on: a row of `FAULTS`. A line on stdout after every
good chunk that was sent: its number and the time of its last waypoint, monotonic [ns].
"""

from __future__ import annotations

import contextlib
import math
import os
import random
import select
import signal
import socket
import sys
import time
from collections.abc import Callable

import numpy as np

from dreamvla_edge.runtime.guardian.message import COMMAND, Command, Order, Waypoint, encode

PERIOD_S, CHUNK, LATENCY_S = 1 / 30, 3, 0.005
AMPLITUDE_RAD, TURN_S = 0.45, 4.0
LATE_S = 0.5

Chunk = tuple[int, tuple[Waypoint, ...]]
Effect = Callable[[Chunk], Chunk | bytes | None]


def dance(time_s: float, joints: int) -> np.ndarray:
    """Angles (joints,) [rad] that are never all at rest."""
    phases = np.arange(joints) * math.pi / 2
    share = np.where(np.arange(joints) % 2, 0.5, 1.0)
    return AMPLITUDE_RAD * share * np.sin(math.tau * time_s / TURN_S + phases)


def chunk(now_s: float, joints: int) -> Chunk:
    """When it was observed [ns], and where to be in the next three periods."""
    times = [now_s + step * PERIOD_S for step in range(1, CHUNK + 1)]
    return round((now_s - LATENCY_S) * 1e9), tuple(
        Waypoint(round(t * 1e9), dance(t, joints), 0.5 + 0.4 * math.sin(t)) for t in times
    )


def _garbage(good: Chunk) -> Chunk | bytes:
    """Random bytes, half of them with a message's size, and numbers that are none."""
    if random.random() < 0.5:
        size = random.choice((COMMAND.itemsize, random.randrange(1, 2000)))
        return random.randbytes(size)
    worst = random.choice((math.nan, math.inf, -math.inf))
    return good[0], tuple(Waypoint(w.time_ns, w.joints * worst, worst) for w in good[1])


def _wrong(good: Chunk) -> Chunk:
    """Far outside the limits, and there and back within a period."""
    return good[0], tuple(
        Waypoint(w.time_ns, w.joints + random.choice((-9.0, 9.0)), 7.0) for w in good[1]
    )


def _slow(good: Chunk) -> Chunk | None:
    """One of twelve: the arm has stood for long when the next one comes."""
    return good if random.random() < 1 / 12 else None


def _delayed(good: Chunk) -> Chunk:
    """Stale: what was observed and meant half a second ago."""
    late_ns = round(LATE_S * 1e9)
    return good[0] - late_ns, tuple(
        Waypoint(w.time_ns - late_ns, w.joints, w.gripper) for w in good[1]
    )


def _intermittent(good: Chunk) -> Chunk | None:
    """Half of them."""
    return good if random.random() < 0.5 else None


FAULTS: dict[str, Effect] = {
    "ok": lambda good: good,
    "garbage": _garbage,
    "wrong": _wrong,
    "slow": _slow,
    "delayed": _delayed,
    "intermittent": _intermittent,
}


def main(path: str, joints: int) -> None:
    """Sends until the guardian ends."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # also below nohup
    guardian = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    guardian.connect(path)
    guardian.send(encode(Command(Order.DRIVE)))
    guardian.setblocking(False)
    fault, number, next_s = "ok", 0, time.monotonic()
    while True:
        while select.select([guardian], [], [], 0)[0]:
            try:
                if not guardian.recv(4096):
                    return
            except ConnectionResetError:  # it was killed
                return
        if select.select([sys.stdin], [], [], 0)[0]:
            fault = (os.read(sys.stdin.fileno(), 4096).decode().split() or ["ok"])[-1]
        number += 1
        good = chunk(time.monotonic(), joints)
        made = FAULTS[fault](good)
        is_good = made is good
        if made is not None:
            if not isinstance(made, bytes):
                made = encode(Command(Order.WAYPOINTS, number, *made))
            with contextlib.suppress(BlockingIOError):  # the guardian does not read
                guardian.send(made)
                if is_good:
                    print(number, good[1][-1].time_ns, flush=True)
        next_s = max(next_s + PERIOD_S, time.monotonic())
        time.sleep(max(0.0, next_s - time.monotonic()))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
