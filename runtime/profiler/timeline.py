"""One decision from the camera's stamp to the last serial byte."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamvla_edge.runtime.stopwatch import Spans

PATH = {
    "capture": "from the stamp of the older picture until the policy has both and the arm's state",
    "preprocess": "crop, resize, normalise",
    "vision": "image tower and resampler, both pictures",
    "prefill_wait": "waiting for what is computed ahead; 0 where there is time for it",
    "embed": "rows of the newest frame",
    "step": "the backbone's new rows",
    "sampler": "denoiser, or the MLP head",
    "kinematics": "from actions to joint goals with times",
    "guardian": "its next cycle: reading the servos, limits, until the goals go out",
    "wire": "until the last byte is at the servos",
}
"""Stages between picture and bytes in their order, and what each is."""
PREFILL = "prefill"
"""The stage off the path: the next window's keys and values, computed while the arm moves."""
OTHER = "other"
"""What is left between the stages."""
_SOON_S = 0.05
"""Bytes that follow a goal's moment later than this are not its own."""


@dataclass(frozen=True)
class Timeline:
    """Stage → (begin, end) of one decision, monotonic [s].

    sequence: of its command; path: the stages that were passed, in their order; prefill: of what
    had been computed ahead for it, None if nothing was.
    """

    sequence: int
    path: Spans
    prefill: tuple[float, float] | None

    @property
    def begin_s(self) -> float:
        """The stamp of the older picture."""
        return min(begin for begin, _ in self.path.values())

    @property
    def end_s(self) -> float:
        """The end of the last stage: of the wire, or of the guardian if nothing is sent."""
        return max(end for _, end in self.path.values())

    @property
    def seconds(self) -> dict[str, float]:
        """Duration of every stage of the path, and of `OTHER`; nothing waited for takes 0."""
        found = {name: end - begin for name, (begin, end) in self.path.items()}
        found.setdefault("prefill_wait", 0.0)
        found[OTHER] = self.end_s - self.begin_s - sum(found.values())
        return found


def first_sent_s(reports: NDArray[Any]) -> dict[int, float]:
    """By the sequence of a command when the first goals after it were about to leave [s].

    reports (n,): records of `message.REPORT`, oldest first. A command that was refused, or followed
    by a newer one before the next cycle, is not there.
    """
    sent = reports[reports["sent_ns"] > 0]
    sequences, first = np.unique(sent["sequence"], return_index=True)
    return {
        int(sequence): int(sent["sent_ns"][i]) / 1e9
        for sequence, i in zip(sequences, first, strict=True)
    }


def timeline(
    sequence: int,
    spans: Mapping[str, tuple[float, float]],
    first_s: Mapping[int, float],
    bytes_s: Sequence[float] | None,
) -> Timeline | None:
    """A decision's way, or None if its goals never left.

    spans: of its `Step`; first_s: as `first_sent_s` gives it; bytes_s: when the last byte of each
    packet of goals was at the servos, by the bus's clock, rising [s]; None where nobody can tell,
    or nothing is sent.
    """
    sent_s = first_s.get(sequence)
    if sent_s is None:
        return None
    path = {name: spans[name] for name in PATH if name in spans}
    path["guardian"] = path["kinematics"][1], sent_s
    if bytes_s is not None:
        index = int(np.searchsorted(np.asarray(bytes_s), sent_s))
        if index == len(bytes_s) or bytes_s[index] - sent_s > _SOON_S:
            return None
        path["wire"] = sent_s, bytes_s[index]
    return Timeline(sequence, path, spans.get(PREFILL))


def columns(timelines: Sequence[Timeline]) -> dict[str, list[float]]:
    """By stage the duration in every decision [s], `PREFILL` and `OTHER` at the end.

    A stage that takes no time in any decision is left out.
    """
    rows = [one.seconds for one in timelines]
    found = {name: [row[name] for row in rows if name in row] for name in (*PATH, OTHER)}
    found[PREFILL] = [end - begin for begin, end in (t.prefill for t in timelines if t.prefill)]
    return {name: found[name] for name in (*PATH, PREFILL, OTHER) if any(found[name])}
