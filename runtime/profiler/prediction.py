"""What a bundle will take on a board that is not here: its floors, and what can be expected.

A stage takes longer than its floor: it reaches a share of the roofline, its efficiency. Expected
is the floor over the greatest and over the least efficiency assumed, but at least as long as it
takes to start the kernels one after the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dreamvla_edge.runtime.manifest import Manifest, SamplerSpec
from dreamvla_edge.runtime.pilot.time_base import TimeBase, choose
from dreamvla_edge.runtime.profiler.roofline import (
    ACTION,
    WHOLE,
    Floor,
    Roof,
    Runs,
    Stage,
    floors_of,
    stages,
)
from dreamvla_edge.runtime.work import Format, Stored, converted


@dataclass(frozen=True)
class Efficiency:
    """Share of the roofline that stages reach, from `low` to `high`, and what starting one kernel
    takes, from `start_low_s` to `start_high_s`; source: where that comes from.
    """

    low: float
    high: float
    start_low_s: float
    start_high_s: float
    source: str


PUBLISHED = Efficiency(
    low=0.35,
    high=0.50,
    start_low_s=1.3e-6,
    start_high_s=3e-6,
    source="published latencies of other policies over the same kind of floor: 36 % (FlashRT, pi0.5"
    " in int8 on AGX Orin), 45 % (the same in fp8 on Thor), 27 % and 77 % on desktop GPUs; a kernel"
    " of a CUDA graph starts in 1.3 µs (H100) to 3 µs (Thor). Not measured with this toolkit.",
)
"""For boards of which nothing was measured."""


def measured(share: float, source: str) -> Efficiency:
    """Of a stage that reached a share of its roofline when it was measured."""
    return Efficiency(share, share, 0.0, 0.0, source)


@dataclass(frozen=True)
class Expected:
    """Of one stage: its floor, and between which times [s] it can be expected."""

    floor: Floor
    low_s: float
    high_s: float


@dataclass(frozen=True)
class Prediction:
    """For one board in one power mode.

    precision: `as stored` or the name of an assumption in `ASSUMED`; stages: with `ACTION` and
    `WHOLE`; efficiencies: assumed of each stage; rate_hz: of the data set; best, worst: the
    time bases that `dreamvla run` would choose at the ends of the whole step's range; weights_mb:
    of all subgraphs that act.
    """

    machine: str
    mode: str
    roof: Roof
    precision: str
    stages: Mapping[str, Expected]
    efficiencies: Mapping[str, Efficiency]
    rate_hz: float
    best: TimeBase
    worst: TimeBase
    weights_mb: float

    @property
    def verdict(self) -> str:
        """Whether the data set's rate can be kept in real time."""
        rate = f"the data set's {self.rate_hz:g} Hz"
        if self.worst.name == "real":
            return f"{rate}: in real time"
        slow = f"{100 * self.worst.factor:.0f} %"
        if self.best.name == "real":
            return f"{rate}: in real time at best, else stretched, down to {slow} of the speed"
        return f"{rate}: only stretched, at {slow} to {100 * self.best.factor:.0f} % of the speed"


ASSUMED: Mapping[str, Mapping[str, tuple[Format, Stored]]] = {
    "fp16": {name: ("fp16", "fp16") for name in ("vision", "step", "prefill", "sampler")},
    "orin": {
        "vision": ("int8", "int8"),
        "step": ("int8", "int8"),
        "prefill": ("int8", "int8"),
        "sampler": ("fp16", "int8"),
    },
    "thor": {name: ("fp8", "fp8") for name in ("vision", "step", "prefill", "sampler")},
}
"""What a bundle in float32 becomes: format of the products and of their weights, by stage. `orin`
and `thor` are the presets of `dreamvla quantize`; all keep the rest in half precision."""


def assumed(work: Mapping[str, Stage], precision: str) -> dict[str, Stage]:
    """The stages of a bundle in float32 as if it were quantized: a name of `ASSUMED`."""
    formats = ASSUMED[precision]
    return {
        name: tuple(Runs(converted(one, *formats[name], "fp16"), times) for one, times in stage)
        if name in formats
        else stage
        for name, stage in work.items()
    }


def predict(
    manifest: Manifest,
    roof: Roof,
    precision: str | None = None,
    efficiencies: Mapping[str, Efficiency] | None = None,
    sampler: SamplerSpec | None = None,
) -> Prediction:
    """What a bundle will take under a roof.

    precision: a name of `ASSUMED`, None as it is stored; efficiencies: measured ones by stage,
    `PUBLISHED` for those that are not in it; sampler: instead of the bundle's own. Raises
    BundleError and BoardError as `roofline.floors` does.
    """
    work = stages(manifest, sampler)
    return predict_stages(
        assumed(work, precision) if precision else work,
        *(roof, manifest.specification.action.rate_hz, manifest.network.action_steps),
        precision=precision or "as stored",
        efficiencies=efficiencies or {},
    )


def predict_stages(
    work: Mapping[str, Stage],
    roof: Roof,
    rate_hz: float,
    waypoints: int,
    *,
    precision: str,
    efficiencies: Mapping[str, Efficiency],
) -> Prediction:
    """As `predict`, for the work of stages and a data set's rate; waypoints: of one chunk."""
    found: dict[str, Expected] = {}
    assume = {name: efficiencies.get(name, PUBLISHED) for name in work}
    for name, floor in floors_of(work, roof).items():
        if name not in work:  # a sum, made below
            found[name] = Expected(floor, 0.0, 0.0)
            continue
        its = assume[name]
        kernels = sum(runs.work.kernels * runs.times for runs in work[name])
        found[name] = Expected(
            floor,
            max(floor.seconds / its.high, kernels * its.start_low_s),
            max(floor.seconds / its.low, kernels * its.start_high_s),
        )
    for total, names in ((ACTION, [n for n in work if n != "prefill"]), (WHOLE, [*work])):
        low, high = (sum(getattr(found[n], end) for n in names) for end in ("low_s", "high_s"))
        found[total] = Expected(found[total].floor, low, high)
    period_s = 1 / rate_hz
    best, worst = (
        choose("auto", [seconds], period_s, waypoints)
        for seconds in (found[WHOLE].low_s, found[WHOLE].high_s)
    )
    return Prediction(
        machine=roof.name,
        mode=roof.mode,
        roof=roof,
        precision=precision,
        stages=found,
        efficiencies=assume,
        rate_hz=rate_hz,
        best=best,
        worst=worst,
        weights_mb=sum(_weights_mb(name, work) for name in work if name != "prefill"),
    )


def _weights_mb(name: str, work: Mapping[str, Stage]) -> float:
    """Of one stage's subgraph; prefill and step share theirs."""
    return max(runs.work.weight_mb for runs in work[name])
