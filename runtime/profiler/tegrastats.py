"""Lines of NVIDIA's `tegrastats`, in the shapes that JetPack 5 to 7 print on Orin and Thor.

Differences between them: `GR3D_FREQ 45%@318`, `35%@[612]`, `0%@[1300,1300]` or, where the GPU
sleeps, `@[314,314,314]`; power as now/average or now/average/greatest; temperatures with a
greatest or without; cores as `[12%@1190,off]` or `[0%,off]@2601`; a date in front or none.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import shutil
import signal
import subprocess
import time

from dreamvla_edge.runtime.profiler.sample import Sample, board_power_w, chip_temperature_c

INTERVAL_MS = 100
_LONGEST = 8192  # of a line [byte]; known ones have some hundred

_POWER = re.compile(r"(?<!\S)(\w+) (\d+)mW/\d+mW(?:/\d+mW)?(?!\S)", re.ASCII)
_TEMPERATURE = re.compile(r"(?<!\S)(\w+)@(-?\d+(?:\.\d+)?)C(?:/-?[\d.]+C)?(?!\S)", re.ASCII)
_MEMORY = re.compile(r"(?<!\S)RAM (\d+)/\d+MB(?!\S)", re.ASCII)
_CORES = re.compile(r"(?<!\S)CPU \[([^\][]*)\](?:@(\d+))?(?!\S)", re.ASCII)
_CORE = re.compile(r"(\d+)%(?:@(\d+))?", re.ASCII)
_GPU = re.compile(r"(?<!\S)GR3D_FREQ (?:(\d+)%)?(?:@(?:(\d+)|\[([\w,]*)\]))?(?!\S)", re.ASCII)
_EMC = re.compile(r"(?<!\S)EMC_FREQ (?:\d+%)?@(\d+)(?!\S)", re.ASCII)


def parse(line: str, time_s: float) -> Sample | None:
    """A sample from one whole line; None if nothing in it is known.

    What cannot be read is left out.
    """
    rails = {name: value / 1e3 for name, text in _POWER.findall(line) if _ok(value := float(text))}
    sensors = {n: v for n, text in _TEMPERATURE.findall(line) if _ok(v := float(text))}
    clocks: dict[str, float] = {}
    cpu_load = _cores(line, clocks)
    gpu_load = _gpu(line, clocks)
    if emc := _EMC.search(line):
        clocks["memory"] = float(emc[1])
    memory = _MEMORY.search(line)
    found = Sample(
        time_s,
        power_w=board_power_w(rails),
        temperature_c=chip_temperature_c(sensors),
        cpu_load=cpu_load,
        gpu_load=gpu_load,
        clocks_mhz={name: mhz for name, mhz in clocks.items() if _ok(mhz)},
        memory_mb=float(memory[1]) if memory and _ok(float(memory[1])) else None,
    )
    return None if found.empty else found


class Tegrastats:
    """A running `tegrastats`; `read` waits for its next line."""

    name = "tegrastats"
    period_s = 0.0

    def __init__(self, program: str) -> None:
        self._process = subprocess.Popen(
            [program, "--interval", str(INTERVAL_MS)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # it may be a script, and what that starts ends with it
        )

    @property
    def process_id(self) -> int:
        """Of the program, and of the group of all that it starts."""
        return self._process.pid

    def read(self) -> Sample | None:
        """The next sample, None for a line that says nothing or is too long to be one.

        Raises EOFError when the program has ended; a line that it did not finish is not looked at.
        """
        assert self._process.stdout is not None
        line = rest = self._process.stdout.readline(_LONGEST)
        while len(rest) == _LONGEST and not rest.endswith(b"\n"):
            rest = self._process.stdout.readline(_LONGEST)
        if not rest.endswith(b"\n"):
            raise EOFError(f"tegrastats ended with {self._process.poll()}")
        whole = line.endswith(b"\n")
        return parse(line.decode(errors="replace"), time.monotonic()) if whole else None

    def close(self) -> None:
        """Ends the program, after which a waiting `read` raises EOFError."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            self._signal(number)
            # Another user's, as by sudo, or one that hangs in the kernel, is left behind.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1)

    def _signal(self, number: int) -> None:
        """To all that it has started, which may outlive it."""
        with contextlib.suppress(OSError):
            os.killpg(self.process_id, number)


def open_tegrastats() -> Tegrastats | None:
    """None on machines that have none."""
    program = shutil.which("tegrastats")
    try:
        return None if program is None else Tegrastats(program)
    except OSError:
        return None


def _cores(line: str, clocks: dict[str, float]) -> tuple[float | None, ...] | None:
    found = _CORES.search(line)
    if found is None:
        return None
    loads: list[float | None] = []
    speeds = [float(found[2])] if found[2] else []
    for text in found[1].split(","):
        core = _CORE.fullmatch(text.strip())
        loads.append(_share(core[1]) if core else None)
        if core and core[2]:
            speeds.append(float(core[2]))
    if speeds:
        clocks["cpu"] = max(speeds)
    return tuple(loads) if any(load is not None for load in loads) else None


def _gpu(line: str, clocks: dict[str, float]) -> float | None:
    found = _GPU.search(line)
    if found is None:
        return None
    speeds = [float(text) for text in (found[2] or found[3] or "").split(",") if text.isdecimal()]
    if speeds:
        clocks["gpu"] = max(speeds)
    return _share(found[1]) if found[1] else None


def _share(percent: str) -> float | None:
    value = float(percent) / 100
    return value if value <= 1 else None


def _ok(value: float) -> bool:
    return math.isfinite(value)
