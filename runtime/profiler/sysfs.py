"""What Linux tells in /proc and /sys, on a Jetson and elsewhere.

Power: the INA3221 monitors of a Jetson (kernel: Documentation/hwmon/ina3221.rst). Temperature:
thermal zones. GPU: devfreq, Orin's `17000000.gpu` (load in per mille) and Thor's `gpu-gpc-0`.
Processor: /proc/stat and cpufreq. Memory: /proc/meminfo.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from dreamvla_edge.runtime.profiler.nvml import Nvml, open_nvml
from dreamvla_edge.runtime.profiler.sample import Sample, board_power_w, chip_temperature_c

_CORE = re.compile(r"\d{1,6}", re.ASCII)
_GPUS = ("17000000.gpu", "17000000.ga10b", "gpu-gpc-0")
Times = tuple[float, float]
"""Of one core since the start [ticks]: all, and those idle."""


class Sysfs:
    """Reads the files below `root` that are there when it is made, and NVML where there is one."""

    period_s = 0.2

    def __init__(self, root: Path = Path("/"), nvml: Nvml | None = None) -> None:
        self._nvml = nvml
        self.name = "sysfs and NVML" if nvml else "sysfs"
        self._stat, self._meminfo = root / "proc/stat", root / "proc/meminfo"
        # Looked for once: to search for them takes longer than to read them.
        sys = root / "sys"
        self._monitors = [*sys.glob("bus/i2c/drivers/ina3221/*/hwmon/hwmon*")]
        self._zones = [*sys.glob("class/thermal/thermal_zone*")]
        self._gpus = [gpu for name in _GPUS if (gpu := sys / "class/devfreq" / name).exists()]
        self._clocks = [*sys.glob("devices/system/cpu/cpu*/cpufreq/scaling_cur_freq")]
        self._before: dict[int, Times] = {}

    def read(self) -> Sample | None:
        """A sample of now, None if no file tells anything."""
        cores = core_times(_text(self._stat))
        load = core_loads(self._before, cores)
        self._before = cores
        gpu_load, clocks = _gpu(self._gpus)
        if (cpu := _fastest_core(self._clocks)) is not None:
            clocks["cpu"] = cpu
        seen = self._nvml.read() if self._nvml else None
        power, power_of = board_power_w(_rails(self._monitors)), "board"
        temperature = chip_temperature_c(_temperatures(self._zones))
        if seen is not None:
            if power is None and seen.power_w is not None:
                power, power_of = seen.power_w, "GPU"
            temperature = seen.temperature_c if seen.temperature_c is not None else temperature
            gpu_load = seen.gpu_load if gpu_load is None else gpu_load
            clocks = {**seen.clocks_mhz, **clocks}
        memory = memory_mb(_text(self._meminfo))
        found = Sample(
            time.monotonic(), power, temperature, load, gpu_load, clocks, memory, power_of
        )
        return None if found.empty else found

    def close(self) -> None:
        """Lets go of NVML."""
        if self._nvml:
            self._nvml.close()


def open_sysfs() -> Sysfs:
    """Works everywhere; says nothing where there is nothing."""
    return Sysfs(nvml=open_nvml())


def core_times(stat: str) -> dict[int, Times]:
    """Times of each core by its number, from /proc/stat; what cannot be read is left out."""
    found = {}
    for line in stat.splitlines():
        name, *texts = line.split() or [""]
        number = name.removeprefix("cpu")
        # guest times, from the ninth on, are part of user times
        if name.startswith("cpu") and _CORE.fullmatch(number) and len(texts) >= 4:
            ticks = [_number(text) for text in texts[:8]]
            if all(tick is not None for tick in ticks):
                known = [tick for tick in ticks if tick is not None]
                found[int(number)] = (sum(known), sum(known[3:5]))
    return found


def core_loads(
    before: Mapping[int, Times], after: Mapping[int, Times]
) -> tuple[float | None, ...] | None:
    """Share of time that each core was busy between two readings; None for one that was off."""
    if not before or not after:
        return None
    loads: list[float | None] = []
    for number in sorted({*before, *after}):
        (all_0, idle_0), (all_1, idle_1) = before.get(number, (0, 0)), after.get(number, (0, 0))
        spent = all_1 - all_0
        known = number in before and number in after and spent > 0
        loads.append(min(1.0, max(0.0, 1 - (idle_1 - idle_0) / spent)) if known else None)
    return tuple(loads)


def memory_mb(meminfo: str) -> float | None:
    """Memory in use, from /proc/meminfo: what is not available to a new program."""
    sizes = {}
    for line in meminfo.splitlines():
        name, _, rest = line.partition(":")
        if name not in ("MemTotal", "MemAvailable"):
            continue
        if (words := rest.split()) and (value := _number(words[0])) is not None:
            sizes[name] = value * 1024 / 1e6
    if "MemTotal" in sizes and "MemAvailable" in sizes:
        used = sizes["MemTotal"] - sizes["MemAvailable"]
        return used if used >= 0 else None
    return None


def _rails(monitors: Sequence[Path]) -> dict[str, float]:
    """Power of the INA3221's channels by label [W]: millivolts by milliamperes."""
    found = {}
    for folder in monitors:
        for channel in (1, 2, 3):
            label = _text(folder / f"in{channel}_label").strip()
            volts = _number(_text(folder / f"in{channel}_input"))
            amperes = _number(_text(folder / f"curr{channel}_input"))
            if label and volts is not None and amperes is not None:
                found[label] = volts * amperes / 1e6
    return found


def _temperatures(zones: Sequence[Path]) -> dict[str, float]:
    """Of the thermal zones, by type [°C]."""
    found = {}
    for folder in zones:
        value = _number(_text(folder / "temp"))
        if value is not None:
            found[_text(folder / "type").strip() or folder.name] = value / 1e3
    return found


def _gpu(gpus: Sequence[Path]) -> tuple[float | None, dict[str, float]]:
    """Load and clock of a Jetson's GPU."""
    for folder in gpus:
        load = _number(_text(folder / "device/load"))
        clock = _number(_text(folder / "cur_freq"))
        if load is not None or clock is not None:
            share = load / 1e3 if load is not None and 0 <= load <= 1e3 else None
            return share, {} if clock is None else {"gpu": clock / 1e6}
    return None, {}


def _fastest_core(files: Sequence[Path]) -> float | None:
    """Clock of the fastest core [MHz]."""
    clocks = [clock for file in files if (clock := _number(_text(file))) is not None]
    return max(clocks) / 1e3 if clocks else None


def _text(file: Path) -> str:
    """Empty if it cannot be read: sensors come and go with the power of what they measure."""
    try:
        return file.read_bytes().decode("ascii", "replace")
    except OSError:
        return ""


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
