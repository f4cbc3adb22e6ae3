"""Files by the hash of their content: what is there is never sent again."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from .journal import sync_folder
from .refusal import Refusal

_BLOCK = 1 << 20


class Store:
    """A folder of files named by their sha256; `partial/` holds what has begun to arrive."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._partial = folder, folder / "partial"

    def missing(self, hashes: Iterable[str]) -> dict[str, int]:
        """Which of these files are not here, and how many bytes of each are.

        A file whose content is no longer what its name says is removed and counts as missing:
        every release that shares it is as damaged, and a new one must not be.
        """
        found = {}
        for name in dict.fromkeys(hashes):
            path = self._folder / name
            if path.exists() and sha256(path) == name:
                continue
            path.unlink() if path.exists() else None
            partial = self._partial / name
            found[name] = partial.stat().st_size if partial.exists() else 0
        return found

    def receive(self, name: str, size: int, offset: int, stream: IO[bytes]) -> None:
        """Takes the bytes of a file from an offset to its end from a stream.

        Raises Refusal if the stream ends early, the disk is full or the hash is another; the
        stream is read to the file's end in any case, so that what follows can be read.
        """
        self._partial.mkdir(parents=True, exist_ok=True)
        partial = self._partial / name
        left, problem = size - offset, None
        with open(partial, "r+b" if partial.exists() else "w+b") as file:
            file.truncate(offset)
            file.seek(offset)
            while left:
                block = stream.read(min(_BLOCK, left))
                if not block:
                    raise EOFError
                left -= len(block)
                try:
                    if problem is None:
                        file.write(block)
                        file.flush()  # a kill loses nothing that was received
                except OSError as error:
                    problem = error
            if problem is None:
                os.fsync(file.fileno())
        if problem is not None:
            raise full(self._folder, problem)
        if sha256(partial) != name:
            partial.unlink()
            raise Refusal(
                f"a file arrived with another sha256 than {name[:16]}…",
                "the bytes that were sent",
                "flash again; if it comes back, look at the disk of either side",
            )
        os.replace(partial, self._folder / name)
        sync_folder(self._folder)

    def link(self, name: str, place: Path) -> None:
        """The file under another name, without a copy."""
        place.parent.mkdir(parents=True, exist_ok=True)
        os.link(self._folder / name, place)

    def forget_unused(self) -> None:
        """Removes what no release holds any more, and what never arrived whole."""
        for path in self._folder.glob("*"):
            if path.is_file() and path.stat().st_nlink == 1:
                path.unlink()
        for path in self._partial.glob("*"):
            path.unlink()


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(_BLOCK), b""):
            digest.update(block)
    return digest.hexdigest()


def full(folder: Path, error: OSError) -> Refusal:
    """What to say of a disk that takes no more, or of any other failure to write."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Refusal(
            f"no space left on the disk of {folder}",
            "room for the new release beside those that are kept",
            "free some space on the device, then flash again: it goes on where it was",
        )
    return Refusal(
        f"{error.filename or folder} cannot be written ({error.strerror or error})",
        f"files can be made in {folder}",
        "look at the rights and at the disk of the device, then flash again",
    )
