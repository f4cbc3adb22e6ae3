"""How long a fresh process takes to its first action.

    python -m dreamvla_edge.runtime.profiler.cold_start BUNDLE [BACKEND [THREADS [SAMPLER]]]

prints one JSON object, the fields of `profile.ColdStart`. The time from the start of the process
to this program is the kernel's, so the interpreter and its imports count.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from dreamvla_edge.runtime import fresh_python
from dreamvla_edge.runtime.errors import ProfileError

from .process import memory
from .profile import ColdStart

_MODULE = "dreamvla_edge.runtime.profiler.cold_start"
_LONGEST_S = 300.0


def cold_start(bundle: Path, backend: str, threads: int | None, sampler: str | None) -> ColdStart:
    """Starts a process, which reads what the system has in its cache of files.

    Raises ProfileError if it fails.
    """
    command = fresh_python.command(_MODULE, bundle, backend, threads or "", sampler or "")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LONGEST_S)
    except subprocess.TimeoutExpired:
        raise _no_decision(bundle, f"nothing came within {_LONGEST_S:g} s") from None
    if done.returncode:
        said = done.stderr.splitlines()
        # The last line of a traceback, without what our errors say below theirs.
        why = next((line for line in reversed(said) if line and line[0] != " "), "")
        raise _no_decision(bundle, why or f"it ended with {done.returncode}, saying nothing")
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=ColdStart)


def _no_decision(bundle: Path, why: str) -> ProfileError:
    return ProfileError(
        f"a fresh process cannot run {bundle}: {why}",
        "a first decision",
        f"look with `dreamvla verify {bundle}`",
    )


def main(bundle: str, backend: str = "onnxruntime", threads: str = "", sampler: str = "") -> None:
    """Opens, loads, decides once, and prints."""
    import numpy as np

    from dreamvla_edge.runtime.bundle import open_bundle
    from dreamvla_edge.runtime.policy import Policy
    from dreamvla_edge.runtime.samplers.named import replacement

    imports_s = _age_s()
    stamps = [time.monotonic()]
    opened = open_bundle(bundle)
    stamps.append(time.monotonic())
    other = replacement(opened.manifest, sampler or None)
    specification = opened.manifest.specification
    with Policy(opened, backend, int(threads) if threads else None, sampler=other) as policy:
        stamps.append(time.monotonic())
        policy.reset("begin")
        frames = [np.zeros((c.height, c.width, 3), np.uint8) for c in specification.cameras]
        policy.act(frames[0], frames[1], np.zeros(specification.state.size, np.float32))
        stamps.append(time.monotonic())
    used = memory()
    opening, loading, deciding = (b - a for a, b in zip(stamps, stamps[1:], strict=False))
    peak_mb = used.peak_mb if used else 0.0
    print(msgspec.json.encode(ColdStart(imports_s, opening, loading, deciding, peak_mb)).decode())


def _age_s() -> float:
    """How long ago this process was started [s], by the kernel's clock."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    began_s = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - began_s


if __name__ == "__main__":
    main(*sys.argv[1:])
