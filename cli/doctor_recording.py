"""Why the arm in a recording was slow or shook."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from .report import Report

if TYPE_CHECKING:
    from dreamvla_edge.runtime.recording.cause import Cause
    from dreamvla_edge.runtime.recording.recording import Recording


def show_diagnosis(recording: Path, report: Report) -> Recording:
    """Causes with evidence, likeliest first; with -v also what was looked for in vain.

    A score is what was measured over the bound from which on it matters.
    """
    from dreamvla_edge.runtime.recording.diagnosis import diagnose
    from dreamvla_edge.runtime.recording.recording import open_recording

    report.progress(f"reading {recording}")
    opened = open_recording(recording)
    diagnosis = diagnose(opened)
    report.text(
        f"{recording}: {len(opened.steps)} steps, {len(opened.reports)} cycles of the guardian,"
        f" {opened.header.robot}, outcome {opened.outcome}"
    )
    for name, count in opened.lost_bytes.items():
        report.text(f"{name} was cut off: {count} bytes at its end are not used")
    for missing in diagnosis.missing:
        report.text(missing)
    if not diagnosis.causes:
        report.text("\nno cause found: nothing that was measured matters")
    _show(diagnosis.causes, report)
    if report.verbosity > 0:
        report.text("\nlooked for in vain:")
        _show(diagnosis.others, report)
    report.document(
        {
            "causes": [asdict(cause) for cause in diagnosis.causes],
            "others": [asdict(cause) for cause in diagnosis.others],
            "missing": diagnosis.missing,
            "lost_bytes": opened.lost_bytes,
        }
    )
    return opened


def _show(causes: tuple[Cause, ...], report: Report) -> None:
    for number, cause in enumerate(causes, 1):
        report.text(f"\n{number}. {cause.name} (score {cause.score:.1f})")
        report.text(f"   {cause.evidence}")
        if cause.cure:
            report.text(f"   what to do: {cause.cure}")
