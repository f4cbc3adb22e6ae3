"""What tells the time: the module `time`, or a clock that a simulation moves."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """A clock that never goes back."""

    def monotonic(self) -> float:
        """[s]."""

    def monotonic_ns(self) -> int:
        """[ns]."""
