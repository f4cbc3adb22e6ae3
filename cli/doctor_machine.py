"""The findings about a machine, for a person and as a document."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from .report import Report

if TYPE_CHECKING:
    from dreamvla_edge.deploy.facts import Facts
    from dreamvla_edge.deploy.finding import Finding

_SHOWN = {"ok": "ok", "warning": "warning", "error": "ERROR"}


@dataclass(frozen=True)
class Examination:
    """Facts about a machine and what they mean."""

    facts: Facts
    findings: tuple[Finding, ...]

    def of_level(self, level: str) -> tuple[Finding, ...]:
        """Findings of one level."""
        return tuple(finding for finding in self.findings if finding.level == level)

    def require_no_error(self) -> None:
        """Raises DeviceError with all errors at once."""
        from dreamvla_edge.runtime.errors import DeviceError

        errors = self.of_level("error")
        if errors:
            raise DeviceError(
                "; ".join(f"{finding.name}: {finding.found}" for finding in errors),
                "; ".join(finding.expected for finding in errors),
                "; ".join(finding.cure for finding in errors),
            )


def examine(host: str | None, report: Report) -> Examination:
    """Asks a machine, this one for None, and shows what was found."""
    import msgspec

    from dreamvla_edge.deploy.examine import HERE, facts_of
    from dreamvla_edge.deploy.findings import findings

    place = "this machine" if host in (None, HERE) else host
    report.progress(f"asking {place}")
    facts = facts_of(host or HERE)
    found = Examination(facts, findings(facts))
    _show(str(place), found, report)
    report.document(
        {
            "target": place,
            "findings": [asdict(finding) for finding in found.findings],
            "errors": len(found.of_level("error")),
            "warnings": len(found.of_level("warning")),
            "facts": msgspec.to_builtins(facts),
        }
    )
    return found


def _show(place: str, found: Examination, report: Report) -> None:
    """A line for what is well; for the rest also what is expected, what to do, and what for."""
    width = max(len(finding.name) for finding in found.findings)
    for finding in found.findings:
        report.text(f"{_SHOWN[finding.level]:7}  {finding.name:{width}}  {finding.found}")
        if finding.level == "ok":
            continue
        verb = "keeps from working" if finding.level == "error" else "hinders"
        for label, text in (
            ("expected", finding.expected),
            ("what to do", finding.cure),
            (verb, ", ".join(finding.verbs)),
        ):
            report.text(f"{'':7}  {'':{width}}  {label}: {text}")
    errors, warnings = (len(found.of_level(level)) for level in ("error", "warning"))
    report.text(f"\n{place}: {_count(errors, 'error')}, {_count(warnings, 'warning')}")


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"
