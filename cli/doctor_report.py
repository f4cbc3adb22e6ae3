"""What somebody who helps needs, in one zip file that nothing secret is in."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .report import Report

if TYPE_CHECKING:
    from dreamvla_edge.deploy.facts import Facts
    from dreamvla_edge.runtime.recording.recording import Recording

IMAGES = 4
"""Of each camera, spread over the recording."""
_WHAT = {
    "doctor.json": "what doctor found",
    "versions.txt": "versions of the system and of packages",
    "bundle.json": "what the bundle is, without its weights",
    "last-run.json": "numbers of the last `dreamvla run`",
    "journal.txt": "the newest lines of the service's journal",
    "missing.txt": "what could not be had, and why",
    "recording/header.json": "what the recording is of, with the arm's calibration",
    "recording/numbers.json": "times and limits in the recording",
}
"""In the order in which it is shown."""


def write_report(
    zip_file: Path,
    report: Report,
    host: str | None = None,
    facts: Facts | None = None,
    bundle: Path | None = None,
    recording: Recording | None = None,
    images: bool = False,
) -> None:
    """Lists what goes in, then writes it. Raises DeviceError, RecordingError or OutputError.

    host: the machine whose traces are wanted, None for this one; facts: about it; recording: one
    to be helped with, with frames if images.
    """
    from dreamvla_edge.deploy.examine import facts_of
    from dreamvla_edge.deploy.traces import redacted
    from dreamvla_edge.runtime.manifest import MANIFEST_NAME

    from .written import write_file

    facts = facts or facts_of()
    texts, missing = _traces(host)
    texts["doctor.json"] = report.as_text()
    texts["versions.txt"] = versions(facts)
    if bundle is not None:
        texts["bundle.json"] = (bundle / MANIFEST_NAME).read_text()
    if recording is not None:
        texts["recording/header.json"] = (recording.folder / "header.json").read_text()
        texts["recording/numbers.json"] = json.dumps(numbers(recording), indent=1)
    if missing:
        texts["missing.txt"] = "".join(f"{name}: {why}\n" for name, why in missing.items())
    files = {name: redacted(text).encode() for name, text in texts.items()}
    if recording is not None and images:
        files |= frames(recording)
    order = [*(name for name in _WHAT if name in files), *sorted(set(files) - set(_WHAT))]
    report.text(f"\n{zip_file} will hold:")
    report.table(
        ("bytes", "file", "what"),
        ((str(len(files[name])), name, _WHAT.get(name, "")) for name in order),
    )
    write_file(zip_file, _zipped({name: files[name] for name in order}))
    report.text("written; nothing was sent. Names, addresses and secrets were taken out: look")
    report.text("into it all the same before you give it to somebody.")
    report.document({"report": zip_file, "contents": order})


def versions(facts: Facts) -> str:
    """Of everything that has one, a line each."""
    lines = []
    if facts.system is not None:
        lines += [facts.system.name, f"kernel {facts.system.kernel} {facts.system.machine}"]
    lines += [f"L4T {facts.l4t}"] if facts.l4t is not None else []
    lines += [f"Python {facts.python.version}"] if facts.python is not None else []
    lines += [f"CUDA {facts.cuda.version}"] if facts.cuda is not None else []
    lines += [f"cuDNN {facts.cudnn}"] if facts.cudnn is not None else []
    lines += [f"{name} {version}" for name, version in (facts.packages or {}).items()]
    for release in facts.releases or ():
        lines += [f"{release.name}: {name} {v}" for name, v in release.packages.items()]
    return "\n".join([*lines, ""])


def numbers(recording: Recording) -> dict[str, Any]:
    """Times of every stage and of the guardian's cycles, states and limits."""
    import numpy as np

    from dreamvla_edge.runtime.guardian.message import Limit, State

    spans: dict[str, list[float]] = {}
    for step in recording.steps:
        for name, (begin_s, end_s) in step.spans.items():
            spans.setdefault(name, []).append(1e3 * (end_s - begin_s))
    reports = recording.reports
    late = {"lateness": (reports["lateness_ns"] / 1e6).tolist()} if len(reports) else {}

    def quantiles(values: list[float]) -> dict[str, float]:
        named = {"p50": 50, "p99": 99, "p999": 99.9, "max": 100}
        return {name: float(np.percentile(values, q)) for name, q in named.items()}

    def counts(kind: type[State] | type[Limit], values: Any) -> dict[str, int]:
        found, often = np.unique(values, return_counts=True)
        return {kind(int(f)).name: int(n) for f, n in zip(found, often, strict=True)}

    return {
        "steps": len(recording.steps),
        "cycles": len(reports),
        "outcome": recording.outcome,
        "lost_bytes": dict(recording.lost_bytes),
        "ms": {name: quantiles(values) for name, values in {**spans, **late}.items()},
        "states": counts(State, reports["state"]),
        "limits": counts(Limit, reports["limit"]),
        "events": [f"{event.kind}: {event.text}" for event in recording.events],
    }


def frames(recording: Recording) -> dict[str, bytes]:
    """A few PNG pictures of each camera."""
    import numpy as np
    from PIL import Image

    found = {}
    for role, kept in recording.frames.items():
        for index in sorted(
            {int(i) for i in np.linspace(0, len(kept) - 1, IMAGES)} if len(kept) else ()
        ):
            content = io.BytesIO()
            Image.fromarray(kept[index]).save(content, "PNG")
            found[f"recording/{role}-{index:06d}.png"] = content.getvalue()
    return found


def _traces(host: str | None) -> tuple[dict[str, str], dict[str, str]]:
    """Texts by name, and why others are missing."""
    import msgspec

    from dreamvla_edge.deploy import traces
    from dreamvla_edge.deploy.examine import HERE, document_of
    from dreamvla_edge.runtime.errors import DeviceError

    if host in (None, HERE):
        found = traces.traces()
    else:
        document = document_of(str(host), Path(traces.__file__))
        try:
            found = msgspec.json.decode(document, type=dict[str, dict[str, str]])
        except msgspec.DecodeError as error:
            raise DeviceError(
                f"{host} answers with something else than its journal ({error})",
                "one JSON document",
                f"run `ssh {host} true`: it must print nothing",
            ) from error
    return found["files"], found["missing"]


def _zipped(files: Mapping[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), data)
    return content.getvalue()
