"""What is looked at before anything is sent."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dreamvla_edge.runtime.errors import DeviceError

from . import probe
from .connection import Connection
from .facts import Facts, decode
from .finding import Finding
from .findings import findings
from .parcel import PIP, Parcel

VERB = "flash"
_INSTALLED = 2
"""A release needs its files once more than they are large: what pip unpacks, and engines."""
_ALSO = ("tensorrt", "power", "serial", "gpu")
"""Of the service that is installed, so worth a row though they hinder no flash."""


def facts_of(connection: Connection, base: str) -> Facts:
    """What the probe says of a device; base: where releases go."""
    source = Path(probe.__file__).read_text()
    document = connection.ask("probe", source=source, arguments=[base])
    return decode(json.dumps(document).encode(), connection.host)


def preflight(
    facts: Facts,
    hello: Mapping[str, Any],
    state: Mapping[str, Any],
    parcel: Parcel,
    power_mode: str,
    may_move: bool,
    refused: Mapping[str, str] | None,
) -> tuple[Finding, ...]:
    """All rows, good ones too.

    hello, state: the agent's; power_mode: wanted, or empty; may_move: whether a running policy is
    no reason to refuse; refused: what sudo says if it would not run a line that needs root.
    """
    general = [
        # What merely hinders other commands there ends this one: nothing starts the service.
        replace(finding, level="error") if _blocks(finding) else finding
        for finding in findings(facts)
        if VERB in finding.verbs or finding.name in _ALSO
        if not (finding.level == "error" and VERB not in finding.verbs)
        if not (finding.name == "venv" and any(path.startswith(PIP) for path in parcel.files))
    ]
    own = (*_room(hello, parcel), *_mode(facts, power_mode), *_motion(state, may_move))
    if refused is not None:
        own = (*own, Finding("root", "error", **refused, verbs=(VERB,)))
    return (*general, *own)


def require(found: Sequence[Finding]) -> None:
    """Raises DeviceError if a row is red: with all of them."""
    red = [finding for finding in found if finding.level == "error"]
    if red:
        raise DeviceError(
            "the device is not ready: " + "; ".join(f"{f.name}: {f.found}" for f in red),
            "; ".join(f.expected for f in red),
            "; ".join(f.cure for f in red),
        )


def _blocks(finding: Finding) -> bool:
    return finding.name == "systemd" and finding.level == "warning"


def _room(hello: Mapping[str, Any], parcel: Parcel) -> Iterator[Finding]:
    needed, free = _INSTALLED * parcel.bytes, int(hello["free_bytes"])
    said = f"{free / 1e9:.1f} GB free at {hello['base']}"
    wanted = f"{needed / 1e9:.1f} GB: twice what this release holds"
    if free < needed:
        cure = "free some space on the device, or flash a quantized bundle"
        yield Finding("room", "error", said, wanted, cure, (VERB,))
    else:
        yield Finding("room", "ok", f"{said}; the release needs {needed / 1e9:.2f}", verbs=(VERB,))


def _mode(facts: Facts, wanted: str) -> Iterator[Finding]:
    if not wanted:
        return
    now = None if facts.power is None else facts.power.now
    modes = () if facts.power is None else facts.power.modes
    if now is not None and wanted in (now.name, str(now.id)):
        yield Finding("deployment mode", "ok", f"{now.name} (mode {now.id})", verbs=(VERB,))
        return
    number = next((m.id for m in modes if wanted in (m.name, str(m.id))), None)
    cure = (
        f"sudo nvpmodel -m {number} on the device (it may ask for a restart), then flash again"
        if number is not None
        else "name one of " + (", ".join(m.name for m in modes) or "none: it has no nvpmodel")
    )
    said = "unknown" if now is None else f"{now.name} (mode {now.id})"
    found = f"the power mode is {said}"
    expected = f"{wanted}, for which the engines are to be built"
    yield Finding("deployment mode", "error", found, expected, cure, (VERB,))


def _motion(state: Mapping[str, Any], may_move: bool) -> Iterator[Finding]:
    service = state["service"]
    doing = "not installed" if service is None else str(service["state"])
    if doing in ("not installed", "stop"):
        yield Finding("arm", "ok", f"nothing drives it (service: {doing})", verbs=(VERB,))
    elif may_move:
        yield Finding("arm", "warning", f"the service drives it ({doing})", verbs=(VERB,))
    else:
        yield Finding(
            "arm",
            "error",
            f"the service drives it ({doing})",
            "an arm that nobody drives",
            "stop it with `dreamvla stop`, or let --stop-arm bring it to hold first",
            (VERB,),
        )
