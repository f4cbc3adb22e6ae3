"""How long every layer of every subgraph takes, as the back end's own profiler tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from dreamvla_edge.runtime.backends import (
    Array,
    LayeredBackend,
    LayeredSession,
    make_backend,
)
from dreamvla_edge.runtime.bundle import Bundle
from dreamvla_edge.runtime.errors import BackendError
from dreamvla_edge.runtime.manifest import SamplerSpec, SubgraphSpec
from dreamvla_edge.runtime.policy import Policy

_USES = {"vision": "frame", "embed": "step", "backbone": "step", "denoise": "evaluation"}


@dataclass(frozen=True)
class LayerTime:
    """One layer in one use of its subgraph: its operator, median over runs [s], how many of them,
    and how often it comes in a control step, prefill included.
    """

    subgraph: str
    use: str
    layer: str
    operator: str
    seconds: float
    runs: int
    times: int

    @property
    def step_s(self) -> float:
        """In one control step [s]."""
        return self.seconds * self.times


def time_layers(
    bundle: Bundle,
    backend: str,
    threads: int | None,
    steps: int,
    sampler: SamplerSpec | None = None,
) -> list[LayerTime]:
    """Layers of so many steps with a full window, those that take longest first.

    The policy alone, on pictures of noise: timing layers takes time itself. Raises BackendError if
    the back end cannot tell.
    """
    made = make_backend(backend, threads)
    if not isinstance(made, LayeredBackend):
        raise BackendError(
            f"back end {backend!r} does not time layers",
            "onnxruntime or tensorrt",
            "leave --layers out, or name one of them with --backend",
        )
    watching = _Watching(made, bundle.manifest.network.window)
    specification, window = bundle.manifest.specification, bundle.manifest.network.window
    random = np.random.default_rng(0)
    with Policy(bundle, watching, seed=0, sampler=sampler) as policy:
        policy.reset("begin")
        for step in range(window + 1 + steps):
            watching.counts = step > window
            frames = [
                random.integers(0, 256, (c.height, c.width, 3), np.uint8)
                for c in specification.cameras
            ]
            policy.act(frames[0], frames[1], np.zeros(specification.state.size, np.float32))
            policy.settle()
    found = [time for session in watching.sessions for time in session.times(steps)]
    return sorted(found, key=lambda time: -time.step_s)


class _Watching:
    """A back end whose sessions remember what each of their runs was for."""

    def __init__(self, backend: LayeredBackend, window: int) -> None:
        self._backend, self._window = backend, window
        self.counts = False
        self.sessions: list[_Watched] = []

    def load(self, model: Path, spec: SubgraphSpec) -> _Watched:
        session = _Watched(model.stem, self._backend.load_layered(model, spec), self)
        self.sessions.append(session)
        return session

    def use(self, subgraph: str, inputs: Mapping[str, Array]) -> str:
        """What a run is for; empty if it does not count. A prefill has no past."""
        if not self.counts:
            return ""
        ahead = subgraph == "backbone" and inputs["past_kind"].size == 0
        ahead |= subgraph == "embed" and len(inputs["states"]) > 1
        return "prefill" if ahead and self._window > 1 else _USES.get(subgraph, "step")


class _Watched:
    """One subgraph and the uses of its runs so far."""

    def __init__(self, name: str, session: LayeredSession, watching: _Watching) -> None:
        self._name, self._session, self._watching = name, session, watching
        self._uses: list[str] = []

    def run(
        self, inputs: Mapping[str, Array], into: Mapping[str, Array] | None = None
    ) -> dict[str, Array]:
        """As the session's own."""
        self._uses.append(self._watching.use(self._name, inputs))
        return self._session.run(inputs, into)

    def times(self, steps: int) -> list[LayerTime]:
        """Of the layers in runs that count; those of one name in one run are added."""
        found: dict[tuple[str, str, str], list[float]] = {}
        for use, layers in zip(self._uses, self._session.layers(), strict=True):
            once: dict[tuple[str, str, str], float] = {}
            for layer in layers if use else ():
                key = use, layer.name, layer.operator
                once[key] = once.get(key, 0.0) + layer.seconds
            for key, seconds in once.items():
                found.setdefault(key, []).append(seconds)
        return [
            LayerTime(self._name, *key, median(values), len(values), round(len(values) / steps))
            for key, values in found.items()
        ]
