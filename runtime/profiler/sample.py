"""What a machine says of itself at one moment, and what follows from many of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Sample:
    """One reading; None is what the machine does not tell.

    time_s: on the monotonic clock; power_w: of `power_of`, the whole board, or the GPU alone where
    only NVML tells; temperature_c: of the hottest part of the chip; cpu_load: share of each core's
    time that was not idle, None for a core that is off; gpu_load: share; clocks_mhz: of `cpu` (the
    fastest core), `gpu` and `memory`; memory_mb: in use, of all programs.
    """

    time_s: float
    power_w: float | None = None
    temperature_c: float | None = None
    cpu_load: tuple[float | None, ...] | None = None
    gpu_load: float | None = None
    clocks_mhz: Mapping[str, float] = field(default_factory=dict)
    memory_mb: float | None = None
    power_of: str = "board"

    @property
    def empty(self) -> bool:
        """Whether nothing is known but the time."""
        return self == Sample(self.time_s)


_TOTALS = (("VIN",), ("VDD_IN",), ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"))
"""Rails that give the power of a whole board: Thor; Orin Nano and NX; AGX Orin."""


def board_power_w(rails: Mapping[str, float]) -> float | None:
    """Power of a Jetson [W] from its rails by name [W]; None if none of its totals is there."""
    for names in _TOTALS:
        if all(name in rails for name in names):
            total = sum(rails[name] for name in names)
            return total if total >= 0 else None
    return None


def chip_temperature_c(sensors: Mapping[str, float]) -> float | None:
    """Temperature of a chip [°C] from its sensors: of the junction if that has one.

    A part that is switched off reports -256.
    """
    there = {name: value for name, value in sensors.items() if -60 < value < 200}
    for name in ("tj", "tj-thermal"):
        if name in there:
            return there[name]
    return max(there.values(), default=None)


def energy_j(samples: Sequence[Sample], start_s: float, end_s: float) -> float | None:
    """Energy between two times [J]: trapezoids between samples, the ends drawn on flat.

    None if no sample between them tells the power.
    """
    known = [(s.time_s, s.power_w) for s in samples if s.power_w is not None]
    inside = [(time, power) for time, power in known if start_s <= time <= end_s]
    if not inside or end_s <= start_s:
        return None
    points = [(start_s, inside[0][1]), *inside, (end_s, inside[-1][1])]
    pairs = zip(points, points[1:], strict=False)
    return sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairs)
