"""Samples of the machine while something runs on it: power, temperature, loads, clocks."""

from __future__ import annotations

import threading
from typing import Protocol

from dreamvla_edge.runtime.profiler.sample import Sample
from dreamvla_edge.runtime.profiler.sysfs import open_sysfs
from dreamvla_edge.runtime.profiler.tegrastats import open_tegrastats


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

    source: where they come from, by name; samples: those so far, in order.
    """

    def __init__(self, source: Source) -> None:
        self.source = source.name
        self._source = source
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
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                sample = self._source.read()
            except (EOFError, OSError, ValueError):  # the program ended, or `close` ended it
                return
            if sample is not None:
                self._samples.append(sample)
            self._stop.wait(self._source.period_s)


def open_telemetry() -> Telemetry:
    """From the best source there is: tegrastats on a Jetson, else files and NVML."""
    return Telemetry(open_tegrastats() or open_sysfs())
