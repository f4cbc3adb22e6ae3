"""One cell of the fault table: a fault, where the arm has to end, and how that is judged."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

from dreamvla_edge.runtime.guardian.message import State
from guardian.faults import Fault
from guardian.rig import LATCHED, SETTLES_S, STANDS_RAD_S, Rig, punctual

End = Literal["held", "held, latched", "held by the servos", "lowered", "limp", "goes on"]
REST_RAD = 0.08  # at rest is what is so near to it
STILL_S = 0.15  # the arm stands if nothing moves for so long
STAYS_RAD = 0.01  # what a joint was pressing with before its goal was taken back is less


@dataclass(frozen=True)
class Cell:
    """One fault.

    done: what is done to the arm, for people; fault: does it, and undoes it when left; ends: where
    the arm may be then; stands_s, decided_s: allowed until the arm stands and until the guardian
    has decided so [s], None: not bounded; from_waypoints: counted from the last waypoint's time;
    watched_s: for how long one looks; cycled: whose power is switched off and on again once the
    fault is gone and the arm was seen to stay where it is, since servos latch some faults.
    """

    done: str
    fault: Fault
    ends: tuple[End, ...]
    stands_s: float | None = None
    decided_s: float | None = None
    from_waypoints: bool = False
    watched_s: float = 0.6
    cycled: str = ""

    def refused(self, outcome: Outcome) -> str:
        """Why an outcome is not as it has to be, or nothing."""
        if outcome.end not in self.ends:
            return f"{outcome.end}, not {' or '.join(self.ends)}"
        if outcome.end == "goes on":
            return ""
        for what, took_s, allowed_s in (
            ("stands", outcome.stands_s, self.stands_s),
            ("decided", outcome.decided_s, self.decided_s),
        ):
            if allowed_s is not None and (took_s is None or took_s > allowed_s):
                return f"{what} after {took_s} s, allowed {allowed_s:.3f}"
        return ""


@dataclass(frozen=True)
class Outcome:
    """What a fault led to; times from the fault on [s], None: never.

    gap_s: the longest that the bus or the guardian had to wait for their turn until it stood.
    """

    end: End | Literal["moves"]
    stands_s: float | None
    decided_s: float | None
    state: str
    reason: str
    gap_s: float


def inject(rig: Rig, cell: Cell) -> Outcome:
    """Does a fault to a dancing arm, looks, and undoes it. A latched end must outlast the fault."""
    rig.dance()
    with ExitStack() as over:
        with punctual():
            begin_ns = time.monotonic_ns()
            over.enter_context(cell.fault(rig))
        time.sleep(cell.watched_s)
        if rig.state in LATCHED:
            time.sleep(SETTLES_S + STILL_S)  # it may have begun to stop only just now
        outcome = _judge(rig, cell, begin_ns)
    if outcome.end == "held, latched":
        moved_rad = _moved_rad(rig)
        assert rig.state in LATCHED, "went on without being cleared"
        assert max(moved_rad.values()) < STAYS_RAD, (
            f"{cell.done}: moved without being cleared: {moved_rad}"
        )
    if cell.cycled:
        rig.bus.command(f"fault {cell.cycled} off")
        rig.bus.command(f"fault {cell.cycled} ok")
    return outcome


def _moved_rad(rig: Rig) -> dict[int, float]:
    """How far each joint moves from now on, for a while; a gripper goes on to its goal."""
    begin_ns, ways = time.monotonic_ns(), list[Mapping[str, list[float]]]()
    while len(ways) < 2:  # the log is written by a thread that may have to wait for its turn
        time.sleep(STILL_S)
        ways += [motors for stamp_ns, motors in rig.motion() if stamp_ns >= begin_ns]
    return {
        joint.servo: abs(ways[-1][str(joint.servo)][0] - ways[0][str(joint.servo)][0])
        for joint in rig.description.joints
    }


def _judge(rig: Rig, cell: Cell, begin_ns: int) -> Outcome:
    """The end, by the log of the bus; the guardian's reports only say what it has decided."""
    if cell.from_waypoints:
        begin_ns = max(begin_ns, rig.last_waypoint_ns)
    motion = rig.motion()
    moving = [max(abs(v) for _, v in motors.values()) >= STANDS_RAD_S for _, motors in motion]
    stamps = [stamp for stamp, _ in motion]
    last = max((i for i, moves in enumerate(moving) if moves), default=-1)
    stands = last + 1 < len(stamps) and stamps[-1] - stamps[last + 1] >= STILL_S * 1e9
    reports = [r for r in tuple(rig.reports) if r["deadline_ns"] + r["lateness_ns"] > begin_ns]
    gone = not reports or reports[-1]["deadline_ns"] < time.monotonic_ns() - STILL_S * 1e9
    decided = [r for r in reports if r["state"] not in (State.RAMP, State.TRACK)]
    state = rig.state
    if state is State.LIMP:
        end = "lowered" if _is_low(rig, reports) else "limp"
        decided = [r for r in reports if r["state"] == State.LIMP]
    elif gone:
        end = "held by the servos" if stands else "moves"
    elif state in LATCHED:
        end = "held, latched" if stands else "limp"
    elif not stands or "goes on" in cell.ends:
        end = "goes on"
    else:
        end = "held"
    return Outcome(
        end,
        max(0.0, (stamps[last + 1] - begin_ns) / 1e9) if stands else None,
        (int(decided[0]["deadline_ns"] + decided[0]["lateness_ns"]) - begin_ns) / 1e9
        if decided
        else None,
        state.name if state and not gone else "gone",
        rig.reason,
        _gap_s(stamps[: last + 2], reports),
    )


def _gap_s(looks_ns: Sequence[int], reports: Sequence[Any]) -> float:
    """Longest time between two looks of the bus at motors that move, or lateness of a cycle [s]."""
    gaps_ns = [after - before for before, after in zip(looks_ns, looks_ns[1:], strict=False)]
    late_ns = [int(report["lateness_ns"]) for report in reports]
    return max([*gaps_ns, *late_ns], default=0) / 1e9


def _is_low(rig: Rig, reports: list[Any]) -> bool:
    """Whether the arm was at rest when its torque went."""
    measured = next(r for r in reports if r["state"] == State.LIMP)["measured"]
    return bool(max(abs(measured[: len(rig.rest)])) < REST_RAD)
