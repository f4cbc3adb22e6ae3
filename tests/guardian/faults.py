"""What is done to an arm, to prove that it stays safe.

Each fault is a context: entered, it begins; left, it is over. `Rig.dance` mends the rest.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from dreamvla_edge.runtime.guardian.message import Command, Order, Waypoint, encode
from guardian.rig import Rig

ELBOW = 3
STATUS, TEMPERATURE, VOLTAGE = 65, 63, 62  # registers of an STS servo

Fault = Callable[[Rig], contextlib.AbstractContextManager[object]]
Work = Callable[[Rig, threading.Event], None]


def bus(*lines: str, mend: tuple[str, ...] = ()) -> Fault:
    """Commands to the virtual bus, and those that take them back if `Rig.dance` does not."""

    @contextmanager
    def fault(rig: Rig) -> Iterator[None]:
        for line in lines:
            rig.bus.command(line)
        yield
        for line in mend:
            rig.bus.command(line)
        for target in ("bus", ELBOW):
            rig.bus.command(f"fault {target} ok")

    return fault


@contextmanager
def unplugged(rig: Rig) -> Iterator[None]:
    """The USB cable is out."""
    rig.bus.command("unplug")
    yield
    rig.bus.command("replug")


@contextmanager
def loose_plug(rig: Rig) -> Iterator[None]:
    """The USB cable was out for a moment."""
    rig.bus.command("unplug")
    time.sleep(0.05)
    rig.bus.command("replug")
    yield


def policy(word: str) -> Fault:
    """The policy does something wrong, or its wrist camera does."""

    @contextmanager
    def fault(rig: Rig) -> Iterator[None]:
        rig.tell_policy(word)
        yield
        rig.tell_policy("ok")

    return fault


def send_signal(number: signal.Signals, *targets: str) -> Fault:
    """A signal to the guardian or the policy; SIGCONT at the end."""

    @contextmanager
    def fault(rig: Rig) -> Iterator[None]:
        processes = [getattr(rig, target) for target in targets]
        for process in processes:
            os.kill(process.pid, number)
        yield
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGCONT)

    return fault


def beside(work: Work) -> Fault:
    """Work that goes on in a thread until the fault is over."""

    @contextmanager
    def fault(rig: Rig) -> Iterator[None]:
        over = threading.Event()
        thread = threading.Thread(target=work, args=(rig, over))
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    return fault


def starve(longest_s: float, share: float) -> Work:
    """Stops the guardian again and again, up to longest_s, for a share of the time."""

    def work(rig: Rig, over: threading.Event) -> None:
        assert rig.guardian is not None
        while not over.is_set():
            pause_s = random.uniform(0.2, 1.0) * longest_s
            os.kill(rig.guardian.pid, signal.SIGSTOP)
            time.sleep(pause_s)
            os.kill(rig.guardian.pid, signal.SIGCONT)
            time.sleep(pause_s * (1 - share) / share)

    return work


def pause_once(rig: Rig, over: threading.Event) -> None:
    """Stops the guardian for a moment."""
    assert rig.guardian is not None
    os.kill(rig.guardian.pid, signal.SIGSTOP)
    time.sleep(0.3)
    os.kill(rig.guardian.pid, signal.SIGCONT)


def strangers(make: Callable[[Rig, socket.socket], None]) -> Work:
    """Somebody else at the guardian's socket, all the time."""

    def work(rig: Rig, over: threading.Event) -> None:
        while not over.is_set():
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stranger:
                stranger.settimeout(0.1)
                with contextlib.suppress(OSError):
                    stranger.connect(str(rig.socket))
                    for _ in range(20):
                        make(rig, stranger)
            over.wait(0.02)

    return work


def send_noise(rig: Rig, stranger: socket.socket) -> None:
    """Random bytes."""
    stranger.send(random.randbytes(random.randrange(1, 3000)))


def drive_away(rig: Rig, stranger: socket.socket) -> None:
    """Wants to be the policy, and the arm far away."""
    joints = len(rig.description.joints)
    now_ns = time.monotonic_ns()
    away = Waypoint(now_ns + 10**8, np.full(joints, 1.5), 1.0)
    stranger.send(encode(Command(Order.DRIVE)))
    stranger.send(encode(Command(Order.WAYPOINTS, 1, now_ns, (away,))))


def host(*, bursts: bool = False, nice: bool = False) -> Fault:
    """Two busy processes per core, at times or all the time; nice: the policy gives way to all."""

    @contextmanager
    def fault(rig: Rig) -> Iterator[None]:
        assert rig.policy is not None
        if nice:
            os.setpriority(os.PRIO_PROCESS, rig.policy.pid, 19)
        count = 2 * (os.cpu_count() or 1)
        busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
        over = threading.Event()

        def burst() -> None:
            while not over.wait(0.1):
                for number in (signal.SIGSTOP, signal.SIGCONT):
                    for process in busy:
                        process.send_signal(number)
                    time.sleep(0.1)

        thread = threading.Thread(target=burst if bursts else over.wait)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            for process in busy:
                process.kill()
                process.wait()
            if nice:
                rig.end_policy()

    return fault


def press(*orders: tuple[Order, float]) -> Fault:
    """A person's orders, each followed by a pause [s]."""

    @contextmanager
    def fault(rig: Rig) -> Iterator[None]:
        for order, pause_s in orders:
            rig.order(order)
            time.sleep(pause_s)
        yield

    return fault


@contextmanager
def clears_too_soon(rig: Rig) -> Iterator[None]:
    """A clear while the bus is still dead."""
    rig.bus.command("fault bus delayed")
    time.sleep(0.3)
    rig.order(Order.CLEAR)
    yield
    rig.bus.command("fault bus ok")
