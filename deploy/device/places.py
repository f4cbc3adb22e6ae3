"""Where everything of one robot lies on its device."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from .refusal import Refusal

_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")


@dataclass(frozen=True)
class Places:
    """Folders of one robot.

    base: releases, store, journal and `current`; settings: robot file and calibration, which no
    release touches; runtime: sockets; units: where systemd looks.
    """

    name: str
    user: bool
    base: Path
    settings: Path
    runtime: Path
    units: Path

    @property
    def robot(self) -> Path:
        """The robot file."""
        return self.settings / "robot.toml"

    @property
    def control(self) -> Path:
        """The service's socket."""
        return self.runtime / "control.socket"

    @property
    def unit(self) -> str:
        """The service."""
        return f"dreamvla@{self.name}.service"

    def release(self, release: str) -> Path:
        """Folder of one release."""
        return self.base / "releases" / release


def places(name: str, user: bool) -> Places:
    """Of a robot called `name`, for the whole device or for this user alone.

    Raises Refusal for a name that is no file name, or that systemd would read otherwise.
    """
    if not _NAME.fullmatch(name):
        raise Refusal(
            f"the name {name!r}",
            "a small letter, then up to 31 small letters, digits and hyphens",
            "choose another --name",
        )
    if not user:
        return Places(
            name,
            user,
            base=Path("/opt/dreamvla") / name,
            settings=Path("/etc/dreamvla") / name,
            runtime=Path("/run/dreamvla") / name,
            units=Path("/etc/systemd/system"),
        )
    home = Path.home()
    data, settings = home / ".local" / "share", home / ".config"  # as the unit says
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}")
    return Places(
        name,
        user,
        base=data / "dreamvla" / name,
        settings=settings / "dreamvla" / name,
        runtime=runtime / "dreamvla" / name,
        units=settings / "systemd" / "user",
    )
