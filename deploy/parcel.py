"""What goes to a device, and the name that follows from it."""

from __future__ import annotations

import ensurepip
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dreamvla_edge.runtime.bundle import Bundle, sha256
from dreamvla_edge.runtime.errors import DeviceError
from dreamvla_edge.runtime.manifest import MANIFEST_NAME

from .device import FOLDER

PIP = "wheels/pip-"
"""A pip that goes along, so that the device needs none."""
_WHEEL = re.compile(r"[^-]+-([^-]+)(?:-\d[^-]*)?-([^-]+)-([^-]+)-([^-]+)\.whl")


@dataclass(frozen=True)
class Parcel:
    """The files of a release.

    files: path on the device → path here; hashes: path on the device → sha256; texts: small files
    by their content; version: of the tool that goes along.
    """

    files: Mapping[str, Path]
    hashes: Mapping[str, str]
    texts: Mapping[str, str]
    version: str

    @property
    def release(self) -> str:
        """Its name: the same files have the same."""
        content = json.dumps([self.hashes, self.texts], sort_keys=True)
        return f"{self.version}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(path.stat().st_size for path in self.files.values())


def pack(
    bundle: Bundle,
    tool: Path,
    wheelhouse: Path | None,
    python: str,
    texts: Mapping[str, str],
) -> Parcel:
    """The release of a bundle for a device with this Python (3.10.12).

    tool: wheel of dreamvla-edge; wheelhouse: folder of other wheels that go along, or of folders
    3.10, 3.12 for each Python as `make wheelhouse` makes them; None for none; texts: other files
    by their content. Raises DeviceError for a tool that is no wheel.
    """
    match = _WHEEL.fullmatch(tool.name)
    if match is None or not tool.name.startswith("dreamvla_edge-") or not tool.is_file():
        raise DeviceError(
            f"{tool} is no wheel of dreamvla-edge",
            "a file dreamvla_edge-VERSION-py3-none-any.whl",
            "leave --wheel out to send the version that runs here",
        )
    files = {f"bundle/{name}": bundle.file(name) for name in bundle.manifest.files}
    hashes = {f"bundle/{name}": digest for name, digest in bundle.manifest.files.items()}
    others = {f"wheels/{tool.name}": tool}
    if wheelhouse is not None:
        own = wheelhouse / ".".join(python.split(".")[:2])
        found = sorted((own if own.is_dir() else wheelhouse).glob("*.whl"))
        wheels = [wheel for wheel in found if _fits(wheel.name, python)]
        ours = {w for w in wheels if w.name.startswith("dreamvla_edge-")}
        others |= {f"wheels/{wheel.name}": wheel for wheel in wheels if wheel not in ours}
    if not any(path.startswith(PIP) for path in others):
        others |= {f"wheels/{wheel.name}": wheel for wheel in _bundled()}
    others |= {f"{FOLDER.name}/{path.name}": path for path in FOLDER.glob("*.py")}
    others[f"bundle/{MANIFEST_NAME}"] = bundle.file(MANIFEST_NAME)
    hashes |= {path: sha256(file) for path, file in others.items()}
    return Parcel({**files, **others}, hashes, texts, match[1])


def _bundled() -> list[Path]:
    """The pip that comes with this Python: Debian's may have none, and a board's need not."""
    folder = Path(ensurepip.__file__).parent / "_bundled"
    return sorted(folder.glob("pip-*.whl"))[-1:]


def _fits(wheel: str, python: str) -> bool:
    """Whether a wheel may be for this Python; pip decides about the rest."""
    match = _WHEEL.fullmatch(wheel)
    if match is None:
        return False
    short = "cp" + "".join(python.split(".")[:2])
    tags, abi = match[2].split("."), match[3]
    return abi == "abi3" or any(tag.startswith("py") or tag == short for tag in tags)
