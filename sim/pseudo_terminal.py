"""The device end of a virtual bus: a pseudo-terminal that can be unplugged."""

from __future__ import annotations

import contextlib
import os
import tty
from pathlib import Path


class PseudoTerminal:
    """A serial device that exists while it is plugged in; not for several threads.

    link: a path that always leads to the device, or None for none.
    """

    def __init__(self, link: Path | None = None) -> None:
        self._link, self._ends = link, (-1, -1)
        self.plug()

    @property
    def is_plugged(self) -> bool:
        """Whether the device exists."""
        return self.master >= 0

    @property
    def master(self) -> int:
        """File descriptor of our end, or -1."""
        return self._ends[0]

    @property
    def port(self) -> str:
        """What a host opens: the link, else the device; empty if there is neither."""
        if self._link is not None:
            return str(self._link)
        return os.ttyname(self._ends[1]) if self.is_plugged else ""

    def plug(self) -> None:
        """Makes the device, which no host has opened yet. Raises OSError if that fails."""
        if self.is_plugged:
            return
        # The device end stays open here too: hosts may come and go.
        self._ends = os.openpty()
        tty.setraw(self._ends[1])
        os.set_blocking(self.master, False)
        if self._link is not None:
            new = self._link.with_name(f".{self._link.name}.{os.getpid()}")
            new.symlink_to(os.ttyname(self._ends[1]))
            new.replace(self._link)

    def unplug(self) -> None:
        """Takes device and link away; a host that has it open gets an error from it."""
        if not self.is_plugged:
            return
        if self._link is not None:
            self._link.unlink(missing_ok=True)
        for end in self._ends:
            os.close(end)
        self._ends = (-1, -1)

    def read(self) -> bytes:
        """What the host wrote and has not been read yet."""
        with contextlib.suppress(BlockingIOError):
            return os.read(self.master, 4096)
        return b""

    def write(self, data: bytes) -> int:
        """Gives bytes to the host; how many fitted: a wire loses what nobody reads."""
        with contextlib.suppress(BlockingIOError):
            return os.write(self.master, data)
        return 0
