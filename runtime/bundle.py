"""A bundle: everything that runs one policy, as one directory with a hash of every file."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
import numpy as np

from .errors import BundleError
from .external_data import locations
from .manifest import MANIFEST_NAME, SCHEMA_VERSION, Manifest, contract_sha256

TOKENIZER_NAME = "tokenizer.json"
GOLDEN_NAME = "golden.npz"
_AGAIN = "export the checkpoint again, or copy the whole bundle again"


@dataclass(frozen=True)
class Bundle:
    """An opened bundle: its directory and its checked manifest."""

    path: Path
    manifest: Manifest

    def file(self, name: str) -> Path:
        """Path of one of the bundle's files."""
        return self.path / name

    def model(self, subgraph: str) -> Path:
        """Path of a subgraph's ONNX file.

        Raises BundleError if the bundle has no such subgraph.
        """
        spec = self.manifest.subgraphs.get(subgraph)
        if spec is None:
            raise BundleError(
                f"no subgraph {subgraph!r} in {self.path}",
                "one of " + ", ".join(self.manifest.subgraphs),
                _AGAIN,
            )
        return self.file(spec.files[0])


def open_bundle(path: str | Path) -> Bundle:
    """Open a bundle after checking its manifest and the hash of every file.

    Raises BundleError: not a bundle, a newer schema, an unknown field, a path that leaves the
    directory, a missing, added or changed file.
    """
    folder = Path(path).absolute()
    manifest = _read_manifest(folder)
    _check_names(folder, manifest)
    _check_subgraphs(folder, manifest)
    for name, expected in manifest.files.items():
        try:
            found = sha256(folder / name)
        except OSError as error:
            raise BundleError(
                f"{folder / name} cannot be read: {error.strerror}",
                "a readable file",
                "check the permissions of the bundle's files and the disk",
            ) from error
        if found != expected:
            raise BundleError(
                f"{folder / name} has sha256 {found[:16]}…",
                f"{expected[:16]}… as {MANIFEST_NAME} says",
                f"the file is damaged or was changed: {_AGAIN}",
            )
    _check_contract(folder, manifest)
    _check_locations(folder, manifest)
    return Bundle(folder, manifest)


def foreign_files(folder: Path) -> list[str]:
    """Files in a directory that no bundle there lists: all of them if it holds no bundle."""
    present = _files(folder)
    try:
        listed = {*_read_manifest(folder).files, MANIFEST_NAME}
    except BundleError:
        listed = set()
    return sorted(present - listed)


def _files(folder: Path) -> set[str]:
    return {
        str(file.relative_to(folder))
        for file in folder.rglob("*")
        if file.is_symlink() or not file.is_dir()
    }


def sha256(path: Path) -> str:
    """Hex digest of one file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def _read_manifest(folder: Path) -> Manifest:
    file = folder / MANIFEST_NAME
    if not file.is_file():
        raise BundleError(
            f"no {MANIFEST_NAME} in {folder}" if folder.is_dir() else f"no directory {folder}",
            "a bundle, as `dreamvla export` writes it",
            "give the bundle's directory, or make one: dreamvla export CHECKPOINT -o BUNDLE",
        )
    try:
        raw: Any = msgspec.json.decode(file.read_bytes())
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"{file} is not JSON ({error})", "a bundle's manifest", _AGAIN) from None
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if not isinstance(version, int) or version < 1:
        raise BundleError(
            f"{file} has schema version {version!r}", "a whole number from 1 on", _AGAIN
        )
    if version > SCHEMA_VERSION:
        raise BundleError(
            f"{folder} has schema version {version}", f"at most {SCHEMA_VERSION}", _newer(raw)
        )
    try:
        return msgspec.convert(raw, Manifest)
    except msgspec.ValidationError as error:
        raise BundleError(
            f"{file} is not a manifest of schema version {version} ({error})",
            "the fields that `dreamvla export` writes and no others",
            _AGAIN,
        ) from None


def _newer(raw: dict[str, Any]) -> str:
    """What to install for a manifest of a later schema."""
    versions = raw.get("versions")
    writer = versions.get("dreamvla-edge") if isinstance(versions, dict) else None
    # It goes into a command that people paste, so it must look like a version.
    if isinstance(writer, str) and re.fullmatch(r"[0-9][0-9A-Za-z.+]*", writer):
        return f"install dreamvla-edge {writer} or later: pip install -U 'dreamvla-edge>={writer}'"
    return "install a newer dreamvla-edge: pip install -U dreamvla-edge"


def _check_names(folder: Path, manifest: Manifest) -> None:
    """Every file is named, is inside the directory, and nothing else lies there."""
    named = [name for spec in manifest.subgraphs.values() for name in spec.files]
    for name in (*manifest.files, *named):
        if not _stays_inside(folder, name):
            raise BundleError(
                f"{MANIFEST_NAME} names {name!r}", f"paths that stay inside {folder}", _AGAIN
            )
    present = _files(folder) - {MANIFEST_NAME}
    listed = set(manifest.files)
    absent = {name for name in listed if not os.path.isfile(folder / name)}
    missing = sorted(absent | listed - present | set(named) - listed)
    if missing:
        raise BundleError(f"{folder} lacks {', '.join(missing)}", "every listed file", _AGAIN)
    extra = sorted(present - listed)
    if extra:
        raise BundleError(
            f"{folder} also holds {', '.join(extra)}",
            f"only files that {MANIFEST_NAME} lists with their sha256",
            "move files that are not the bundle's somewhere else",
        )


def _stays_inside(folder: Path, name: str) -> bool:
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\\" in name:
        return False
    try:
        return (folder / name).resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError):  # too long, links in a ring, a null byte
        return False


def _check_contract(folder: Path, manifest: Manifest) -> None:
    """Network, specification and preprocessing are those that the export recorded."""
    expected = contract_sha256(manifest.network, manifest.specification, manifest.preprocessing)
    try:
        with np.load(folder / GOLDEN_NAME, allow_pickle=False) as golden:
            found = str(golden["contract_sha256"])
    except Exception as error:  # NumPy has no one error for a file that is none of its own
        raise BundleError(
            f"{folder / GOLDEN_NAME} cannot be read ({error})",
            "the golden data that `dreamvla export` recorded",
            _AGAIN,
        ) from None
    if found != expected:
        raise BundleError(
            f"{folder / MANIFEST_NAME} was changed in network, specification or preprocessing",
            f"what the export recorded in {GOLDEN_NAME}",
            f"change the data-set file instead, then {_AGAIN}",
        )


def _check_locations(folder: Path, manifest: Manifest) -> None:
    """A subgraph reads its weights from its own files only."""
    for spec in manifest.subgraphs.values():
        for name in spec.files[:1]:
            foreign = locations((folder / name).read_bytes()) - set(spec.files)
            if foreign:
                raise BundleError(
                    f"{folder / name} reads weights from {', '.join(map(repr, sorted(foreign)))}",
                    f"only {', '.join(spec.files[1:]) or 'the file itself'}",
                    _AGAIN,
                )


def _check_subgraphs(folder: Path, manifest: Manifest) -> None:
    head = "denoise" if manifest.network.action_head == "dit" else "head"
    needed = {"text", "vision", "embed", "backbone", head}
    complete = {name for name, spec in manifest.subgraphs.items() if spec.files}
    missing = sorted(needed - complete)
    if missing or (head == "denoise" and manifest.sampler is None):
        raise BundleError(
            f"{folder} has no {', '.join(missing) or 'sampler'}",
            f"the subgraphs {', '.join(sorted(needed))}",
            _AGAIN,
        )
