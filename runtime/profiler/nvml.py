"""The first GPU as NVIDIA's management library sees it; on Orin it knows little, or is not there.

Functions and enumerations: NVML API reference, `nvml.h` of CUDA 12.
"""

from __future__ import annotations

import ctypes
import time
from typing import Any

from dreamvla_edge.runtime.profiler.sample import Sample

LIBRARY = "libnvidia-ml.so.1"
_GPU_TEMPERATURE = 0
_CLOCKS = {"gpu": 1, "memory": 2}  # of the multiprocessors, of the memory


class _Utilization(ctypes.Structure):
    _fields_ = [("gpu", ctypes.c_uint), ("memory", ctypes.c_uint)]


class Nvml:
    """The library, started; `library` has its functions."""

    def __init__(self, library: ctypes.CDLL, device: ctypes.c_void_p) -> None:
        self._library, self._device = library, device

    def read(self) -> Sample:
        """What the GPU tells now."""
        power = self._whole("nvmlDeviceGetPowerUsage")
        temperature = self._whole("nvmlDeviceGetTemperature", _GPU_TEMPERATURE)
        clocks = {name: self._whole("nvmlDeviceGetClockInfo", c) for name, c in _CLOCKS.items()}
        used = _Utilization()
        told = self._ask("nvmlDeviceGetUtilizationRates", ctypes.byref(used))
        return Sample(
            time.monotonic(),
            power_w=None if power is None else power / 1e3,
            temperature_c=None if temperature is None else float(temperature),
            gpu_load=used.gpu / 100 if told and used.gpu <= 100 else None,
            clocks_mhz={name: float(mhz) for name, mhz in clocks.items() if mhz},
        )

    def close(self) -> None:
        """Ends the library."""
        self._library.nvmlShutdown()

    def _whole(self, function: str, *arguments: int) -> int | None:
        """A whole number that a function gives; None if it refuses."""
        found = ctypes.c_uint()
        told = self._ask(function, *map(ctypes.c_int, arguments), ctypes.byref(found))
        return found.value if told else None

    def _ask(self, function: str, *arguments: Any) -> bool:
        try:
            return bool(getattr(self._library, function)(self._device, *arguments) == 0)
        except AttributeError:  # of a library that does not know it yet
            return False


def open_nvml(path: str = LIBRARY) -> Nvml | None:
    """None where there is no library, no driver or no GPU."""
    try:
        library = ctypes.CDLL(path)
        if library.nvmlInit_v2() != 0:
            return None
        device = ctypes.c_void_p()
        if library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(0), ctypes.byref(device)) != 0:
            library.nvmlShutdown()
            return None
    except (OSError, AttributeError):
        return None
    return Nvml(library, device)
