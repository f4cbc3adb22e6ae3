"""When the stages of one decision began and ended."""

from __future__ import annotations

import time
from types import TracebackType

Spans = dict[str, tuple[float, float]]
"""Stage → (begin, end), monotonic [s]; in the order in which the stages ended."""


class Stopwatch:
    """Times stages: `with stopwatch("vision"): …` notes when the body began and ended.

    A stage that fails is not noted. Costs about a microsecond a stage
    (`benchmarks/profiler_overhead.py`), so it always runs. Not for several threads.
    """

    def __init__(self) -> None:
        self._spans: Spans = {}

    def __call__(self, stage: str) -> Timed:
        """Times the body of a `with`."""
        return Timed(self._spans, stage)

    def restart(self) -> None:
        """Forgets; spans that were taken stay as they are."""
        self._spans = {}

    @property
    def spans(self) -> Spans:
        """What was noted since `restart`."""
        return dict(self._spans)


class Timed:
    """One stage of a stopwatch; see there."""

    __slots__ = ("_begin_s", "_spans", "_stage")

    def __init__(self, spans: Spans, stage: str) -> None:
        self._spans, self._stage, self._begin_s = spans, stage, 0.0

    def __enter__(self) -> None:
        self._begin_s = time.monotonic()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._spans[self._stage] = self._begin_s, time.monotonic()
