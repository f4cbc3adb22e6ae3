"""Samples of the machine while something runs on it: power, temperature, loads, clocks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from dreamvla_edge.runtime.profiler.sample import Sample
from dreamvla_edge.runtime.profiler.sysfs import open_sysfs
from dreamvla_edge.runtime.profiler.tegrastats import open_tegrastats

_PATIENCE_S = 2.0


class Source(Protocol):
    """Who tells; `read` may wait for news and raises EOFError when there will be no more.

    period_s: between two readings, 0 where `read` waits: at most five a second, since reading
    itself takes power and time.
    """

    name: str
    period_s: float

    def read(self) -> Sample | None:
        """A sample, None if nothing is known now."""
        ...

    def close(self) -> None:
        """Ends it, and a `read` that waits."""
        ...


class Telemetry:
    """Samples in a thread of its own between `with` and its end.

    otherwise: makes the source to go on with if the first one ends by itself. source: where they
    come from, by name; samples: those so far, in order.
    """

    def __init__(self, source: Source, otherwise: Callable[[], Source] | None = None) -> None:
        self.source = source.name
        self._source, self._otherwise = source, otherwise
        self._samples: list[Sample] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)

    @property
    def samples(self) -> tuple[Sample, ...]:
        """All samples so far."""
        return tuple(self._samples)

    def __enter__(self) -> Telemetry:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._source.close()
        self._thread.join(_PATIENCE_S)  # what holds a pipe open for ever holds nobody up

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                sample = self._source.read()
            except (EOFError, OSError, ValueError):  # the program ended, or `close` ended it
                if self._stop.is_set() or self._otherwise is None:
                    return
                self._source.close()
                self._source, self._otherwise = self._otherwise(), None
                if self._stop.is_set():  # the end came meanwhile, and closed the old one
                    self._source.close()
                    return
                self.source = f"{self.source}, which ended, then {self._source.name}"
                continue
            if sample is not None:
                self._samples.append(sample)
            self._stop.wait(self._source.period_s)


def open_telemetry() -> Telemetry:
    """From the best source there is: tegrastats on a Jetson, else files and NVML."""
    program = open_tegrastats()
    return Telemetry(open_sysfs()) if program is None else Telemetry(program, open_sysfs)
