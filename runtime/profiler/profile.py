"""What was measured of a bundle on a machine: the document that is written and compared."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec

from dreamvla_edge.runtime.errors import ProfileError
from dreamvla_edge.runtime.specification import Contract

from .intervals import Measured, Ratio, Summary, ratio
from .rhythm import Rhythm

SCHEMA_VERSION = 1
_RUNNERS = ("onnxruntime", "tensorrt")
END_TO_END = "end to end"
"""From the camera's stamp to the last serial byte."""


class FloorOf(Contract, frozen=True):
    """The least time of a stage on this machine [s] and what it follows from; see `roofline`."""

    seconds: float
    gflop: float
    mb: float
    bound_by: str


class Stage(Contract, frozen=True):
    """One stage: what it is, all durations [s] in their order, and what they add up to.

    rhythm: what every duration waited for, if anything: then the summary is of even waits.
    """

    what: str
    summary: Summary
    seconds: tuple[float, ...]
    floor: FloorOf | None = None
    rhythm: Rhythm | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be of one stage."""
        count = len(self.seconds)
        if not (count and all(math.isfinite(seconds) for seconds in self.seconds)):
            raise ValueError(f"{count} durations, which must be at least one and finite")
        waits = count if self.rhythm is None else len(self.rhythm.waits)
        if not self.summary.count == waits == count:
            raise ValueError(f"{count} durations, a summary of {self.summary.count}, {waits} waits")

    @property
    def reached(self) -> float | None:
        """Share of the roofline that is reached: the floor over the median."""
        if self.floor is None or not self.summary.p50 > 0:
            return None
        return self.floor.seconds / self.summary.p50


class Subject(Contract, frozen=True):
    """What was measured.

    bundle: its name; sha256: of its manifest; until: what end to end ends with; arm: whose servos;
    runs, warm_up: decisions that count, and that went before; rate_hz: asked for, of decisions;
    step_hz: reached; time_base: real or stretched; sampler, backend: as asked for; threads: of a
    subgraph at most.
    """

    bundle: str
    sha256: str
    until: str
    arm: str
    cameras: tuple[str, ...]
    runs: int
    warm_up: int
    rate_hz: float
    step_hz: float
    time_base: str
    backend: str
    threads: int
    sampler: str


class Environment(Contract, frozen=True):
    """The machine. clocks_mhz: medians while it ran; governor: of the CPU's clock; load: running
    programs per core when it began; elsewhere: share of all cores that others used meanwhile.
    """

    machine: str
    board: str
    cores: int
    architecture: str
    system: str
    power_mode: str
    governor: str
    clocks_mhz: dict[str, float]
    load: float
    elsewhere: float | None
    telemetry: str
    versions: dict[str, str]
    started: str


class ColdStart(Contract, frozen=True):
    """A fresh process [s]: interpreter and imports, opening with all hashes, loading, the first
    decision; and its greatest resident memory [MB].
    """

    imports: float
    open: float
    load: float
    first: float
    peak_mb: float

    @property
    def total(self) -> float:
        """Until the first chunk of actions."""
        return self.imports + self.open + self.load + self.first


class Use(Contract, frozen=True):
    """What was used while it ran; None is what this machine does not tell.

    Memory [MB]: resident of the policy's process with the profiler, its greatest, of the guardian,
    of all programs (on a Jetson the GPU's too). Cores: mean load of each, cores' worth that policy
    and guardian took. Power [W] and energy of one decision [J], both of power_of; temperature at
    the beginning, the end, the greatest [°C].
    """

    policy_mb: float
    policy_peak_mb: float
    guardian_mb: float | None
    all_mb: float | None
    core_loads: tuple[float | None, ...]
    policy_cores: float
    guardian_cores: float | None
    gpu_load: float | None
    power_w: float | None
    energy_j: float | None
    temperature_c: tuple[float, float, float] | None
    power_of: str = "board"


class Punctuality(Contract, frozen=True):
    """Of the guardian: cycles, those missed, and how late cycles began [s]."""

    cycles: int
    missed: int
    realtime: bool
    late: Summary


class Rate(Contract, frozen=True):
    """Whether decisions keep up with a rate.

    busy: from the step's begin to its waypoints [s]; missed: decisions that took longer than a
    period; most_hz: with what is computed ahead still off the path, by the medians.
    """

    hz: float
    busy: Summary
    missed: int
    most_hz: float


class Profile(Contract, frozen=True):
    """Everything. stages: in their order, those of `timeline.PATH`, prefill and other; left_out:
    decisions whose goals never left; other_share: of the median of all.
    """

    schema_version: int
    subject: Subject
    environment: Environment
    end_to_end: Stage
    stages: dict[str, Stage]
    other_share: float
    left_out: int
    rate: Rate
    use: Use
    punctuality: Punctuality
    cold_start: ColdStart | None
    roof: dict[str, Any] | None
    notes: tuple[str, ...] = ()


def load_profile(path: Path) -> Profile:
    """The profile in a document that `dreamvla profile` wrote. Raises ProfileError."""
    try:
        document = msgspec.json.decode(path.read_bytes())
        found = document["profile"]
        version = found["schema_version"]
    except (OSError, msgspec.DecodeError, KeyError, TypeError, RecursionError) as error:
        raise ProfileError(
            f"{path} holds no profile ({error})",
            "a document that `dreamvla profile BUNDLE --json` printed, or profile.json of -o",
            "give the path of one",
        ) from error
    if version != SCHEMA_VERSION:
        raise ProfileError(
            f"{path} is a profile of schema version {version!r}",
            f"version {SCHEMA_VERSION}",
            "profile again with this version of dreamvla-edge",
        )
    try:
        profile = msgspec.convert(found, Profile)
        compare(profile, profile)  # what cannot be compared is not found after hours of measuring
    except ValueError as error:  # msgspec's errors are ValueErrors
        raise ProfileError(
            f"{path} is damaged ({error})", "a profile as it was written", "profile again"
        ) from error
    return profile


def compare(now: Profile, before: Profile) -> dict[str, Ratio]:
    """Of every stage that both have, and of `END_TO_END`: how the medians stand to each other."""
    stages = {END_TO_END: now.end_to_end, **now.stages}
    others = {END_TO_END: before.end_to_end, **before.stages}
    return {
        name: ratio(
            Measured(stage.seconds, stage.rhythm),
            Measured(others[name].seconds, others[name].rhythm),
        )
        for name, stage in stages.items()
        if name in others and min(stage.summary.p50, others[name].summary.p50) > 0
    }


def unlike(now: Profile, before: Profile) -> list[str]:
    """What differs between two profiles beside their times: reasons to mind when comparing."""
    here, there = now.environment, before.environment
    pairs = (
        ("machine", here.machine, there.machine),
        ("board", here.board, there.board),
        ("cores", here.cores, there.cores),
        ("power mode", here.power_mode, there.power_mode),
        ("governor", here.governor, there.governor),
        *((name, here.versions.get(name), there.versions.get(name)) for name in _RUNNERS),
        ("bundle", now.subject.sha256[:12], before.subject.sha256[:12]),
        ("back end", now.subject.backend, before.subject.backend),
        ("threads", now.subject.threads, before.subject.threads),
        ("sampler", now.subject.sampler, before.subject.sampler),
        ("rate", f"{now.subject.rate_hz:g} Hz", f"{before.subject.rate_hz:g} Hz"),
        ("arm", now.subject.arm, before.subject.arm),
        ("cameras", ", ".join(now.subject.cameras), ", ".join(before.subject.cameras)),
        ("end", now.subject.until, before.subject.until),
    )
    return [f"{what}: {a or '-'}, before {b or '-'}" for what, a, b in pairs if a != b]
