"""A profile for a person at a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dreamvla_edge.runtime.profiler.intervals import COMPARED
from dreamvla_edge.runtime.profiler.profile import END_TO_END, Profile, Stage, compare, unlike
from dreamvla_edge.runtime.profiler.timeline import PREFILL

if TYPE_CHECKING:
    from .report import Report

WIDE = 0.10
"""An interval wider than this share of its median, on either side, asks for more runs."""
HEADER = ("stage", "p50 ms", "±", "p90", "p99", "p99.9", "max", "jitter", "floor", "reached")


def show(found: Profile, report: Report) -> None:
    """Everything in some lines."""
    subject, environment = found.subject, found.environment
    report.text(
        f"{subject.bundle}: {subject.runs} decisions at {subject.step_hz:.1f} Hz"
        f" ({subject.time_base} time, {subject.rate_hz:g} Hz asked for), {subject.backend},"
        f" at most {subject.threads} threads, {subject.arm}"
    )
    report.text(
        f"on {environment.board or environment.machine}, {environment.cores} cores"
        f"{f', power mode {environment.power_mode}' if environment.power_mode else ''}"
        f"{_elsewhere(environment.elsewhere)}\n"
    )
    rows = [row(name, stage) for name, stage in found.stages.items()]
    report.table(HEADER, [*rows, row(END_TO_END, found.end_to_end)])
    report.text("")
    for line in facts(found):
        report.text(line)


def row(name: str, stage: Stage) -> tuple[str, ...]:
    """One line of the table [ms]."""
    summary, floor, reached = stage.summary, stage.floor, stage.reached
    half_ms = max(summary.high - summary.p50, summary.p50 - summary.low) * 1e3
    quantiles = (summary.p90, summary.p99, summary.p999, summary.max, summary.jitter)
    return (
        f"({name})" if name == PREFILL else name,
        ms(summary.p50),
        f"{half_ms:.2f}",
        *map(ms, quantiles),
        "" if floor is None else ms(floor.seconds),
        "" if reached is None else "< 1 %" if reached < 0.005 else f"{100 * reached:.0f} %",
    )


def ms(seconds: float) -> str:
    """Milliseconds with as many digits as say something."""
    value = seconds * 1e3
    return f"{value:.2f}" if abs(value) < 100 else f"{value:.0f}"


def facts(found: Profile) -> list[str]:
    """What stands below the table, one sentence a line."""
    rate, use, late = found.rate, found.use, found.punctuality.late
    lines = [
        f"end to end is {found.end_to_end.what}; ({PREFILL}) is not part of it;"
        f" other is {100 * found.other_share:.1f} % of it",
        f"{rate.missed} of {rate.busy.count} decisions missed the {rate.hz:g} Hz of the steps"
        f" ({ms(rate.busy.p50)} ms of work each, p99 {ms(rate.busy.p99)});"
        f" {rate.most_hz:.1f} Hz leave time for what is computed ahead",
        f"guardian: {found.punctuality.cycles} cycles, {found.punctuality.missed} missed, late"
        f" p99.9 {ms(late.p999)} ms{'' if found.punctuality.realtime else ', not real-time'}",
    ]
    if found.left_out:
        lines.append(f"overtaken by newer ones, and not counted: {found.left_out} decisions")
    if start := found.cold_start:
        lines.append(
            f"cold start: {start.total:.2f} s to the first action (imports {start.imports:.2f},"
            f" hashes {start.open:.2f}, loading {start.load:.2f}, first step {start.first:.2f});"
            f" {start.peak_mb:.0f} MB at most"
        )
    cores = ", ".join("off" if load is None else f"{100 * load:.0f} %" for load in use.core_loads)
    lines.append(
        f"memory: policy {use.policy_mb:.0f} MB (at most {use.policy_peak_mb:.0f})"
        f"{_mb(', guardian', use.guardian_mb)}; cores: {cores or 'unknown'}, of them policy"
        f" {use.policy_cores:.2f} cores' worth"
        f"{'' if use.guardian_cores is None else f', guardian {use.guardian_cores:.2f}'}"
    )
    lines.append(_power(found))
    wide = [
        name
        for name, stage in {END_TO_END: found.end_to_end, **found.stages}.items()
        if stage.summary.p50 > 1e-3 and stage.summary.half_width > WIDE
    ]
    if wide:
        lines.append(f"too few runs to tell the median within 10 %: {', '.join(wide)} (-n)")
    return [*lines, *found.notes]


def _power(found: Profile) -> str:
    use = found.use
    if use.power_w is None:
        power = f"power: this machine does not tell ({found.environment.telemetry})"
    else:
        of = "" if use.power_of == "board" else f" of the {use.power_of} alone"
        power = f"power{of}: {use.power_w:.1f} W, {use.energy_j:.2f} J per action"
    if use.temperature_c is None:
        return power
    first, last, most = use.temperature_c
    return f"{power}; {first:.0f} °C before, {last:.0f} after, {most:.0f} at most"


def show_comparison(now: Profile, before: Profile, report: Report) -> dict[str, Any]:
    """How every stage stands to what it was; the same for JSON."""
    ratios = compare(now, before)
    report.text("")
    report.table(
        ("stage", "before ms", "now ms", "ratio", "low", "high", ""),
        (
            (
                name,
                ms(_stage(before, name).summary.p50),
                ms(_stage(now, name).summary.p50),
                f"{found.ratio:.3f}",
                f"{found.low:.3f}",
                f"{found.high:.3f}",
                found.verdict,
            )
            for name, found in ratios.items()
        ),
    )
    differences = unlike(now, before)
    report.text(f"intervals hold {100 * COMPARED:g} %")
    if differences:
        report.text(f"mind that they differ in {'; '.join(differences)}")
    return {
        "ratios": {n: {**f._asdict(), "verdict": f.verdict} for n, f in ratios.items()},
        "confidence": COMPARED,
        "differences": differences,
    }


def _stage(profile: Profile, name: str) -> Stage:
    return profile.end_to_end if name == END_TO_END else profile.stages[name]


def _elsewhere(share: float | None) -> str:
    """Others on the machine, where they matter."""
    if share is None or share < 0.05:
        return ""
    return f"; other programs took {100 * share:.0f} % of it, so that it was not quiet"


def _mb(what: str, size: float | None) -> str:
    return "" if size is None else f"{what} {size:.0f} MB"
