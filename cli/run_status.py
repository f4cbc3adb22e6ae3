"""What a run says of itself: one line while it moves, a summary at the end."""

from __future__ import annotations

import time
from collections import Counter, deque
from typing import Any

import numpy as np

from dreamvla_edge.runtime.guardian.message import Limit, State, readable
from dreamvla_edge.runtime.pilot.pilot import Decision
from dreamvla_edge.runtime.pilot.time_base import TimeBase

_RECENT = 30
_REPORTS = 1000


class Status:
    """Counts decisions and reports of a run.

    base: the time base; joints: names; why_not: real-time scheduling that was refused.
    """

    def __init__(self, base: TimeBase, joints: tuple[str, ...], why_not: str) -> None:
        self._base, self._joints, self._why_not = base, joints, why_not
        self._start_s = time.monotonic()
        self._decided_s: deque[float] = deque(maxlen=_RECENT)
        self._decisions, self._factor = 0, base.factor
        self._step_ms: deque[float] = deque(maxlen=_REPORTS)
        self._worst_error_m = 0.0
        self._seen = -1
        self._cycles = 0
        self._late_us: Counter[int] = Counter()  # of a run of days; in steps of 10 µs
        self._lately_ms: deque[float] = deque(maxlen=_REPORTS)
        self._limits: Counter[str] = Counter()
        self._last_limit = "none"
        self._states: deque[tuple[float, str, str]] = deque(maxlen=_REPORTS)
        self._newest: Any = None

    def decided(self, decision: Decision) -> None:
        """One more decision."""
        self._decisions += 1
        self._factor = decision.step.speed
        self._decided_s.append(time.monotonic())
        spans = decision.step.spans
        self._step_ms.append(1e3 * (spans["kinematics"][1] - spans["policy"][0]))
        self._worst_error_m = max(self._worst_error_m, decision.step.position_error_m)

    def reported(self, reports: list[Any]) -> None:
        """Reports of the guardian, oldest first; those seen before are left out."""
        for report in reports:
            if int(report["cycle"]) <= self._seen:
                continue
            self._seen, self._newest = int(report["cycle"]), report
            lateness_ns = int(report["lateness_ns"])
            self._cycles += 1
            self._late_us[round(lateness_ns, -4) // 1000] += 1
            self._lately_ms.append(lateness_ns / 1e6)
            limit = Limit(int(report["limit"]))
            if limit is not Limit.NONE:
                self._last_limit = self._limit_name(limit, int(report["limit_joint"]))
                self._limits[self._last_limit] += 1
            state, reason = State(int(report["state"])).name, readable(report["reason"])
            if not self._states or self._states[-1][1] != state:
                at_s = int(report["deadline_ns"]) / 1e9 - self._start_s
                self._states.append((round(at_s, 3), state, reason))

    @property
    def line(self) -> str:
        """State, rates, time base, last limit, real-time scheduling."""
        if self._newest is None:
            return "waiting for the guardian"
        state, reason = State(int(self._newest["state"])).name, readable(self._newest["reason"])
        return " | ".join(
            [
                f"{state}{f' ({reason})' if reason else ''}",
                f"{self.rate_hz:.1f} Hz",
                f"{self._time_base} x{self._factor:.2f}",
                f"late {np.percentile(self._lately_ms, 99):.2f} ms",
                f"limit: {self._last_limit}",
                "real-time" if int(self._newest["realtime"]) & 1 else "not real-time",
            ]
        )

    @property
    def _time_base(self) -> str:
        return "stretched" if self._factor < 1 else self._base.name

    @property
    def rate_hz(self) -> float:
        """Decisions per second lately."""
        if len(self._decided_s) < 2:
            return 0.0
        return (len(self._decided_s) - 1) / (self._decided_s[-1] - self._decided_s[0])

    def document(self) -> dict[str, Any]:
        """Everything, for JSON."""
        newest = self._newest
        return {
            "decisions": self._decisions,
            "rate_hz": self.rate_hz,
            "step_ms": {f"p{percent}": self._took_ms(percent) for percent in (50, 95, 99)},
            "time_base": self._time_base,
            "speed_factor": self._factor,
            "guardian_cycles": self._cycles,
            "missed_cycles": 0 if newest is None else int(newest["missed"]),
            "lateness_ms": {
                "p50": self._late_ms(50),
                "p99": self._late_ms(99),
                "p999": self._late_ms(99.9),
            },
            "realtime": newest is not None and bool(int(newest["realtime"]) & 1),
            "realtime_refused": self._why_not,
            "rejected_readings": 0 if newest is None else int(newest["rejected"]),
            "limits": dict(self._limits.most_common()),
            "largest_position_error_m": self._worst_error_m,
            "states": [
                {"at_s": at_s, "state": state, "reason": reason}
                for at_s, state, reason in self._states
            ],
        }

    def _took_ms(self, percent: float) -> float | None:
        """So many percent of the last steps took at most so long, from pictures to waypoints."""
        return float(np.percentile(self._step_ms, percent)) if self._step_ms else None

    def _late_ms(self, percent: float) -> float:
        """So many percent of the cycles began at most so much too late [ms]."""
        counted = 0
        for late_us, cycles in sorted(self._late_us.items()):
            counted += cycles
            if counted >= percent / 100 * self._cycles:
                return late_us / 1000
        return 0.0

    def _limit_name(self, limit: Limit, joint: int) -> str:
        where = f" of {self._joints[joint]}" if 0 <= joint < len(self._joints) else ""
        return f"{limit.name.lower()}{where}"
