"""The version of the tool that runs now, as a wheel."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from dreamvla_edge.runtime.errors import DeviceError

_NAME = "dreamvla-edge"
_ROOT = Path(__file__).resolve().parent.parent
_TAG = "-py3-none-any"
_WHEEL = b"""\
Wheel-Version: 1.0
Generator: dreamvla-edge
Root-Is-Purelib: true
Tag: py3-none-any
"""
_CONSTANT = (1980, 1, 1, 0, 0, 0)
"""The same files make the same wheel, or every flash would be a new release."""


def own_wheel(folder: Path) -> Path:
    """Writes the wheel to a folder. Raises DeviceError if it cannot be made."""
    if (_ROOT / "setup.py").is_file():
        return _built(folder)
    return _packed(importlib.metadata.distribution(_NAME), folder)


def _built(folder: Path) -> Path:
    """Of a checkout; from a copy, since its build/ may hold modules that were renamed."""
    skipped = shutil.ignore_patterns("__pycache__", "build", "*.egg-info", ".*", "tests", "golden")
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary) / "source"
        source.mkdir()
        for path in _ROOT.iterdir():
            if path.is_dir() and (path / "py.typed").exists():
                shutil.copytree(path, source / path.name, ignore=skipped)
        for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(_ROOT / name, source)
        made = Path(temporary) / "made"
        command = [sys.executable, "setup.py", "-q", "build_py", "--build-lib", str(made)]
        command += ["dist_info", "--output-dir", str(made)]
        done = subprocess.run(command, cwd=source, capture_output=True, text=True)
        if done.returncode:
            raise DeviceError(
                f"no wheel can be built of {_ROOT}: {done.stderr.strip()[-300:]}",
                "a checkout with the extra [dev]",
                "run `make setup`, or give a wheel with --wheel",
            )
        paths = sorted(path for path in made.rglob("*") if path.is_file())
        files = {path.relative_to(made).as_posix(): path.read_bytes() for path in paths}
    (metadata,) = (name for name in files if name.endswith(".dist-info/METADATA"))
    info = metadata.partition("/")[0]
    return _written(
        folder / f"{info.removesuffix('.dist-info')}{_TAG}.whl",
        {**files, f"{info}/WHEEL": _WHEEL, f"{info}/RECORD": b""},
    )


def _packed(found: importlib.metadata.Distribution, folder: Path) -> Path:
    """Of an installed package: its files, without scripts and what was compiled."""
    files = {}
    for path in found.files or ():
        if ".." in path.parts or "__pycache__" in path.parts:
            continue
        if path.name in ("INSTALLER", "REQUESTED", "direct_url.json"):
            continue
        files[path.as_posix()] = Path(os.fspath(path.locate())).read_bytes()
    return _written(folder / f"dreamvla_edge-{found.version}{_TAG}.whl", files)


def _written(place: Path, files: dict[str, bytes]) -> Path:
    """A wheel of these files, always the same bytes."""
    record = next(name for name in files if name.endswith(".dist-info/RECORD"))
    lines = [f"{name},{_digest(files[name])},{len(files[name])}" for name in sorted(files)]
    lines = [line for line in lines if not line.startswith(f"{record},")]
    files = {**files, record: "\n".join([*lines, f"{record},,", ""]).encode()}
    with zipfile.ZipFile(place, "w", compresslevel=1) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _CONSTANT)
            entry.external_attr, entry.compress_type = 0o644 << 16, zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[name])
    return place


def _digest(content: bytes) -> str:
    """As RECORD has it (PEP 376, PEP 427)."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
    return f"sha256={digest.decode()}"
