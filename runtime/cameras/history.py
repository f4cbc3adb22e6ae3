"""Which frames the network's window must hold: one for every training step, whatever the load.

In training, the frames of a window lie 1 / rate_hz apart. A host that decides less often than that
feeds every step that has passed since its last decision (`Policy.observe`, then `act`), not the
frames of its last decisions. All functions are pure; times are monotonic [s].
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple


class Pair(NamedTuple):
    """Frames of both cameras for one training step: places in the sequences of stamps."""

    time: int
    primary: int
    wrist: int


def steps_due(start_s: float, period_s: float, after: int, now_s: float, most: int) -> range:
    """Numbers n of the steps that come after the step `after` and are due by now.

    Step n is due at start_s + n · period_s; period_s: of the training data, longer by the same
    factor as the motion where the arm moves slower than in training. Of more than `most` steps
    (the window's length: older ones would be forgotten at once) the last ones.
    """
    last = math.floor((now_s - start_s) / period_s)
    while start_s + last * period_s > now_s:  # rounding must not let a step come early
        last -= 1
    return range(max(after + 1, last + 1 - most), last + 1)


def pairs(
    times_s: Sequence[float], primary_s: Sequence[float], wrist_s: Sequence[float]
) -> list[Pair]:
    """For each time the newest moment that both cameras had seen by then, as a pair of frames.

    primary_s, wrist_s: stamps of the frames, increasing; times_s: of the steps, increasing.
    No frame is later than the step's time. Of both cameras' newest frames the older one sets the
    moment; beside it stands the other camera's frame with the smallest skew. A camera slower than
    the training rate shows a frame more than once. Times before the first frame of either camera
    are left out.
    """
    found = []
    for index, time_s in enumerate(times_s):
        primary, wrist = bisect_right(primary_s, time_s) - 1, bisect_right(wrist_s, time_s) - 1
        if primary < 0 or wrist < 0:
            continue
        if primary_s[primary] <= wrist_s[wrist]:
            wrist = _nearest(wrist_s, wrist, primary_s[primary])
        else:
            primary = _nearest(primary_s, primary, wrist_s[wrist])
        found.append(Pair(index, primary, wrist))
    return found


def _nearest(stamps_s: Sequence[float], newest: int, time_s: float) -> int:
    """The place of the stamp nearest to a time, among those up to `newest`; the later of two."""
    after = bisect_right(stamps_s, time_s, 0, newest + 1)
    before = after - 1
    if after > newest:
        return before
    if before < 0 or stamps_s[after] - time_s <= time_s - stamps_s[before]:
        return after
    return before
