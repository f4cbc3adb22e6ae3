"""What Linux grants, and the lock that makes a guardian the only one."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dreamvla_edge.runtime.errors import GuardianError
from dreamvla_edge.runtime.guardian.lock import hold, holder
from dreamvla_edge.runtime.guardian.realtime import PRIORITY, Granted

CORES = os.sched_getaffinity(0)
ASK = """
import gc, os
from dreamvla_edge.runtime.guardian import realtime
{before}
granted = realtime.ask({wanted})
locked = [line for line in open("/proc/self/status") if line.startswith("VmLck")][0]
print(granted.bits, os.sched_getscheduler(0), os.sched_getparam(0).sched_priority,
      int(locked.split()[1]) > 0, gc.isenabled(), repr(granted.why_not),
      *sorted(os.sched_getaffinity(0)), sep="|")
"""
# As an ordinary user: no right to a priority, and little memory that may be locked.
ORDINARY = """
import resource
resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))
resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))
if os.getuid() == 0:
    os.setuid(65534)
"""


def asked(before: str = "", wanted: bool = True) -> list[str]:
    """What a process of its own gets."""
    script = ASK.format(before=before, wanted=wanted)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().split("|")


def test_what_is_said_is_what_the_kernel_did() -> None:
    """With all rights or without; garbage is collected no more either way."""
    bits, policy, priority, locked, collects, why_not, *cores = asked()
    fifo = int(policy) == os.SCHED_FIFO
    assert int(bits) == fifo + 2 * (locked == "True")
    assert int(priority) == (PRIORITY if fifo else 0)
    assert collects == "False"
    assert ("SCHED_FIFO" in why_not) is not fifo
    assert ("locked memory" in why_not) is (locked != "True")
    assert {int(core) for core in cores} == ({max(CORES)} if fifo else CORES)


def test_an_ordinary_user_gets_a_reason() -> None:
    """And a guardian that runs all the same."""
    bits, policy, _, locked, _, why_not, *cores = asked(ORDINARY)
    assert (int(bits), int(policy), locked) == (0, os.SCHED_OTHER, "False")
    assert {int(core) for core in cores} == CORES  # it would wait there for others
    assert "LimitRTPRIO=50" in why_not and "LimitMEMLOCK=infinity" in why_not


def test_nothing_is_asked_for_if_it_is_not_wanted() -> None:
    """`--no-realtime`."""
    bits, policy, _, locked, _, why_not, *cores = asked(wanted=False)
    assert {int(core) for core in cores} == CORES
    assert (int(bits), int(policy), locked) == (0, os.SCHED_OTHER, "False")
    assert why_not == "'not asked for'"


@pytest.mark.parametrize(("fifo", "locked", "bits"), [(0, 0, 0), (1, 0, 1), (0, 1, 2), (1, 1, 3)])
def test_the_bits_of_a_report(fifo: int, locked: int, bits: int) -> None:
    """As docs/guardian-socket.md has them."""
    assert Granted(bool(fifo), bool(locked)).bits == bits


def _hold_and_wait(path: Path, ready: object) -> None:
    with hold(path):
        ready.set()  # type: ignore[attr-defined]
        while True:
            signal.pause()


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    """The second one is told who the first is; one that is killed holds nothing."""
    path = tmp_path / "of" / "arm.lock"
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    process = context.Process(target=_hold_and_wait, args=(path, ready))
    process.start()
    assert ready.wait(30)
    assert holder(path) == process.pid
    with pytest.raises(GuardianError, match=f"process {process.pid}"):
        hold(path)
    process.kill()
    process.join()
    with hold(path):
        assert holder(path) == os.getpid()
    with hold(path):  # it was let go
        pass


def test_nobody_holds_what_is_not_there(tmp_path: Path) -> None:
    """Or what names nobody."""
    assert holder(tmp_path / "none") is None
    (tmp_path / "odd").write_text("?")
    assert holder(tmp_path / "odd") is None
