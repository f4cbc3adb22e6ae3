"""From what was measured to the document of a profile."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from statistics import fmean, median

from dreamvla_edge.runtime.bundle import Bundle, sha256
from dreamvla_edge.runtime.errors import BoardError, BundleError
from dreamvla_edge.runtime.manifest import MANIFEST_NAME
from dreamvla_edge.runtime.profiler.environment import environment
from dreamvla_edge.runtime.profiler.intervals import summary
from dreamvla_edge.runtime.profiler.process import Memory
from dreamvla_edge.runtime.profiler.profile import (
    SCHEMA_VERSION,
    ColdStart,
    FloorOf,
    Profile,
    Punctuality,
    Rate,
    Stage,
    Subject,
    Use,
)
from dreamvla_edge.runtime.profiler.rhythm import Rhythm
from dreamvla_edge.runtime.profiler.roofline import Floor, Roof, floors
from dreamvla_edge.runtime.profiler.sample import Sample, energy_j
from dreamvla_edge.runtime.profiler.timeline import OTHER, PATH, PREFILL, Timeline, columns
from dreamvla_edge.runtime.samplers.named import replacement

from .profile_run import Asked, Run, Seen

_GAP, _GAP_S = 0.1, 1.0
"""Power may be unknown for so long at once, as a share of the time and in seconds: the larger."""
_WHAT = {
    **PATH,
    PREFILL: "off the path: the next window, computed while the arm moves",
    OTHER: "between the stages",
}


def profile(
    bundle: Bundle, asked: Asked, run: Run, cold_start: ColdStart | None, roof: Roof | None
) -> Profile:
    """The document; roof: of this machine, None if it is not known."""
    seen, timelines = run.seen, run.timelines
    least, notes = _floors(bundle, asked, roof)
    found = columns(timelines)
    whole = [one.end_s - one.begin_s for one in timelines]
    busy = [spans["kinematics"][1] - spans["policy"][0] for _, spans, _ in seen.decided]
    ahead = median(found[PREFILL]) if PREFILL in found else 0.0
    wall_s = seen.end_s - seen.begin_s
    spent = seen.spent
    own_s = sum(seconds or 0.0 for seconds in spent[:3])
    cores = os.cpu_count() or 1
    elsewhere = None if spent.all_s is None else max(0.0, spent.all_s - own_s) / wall_s / cores
    return Profile(
        schema_version=SCHEMA_VERSION,
        subject=Subject(
            bundle=bundle.manifest.name,
            sha256=sha256(bundle.path / MANIFEST_NAME),
            until=run.until,
            arm=run.arm,
            cameras=run.cameras,
            runs=len(timelines),
            warm_up=bundle.manifest.network.window + asked.warm_up,
            rate_hz=1 / seen.period_s,
            step_hz=seen.step_hz,
            time_base=seen.time_base,
            backend=asked.backend,
            threads=asked.threads or len(os.sched_getaffinity(0)),
            sampler=asked.sampler or "",
        ),
        environment=environment(seen.samples, seen.telemetry, seen.load, elsewhere, seen.begin_s),
        end_to_end=_stage("from the camera's stamp to " + run.until, whole, None),
        stages={
            name: _stage(_WHAT[name], seconds, least.get(name), run.rhythms.get(name))
            for name, seconds in found.items()
        },
        other_share=sum(found.get(OTHER, [0.0])) / sum(whole),
        left_out=run.left_out,
        rate=Rate(
            hz=1 / seen.period_s,
            busy=summary(busy),
            missed=sum(seconds > seen.period_s for seconds in busy),
            most_hz=1 / (median(busy) + ahead),
        ),
        use=_use(seen, timelines, wall_s),
        punctuality=Punctuality(
            cycles=len(run.reports),
            missed=int(run.reports["missed"][-1] - run.reports["missed"][0]),
            realtime=bool(run.reports["realtime"][-1] & 1),
            late=summary((run.reports["lateness_ns"] / 1e9).tolist()),
        ),
        cold_start=cold_start,
        roof=None if roof is None else asdict(roof),
        notes=(*notes, *power_gaps(seen)),
    )


def _stage(
    what: str, seconds: Sequence[float], floor: Floor | None, rhythm: Rhythm | None = None
) -> Stage:
    least = None if floor is None else FloorOf(**asdict(floor))
    return Stage(what, summary(seconds, rhythm), tuple(seconds), least, rhythm)


def _floors(
    bundle: Bundle, asked: Asked, roof: Roof | None
) -> tuple[dict[str, Floor], tuple[str, ...]]:
    """By stage, and what there is to say where there are none."""
    if roof is None:
        return {}, ("no floors: what this machine can do at most is not known",)
    try:
        return floors(bundle, roof, replacement(bundle.manifest, asked.sampler)), ()
    except (BundleError, BoardError) as error:
        return {}, (f"no floors: {error.found}; {error.cure}",)


def _measured(seen: Seen) -> list[Sample]:
    """Samples of the measured time; power of one thing alone, the first that was told."""
    samples = [sample for sample in seen.samples if seen.begin_s <= sample.time_s <= seen.end_s]
    of = next((sample.power_of for sample in samples if sample.power_w is not None), "")
    return [s if s.power_of == of else replace(s, power_w=None) for s in samples]


def power_gaps(seen: Seen) -> tuple[str, ...]:
    """Where power is unknown for long, and taken to have stayed as it was."""
    told_s = [sample.time_s for sample in _measured(seen) if sample.power_w is not None]
    times_s = [seen.begin_s, *told_s, seen.end_s]
    gap_s = max(b - a for a, b in zip(times_s, times_s[1:], strict=False))
    wall_s = seen.end_s - seen.begin_s
    if not told_s or gap_s <= max(_GAP * wall_s, _GAP_S):
        return ()
    return (f"nothing told the power for {gap_s:.1f} of {wall_s:.1f} s ({seen.telemetry})",)


def _use(seen: Seen, timelines: Sequence[Timeline], wall_s: float) -> Use:
    samples, spent = _measured(seen), seen.spent
    loads = [sample.cpu_load for sample in samples if sample.cpu_load is not None]
    spent_j = energy_j(samples, seen.begin_s, seen.end_s)
    degrees = [s.temperature_c for s in samples if s.temperature_c is not None]
    policy = seen.policy or Memory(0.0, 0.0)
    return Use(
        policy_mb=policy.now_mb,
        policy_peak_mb=policy.peak_mb,
        guardian_mb=None if seen.guardian is None else seen.guardian.now_mb,
        all_mb=_mean([sample.memory_mb for sample in samples]),
        core_loads=tuple(_mean(list(core)) for core in zip(*loads, strict=False)),
        policy_cores=(spent.policy_s or 0.0) / wall_s,
        guardian_cores=None if spent.guardian_s is None else spent.guardian_s / wall_s,
        gpu_load=_mean([sample.gpu_load for sample in samples]),
        power_w=None if spent_j is None else spent_j / wall_s,
        energy_j=None if spent_j is None else spent_j / len(seen.decided),
        temperature_c=(degrees[0], degrees[-1], max(degrees)) if degrees else None,
        power_of=next((s.power_of for s in samples if s.power_w is not None), "board"),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
