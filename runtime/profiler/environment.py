"""The machine under a profile: what somebody else needs to measure the same."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from statistics import median

from dreamvla_edge.runtime.backends.engine import power_mode

from .host import cpu_name
from .profile import Environment
from .sample import Sample

_PACKAGES = ("dreamvla-edge", "onnxruntime", "tensorrt", "numpy")


def environment(
    samples: Sequence[Sample],
    telemetry: str,
    load: float,
    elsewhere: float | None,
    begin_s: float,
) -> Environment:
    """Of this machine. samples: of the measured time, which began at begin_s [s, monotonic];
    the rest as in `Environment`.
    """
    ago = timedelta(seconds=time.monotonic() - begin_s)
    names = dict.fromkeys(name for sample in samples for name in sample.clocks_mhz)
    return Environment(
        machine=cpu_name(),
        board=board_name(),
        cores=os.cpu_count() or 0,
        architecture=platform.machine(),
        system=platform.platform(),
        power_mode=power_mode(),
        governor=_line(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")),
        clocks_mhz={
            name: float(median(s.clocks_mhz[name] for s in samples if name in s.clocks_mhz))
            for name in names
        },
        load=load,
        elsewhere=elsewhere,
        telemetry=telemetry,
        versions={"python": platform.python_version(), **_versions()},
        started=(datetime.now(timezone.utc) - ago).isoformat(timespec="seconds"),
    )


def board_name() -> str:
    """A Jetson as its device tree names it, empty on other machines."""
    return _line(Path("/proc/device-tree/model"))


def _line(path: Path) -> str:
    """What a file of the kernel says, empty if there is none."""
    try:
        return path.read_text(errors="replace").strip("\0\n ")
    except OSError:
        return ""


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
