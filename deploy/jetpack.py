"""Which JetPack a version of Jetson Linux belongs to, and what that JetPack brings.

Sources: NVIDIA's JetPack release notes; the L4T numbers as jetson-stats 7.2.2 lists them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class JetPack:
    """Versions that come with a JetPack; `python` is the only one that has TensorRT's binding."""

    version: str
    python: str
    cuda: str
    tensorrt: str


_RELEASES = (
    ("39.2.2", JetPack("7.2.2", "3.12", "13.2", "10.16")),
    ("39.2.1", JetPack("7.2.1", "3.12", "13.2", "10.16")),
    ("39.2", JetPack("7.2", "3.12", "13.2", "10.16")),
    ("38.4", JetPack("7.1", "3.12", "13.0", "10.13")),
    ("38.2", JetPack("7.0", "3.12", "13.0", "10.13")),
    ("36.5.2", JetPack("6.2.3", "3.10", "12.6", "10.3")),
    ("36.5", JetPack("6.2.2", "3.10", "12.6", "10.3")),
    ("36.4.7", JetPack("6.2.1", "3.10", "12.6", "10.3")),
    ("36.4.4", JetPack("6.2.1", "3.10", "12.6", "10.3")),
    ("36.4.3", JetPack("6.2", "3.10", "12.6", "10.3")),
    ("36.4", JetPack("6.1", "3.10", "12.6", "10.3")),
    ("36", JetPack("6.0", "3.10", "12.2", "8.6")),
    ("35", JetPack("5", "3.8", "11.4", "8.5")),
    ("32", JetPack("4", "3.6", "10.2", "8.2")),
)
"""By the first L4T version that has it, newest first."""


def jetpack_of(l4t: str) -> JetPack | None:
    """The newest JetPack that is no newer than an L4T version; None before JetPack 4."""
    wanted = numbers(l4t)
    for first, jetpack in _RELEASES:
        if numbers(first) <= wanted and numbers(first)[0] == wanted[0]:
            return jetpack
    return None


def known(l4t: str) -> bool:
    """Whether a version is no newer than this table."""
    return numbers(l4t) <= numbers(_RELEASES[0][0])


def numbers(version: str) -> tuple[int, ...]:
    """To compare versions by: 10.16.2 after 10.3, and 36.4.0 equal to 36.4."""
    parts = [int(part) for part in version.split(".") if part.isdigit()]
    while parts and parts[-1] == 0:
        parts.pop()
    return tuple(parts)
