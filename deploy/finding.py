"""One thing that was looked at on a machine, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """A row of `dreamvla doctor`, and of flash's preflight.

    verbs: commands that it hinders. An error keeps one of them from working here, a warning makes
    it worse. expected and cure are empty where all is well.
    """

    name: str
    level: Level
    found: str
    expected: str = ""
    cure: str = ""
    verbs: tuple[str, ...] = ()
