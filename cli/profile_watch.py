"""`dreamvla profile --watch`: the stages of a policy that runs, and its guardian."""

from __future__ import annotations

import math
import sys
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from dreamvla_edge.runtime.errors import GuardianError, ProfileError
from dreamvla_edge.runtime.guardian.client import Client, socket_path
from dreamvla_edge.runtime.guardian.message import REPORT, State, readable
from dreamvla_edge.runtime.profiler.intervals import summary
from dreamvla_edge.runtime.profiler.profile import END_TO_END
from dreamvla_edge.runtime.profiler.stage_ring import SUFFIX, Noted, read_ring
from dreamvla_edge.runtime.profiler.timeline import PREFILL, columns, first_sent_s, timeline

from .profile_table import ms

if TYPE_CHECKING:
    from .report import Report

_PERIOD_S = 0.5
_SHORT_S = 5.0
"""How long it looks where there is no terminal and no --seconds [s]."""
_REPORTS = 12_000  # two minutes
_HEADER = ("stage", "p50 ms", "p90", "p99", "max", "jitter")


def watched(robot: Path, seconds: float | None, report: Report) -> None:
    """Shows a table anew until time is up, the run ends or Ctrl-C; then the last one as JSON.

    Looks only: nothing is asked of the policy. Raises GuardianError or ProfileError if none runs.
    """
    socket = socket_path(robot)
    live = sys.stdout.isatty() and not report.as_json and report.verbosity >= 0
    end_s = time.monotonic() + (seconds or (math.inf if live else _SHORT_S))
    document: dict[str, Any] = {}
    packets: deque[bytes] = deque(maxlen=_REPORTS)
    with Client(socket) as client:
        read_ring(socket.with_suffix(SUFFIX))
        try:
            while time.monotonic() < end_s:
                pause_end_s = min(end_s, time.monotonic() + _PERIOD_S)
                while (left_s := pause_end_s - time.monotonic()) > 0:
                    packets += client.reports(left_s)
                document = _document(read_ring(socket.with_suffix(SUFFIX)), packets)
                if live:
                    click.clear()
                    _show(document, report)
        except KeyboardInterrupt:  # how people end it
            pass
        except (GuardianError, ProfileError):  # the run has ended
            if not document:
                raise
            report.text("the run has ended")
    if not live:
        _show(document, report)
    report.document(document)


def _document(noted: list[Noted], packets: deque[bytes]) -> dict[str, Any]:
    """Stages of the latest decisions; goals are known of those that were made meanwhile."""
    reports = np.frombuffer(b"".join(packets), REPORT)
    sent_s = first_sent_s(reports)
    since_s = int(reports["deadline_ns"][0]) / 1e9 if len(reports) else math.inf
    # Of an earlier one, goals may have left before anybody looked.
    seen = [one for one in noted if one.spans["policy"][0] >= since_s]
    ways = [timeline(one.sequence, one.spans, sent_s, None) for one in seen]
    whole = [way for way in ways if way is not None]
    stages = columns(whole) if whole else {}
    if whole:
        stages[END_TO_END] = [way.end_s - way.begin_s for way in whole]
    begun = [one.spans["policy"][0] for one in noted]
    recent = begun[-30:]
    newest = reports[-1] if len(reports) else None
    return {
        "decisions": noted[-1].number if noted else 0,
        "shown": len(whole),
        "rate_hz": (len(recent) - 1) / (recent[-1] - recent[0]) if len(recent) > 1 else 0.0,
        "state": "" if newest is None else State(int(newest["state"])).name,
        "reason": "" if newest is None else readable(newest["reason"]),
        "guardian": {
            "cycles": len(reports),
            "missed": 0 if newest is None else int(newest["missed"]) - int(reports["missed"][0]),
            "late_p999_s": float(np.percentile(reports["lateness_ns"], 99.9)) / 1e9
            if len(reports)
            else None,
        },
        "stages": {
            name: {k: getattr(summary(values), k) for k in ("p50", "p90", "p99", "max", "jitter")}
            for name, values in stages.items()
        },
    }


def _show(document: dict[str, Any], report: Report) -> None:
    if not document:
        return
    guardian = document["guardian"]
    late = guardian["late_p999_s"]
    report.text(
        f"{document['state']} {document['reason']}  {document['rate_hz']:.1f} Hz,"
        f" {document['decisions']} decisions; guardian late p99.9"
        f" {'?' if late is None else ms(late)} ms, {guardian['missed']} cycles missed\n"
    )
    report.table(
        _HEADER,
        (
            (f"({name})" if name == PREFILL else name, *(ms(value) for value in row.values()))
            for name, row in document["stages"].items()
        ),
    )
    report.text(f"\nlast {document['shown']} decisions that began since this one looks")
