"""The observation window: features for the newest frame, with the least work that is exact.

Three facts of the block mask make it exact (`docs/architecture.md`, "What is exact"):
past queries are read by nobody, so only context rows of the past are kept; a frame's vision rows
never change, so each frame is seen once; and while the window slides, every frame moves one slot
down, so its old keys and values are useless, but the next window's first slots hold frames that
are already known: they are computed ahead (`prefill`) while the arm moves.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .backends import Array, KeepingSession, Session
from .keys_and_values import HostKeysAndValues, Tensors
from .manifest import NetworkSpec

FloatArray = npt.NDArray[np.float32]


class Frame(NamedTuple):
    """One observation as the backbone reads it: vision (A-2, D) and raw state (7 or 8)."""

    vision: FloatArray
    state: FloatArray


@dataclass
class Cache:
    """Keys and values of the context rows of slots 0 … slots-1, whose first frame is `first`.

    tensors: k{l} and v{l}, each (H, slots·A, d).
    """

    first: int
    slots: int
    tensors: Tensors


class Window:
    """Frames of one episode, and their way through `embed` and `backbone`.

    load: gives the session of a subgraph by name; timed: of the stages `embed` and `step` of
    `features`. Frames are counted from the last reset; the window holds the newest S of them.
    """

    def __init__(
        self,
        spec: NetworkSpec,
        load: Callable[[str], Session],
        timed: Callable[[str], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self.spec, self._timed = spec, timed
        self._embed, self._backbone = load("embed"), load("backbone")
        self._kinds = np.asarray(spec.step_kinds, np.int32)
        names = [f"{part}{layer}" for layer in range(spec.layers) for part in "kv"]
        self._memory = (
            self._backbone.keep(names)
            if isinstance(self._backbone, KeepingSession)
            else HostKeysAndValues(names, spec.heads, spec.head_width)
        )
        self._text = np.zeros((1, spec.width), np.float32)
        self.reset(self._text)

    def reset(self, text: FloatArray) -> None:
        """Start an episode: text embedding (1, D) of its instruction."""
        self._text = text
        self._frames: deque[Frame] = deque(maxlen=self.spec.window)
        self._count = 0
        self._cache = self._nothing(0)

    def push(self, frame: Frame) -> None:
        """Append the newest frame."""
        self._frames.append(frame)
        self._count += 1

    @property
    def slots(self) -> int:
        """Slots in use: frames since the reset, at most S."""
        return len(self._frames)

    def features(
        self, rows: Sequence[int] | None = None, ahead: Sequence[Frame] | None = None
    ) -> FloatArray:
        """Backbone features of the newest slot's action queries (P, D).

        rows: other query rows of the newest slot instead, counted from its first dream query.
        ahead: frames of the slots after the newest, for goal attention; the released loop has
        none and fills those slots with copies of the newest frame.
        """
        spec, newest = self.spec, self.slots - 1
        first = self._count - self.slots
        cache = self._cache if self._cache.first == first else self._nothing(first)
        if cache.slots >= self.slots:  # asked again for the same frame
            known = self._memory.first(cache.tensors, newest * spec.context_rows)
            cache = Cache(first, newest, known)
        later = self._later(ahead)
        new = [*self._frames][cache.slots :] + later
        slots = np.arange(cache.slots, self.slots + len(later), dtype=np.int32)
        with self._timed("embed"):
            context, queries = self.embed(new, cache.slots, newest)
        kind = np.concatenate(
            [np.tile(self._kinds[: spec.context_rows], len(new)), self._kinds[spec.context_rows :]]
        )
        slot = np.concatenate(
            [np.repeat(slots, spec.context_rows), np.full(spec.query_rows, newest, np.int32)]
        )
        wanted = range(spec.dream_rows, spec.query_rows) if rows is None else rows
        read = len(context) + np.asarray(wanted, np.int32)
        with self._timed("step"):
            outputs = self._run(np.concatenate([context, queries]), kind, slot, read, cache)
        if self.slots < spec.window:
            kept = (self.slots - cache.slots) * spec.context_rows
            tensors = self._memory.joined(cache.tensors, outputs, kept)
            self._cache = Cache(first, self.slots, tensors)
        features: FloatArray = outputs["features"]
        return features

    def prefill(self, expected: int = 1) -> None:
        """Compute keys and values of the next window as far as its frames are known.

        expected: frames that will be pushed before the next call of `features`. If another
        number arrives, the next call finds nothing cached and computes the whole window: slower,
        equally exact.
        """
        spec = self.spec
        count = self._count + expected
        slots = min(count, spec.window)
        first = count - slots
        known = self._count - first
        if known <= 0 or (self._cache.first, self._cache.slots) == (first, known):
            return  # while the window fills, all that is known is cached already
        frames = [*self._frames][-known:]
        index = np.arange(known, dtype=np.int32)
        context, _ = self.embed(frames, 0, 0)
        kind = np.tile(self._kinds[: spec.context_rows], known)
        slot = np.repeat(index, spec.context_rows)
        # The buffers are about to be overwritten: what they hold must not be found any more.
        nothing = self._cache = self._nothing(first)
        # No feature is wanted, but ONNX Runtime 1.23 divides by the number of rows that are read.
        read = np.zeros(1, np.int32)
        into = self._memory.room(len(context))
        self._run(context, kind, slot, read, nothing, into)
        self._cache = Cache(first, known, into)

    def cached(self, name: str) -> FloatArray:
        """Cached keys (`k<layer>`) or values (`v<layer>`), (H, slots·A, d)."""
        return np.asarray(self._cache.tensors[name])

    def _later(self, ahead: Sequence[Frame] | None) -> list[Frame]:
        slots = min(self.spec.slots_ahead, self.spec.window - self.slots)
        return list(ahead)[:slots] if ahead is not None else [self._frames[-1]] * slots

    def embed(
        self, frames: Sequence[Frame], first: int, query_slot: int
    ) -> tuple[FloatArray, FloatArray]:
        """Context rows (n·A, D) of frames from slot `first` on, and query rows (Q+P, D)."""
        outputs = self._embed.run(
            {
                "text": self._text,
                "states": np.stack([frame.state for frame in frames]),
                "vision": np.stack([frame.vision for frame in frames]),
                "slots": np.arange(first, first + len(frames), dtype=np.int32),
                "query_slot": np.array([query_slot], np.int32),
            }
        )
        return outputs["context"], outputs["queries"]

    def _run(
        self,
        rows: FloatArray,
        kind: Array,
        slot: Array,
        read: Array,
        cache: Cache,
        into: Tensors | None = None,
    ) -> dict[str, Array]:
        past = {
            "past_kind": np.tile(self._kinds[: self.spec.context_rows], cache.slots),
            "past_slot": np.repeat(np.arange(cache.slots, dtype=np.int32), self.spec.context_rows),
        }
        new = {"rows": rows, "kind": kind, "slot": slot, "read": read}
        known = {f"past_{name}": tensor for name, tensor in cache.tensors.items()}
        return self._backbone.run({**new, **past, **known}, into)

    def _nothing(self, first: int) -> Cache:
        return Cache(first, 0, self._memory.empty())
