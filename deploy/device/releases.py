"""Releases beside each other, and the one that is current."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .journal import Journal, sync_folder
from .places import Places
from .store import Store

KEPT = 3
FACTS = "release.json"
ENVIRONMENTS, COMPLETE = "environments", "complete"
"""Folder of the virtual environments that releases share, and what marks a whole one."""


class Releases:
    """Folders below `releases/`, each complete in itself, and a link that is moved in one step."""

    def __init__(self, places: Places, store: Store, journal: Journal) -> None:
        self._places, self._store, self._journal = places, store, journal
        self._link = places.base / "current"
        self._folder = places.base / "releases"

    def current(self) -> str | None:
        """The release in force; None before the first one, or if it is gone."""
        try:
            name = Path(os.readlink(self._link)).name
        except OSError:
            return None
        return name if self._places.release(name).is_dir() else None

    def all(self) -> list[str]:
        """Every release that is here."""
        if not self._folder.is_dir():
            return []
        return sorted(path.name for path in self._folder.iterdir() if path.name[0] != ".")

    def facts(self, release: str) -> dict[str, Any]:
        """What a release is made of."""
        found: dict[str, Any] = json.loads((self._places.release(release) / FACTS).read_text())
        return found

    def lay_out(
        self,
        release: str,
        files: Mapping[str, str],
        texts: Mapping[str, str],
        facts: Mapping[str, Any],
    ) -> None:
        """Makes a release's folder, all or nothing.

        files: path → sha256 of a file in the store; texts: path → content.
        """
        place = self._places.release(release)
        if place.is_dir():
            return
        partial = place.with_name(f".{release}")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for path, name in files.items():
            self._store.link(name, partial / path)
        for path, text in texts.items():
            write(partial / path, text.encode())
        write(partial / FACTS, json.dumps({**facts, "files": dict(files)}, indent=1).encode())
        os.rename(partial, place)
        sync_folder(self._folder)

    def switch(self, release: str | None) -> None:
        """Makes a release current, in one step; None: none is, as before the first one."""
        if release is None:
            if self._link.is_symlink():
                self._link.unlink()
                sync_folder(self._places.base)
        else:
            relink(self._link, Path("releases") / release)

    def before(self) -> str | None:
        """The release to go back to: the last one that ran well beside the current one."""
        current, here = self.current(), self.all()
        known = [r for r in self._journal.healthy() if r in here and r != current]
        return known[-1] if known else None

    def prune(self) -> list[str]:
        """Removes all but the current and the last good releases; which were removed."""
        current = self.current()
        kept = [r for r in self._journal.healthy() if r != current][-(KEPT - 1) :]
        removed = [release for release in self.all() if release not in (current, *kept)]
        for release in removed:
            place = self._places.release(release)
            gone = place.with_name(f".{release}")
            shutil.rmtree(gone, ignore_errors=True)
            os.rename(place, gone)  # what is half removed is no release
        if self._folder.is_dir():
            for path in self._folder.glob(".*"):
                shutil.rmtree(path, ignore_errors=True)
        used = {os.path.realpath(self._places.release(r) / "venv") for r in self.all()}
        for path in (self._places.base / ENVIRONMENTS).glob("*"):
            if os.path.realpath(path) not in used:
                with contextlib.suppress(FileNotFoundError):
                    (path / COMPLETE).unlink()  # what is half removed must not be used again
                shutil.rmtree(path, ignore_errors=True)
        self._store.forget_unused()
        return removed


def relink(link: Path, target: Path) -> None:
    """Makes a link lead elsewhere, in one step."""
    fresh = link.with_name(f".{link.name}")
    if fresh.is_symlink():
        fresh.unlink()
    os.symlink(target, fresh)
    os.replace(fresh, link)
    sync_folder(link.parent)


def write(path: Path, content: bytes) -> None:
    """A small file, all or nothing."""
    partial = path.with_name(f".{path.name}.partial")
    with open(partial, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)
    sync_folder(path.parent)
