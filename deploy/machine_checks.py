"""What every machine needs: memory, disk, a clock, rights to be on time, systemd."""

from __future__ import annotations

from collections.abc import Iterator

from dreamvla_edge.deploy.facts import Facts
from dreamvla_edge.deploy.finding import Finding

RELEASED_S = 1793491200.0
"""2026-11-01: no clock that is right shows an earlier time to this version [s since 1970]."""
INSTALL_BYTES = 1_000_000_000
"""A third of this is what everything for a Jetson takes unpacked (`docs/doctor.md`); the rest is
for a small bundle and its transfer."""
ROOM_BYTES = 4 * INSTALL_BYTES
"""For three releases and what they are made from; a bundle's own size comes on top."""
BUILD_BYTES = 12_000_000_000
"""Memory and swap below which building engines has failed on boards with 8 GB."""
FREE_BYTES = 2_000_000_000
"""Of memory, for a policy in halves beside a camera's and the guardian's buffers."""


def memory(facts: Facts) -> Iterator[Finding]:
    """Enough to run a policy, and to build its engines."""
    if facts.memory is None:
        return
    total, free, swap = facts.memory.total, facts.memory.available, facts.memory.swap
    said = f"{free / 1e9:.1f} of {total / 1e9:.1f} GB free, {swap / 1e9:.1f} GB swap"
    if free < FREE_BYTES:
        yield Finding(
            "memory",
            "warning",
            said,
            f"{FREE_BYTES / 1e9:.0f} GB free",
            "stop other programs; without a desktop: sudo systemctl set-default multi-user.target",
            ("build", "run"),
        )
    elif total + swap < BUILD_BYTES:
        yield Finding(
            "memory",
            "warning",
            said,
            f"{BUILD_BYTES / 1e9:.0f} GB with swap, to build engines",
            "add swap: sudo fallocate -l 8G /swap && sudo chmod 600 /swap && sudo mkswap /swap"
            " && sudo swapon /swap",
            ("build",),
        )
    else:
        yield Finding("memory", "ok", said, verbs=("build", "run"))


def disk(facts: Facts) -> Iterator[Finding]:
    """Free space where things are installed; places on one file system are one row."""
    spaces = {(space.free, space.total): space for space in reversed(facts.disk or ())}
    for space in reversed(spaces.values()):
        said = f"{space.free / 1e9:.1f} GB free at {space.place}"
        cure = "remove what is not needed (sudo apt clean; docker system prune), or add a disk"
        if space.free < INSTALL_BYTES:
            wanted = f"{INSTALL_BYTES / 1e9:.0f} GB"
            yield Finding("disk", "error", said, wanted, cure, ("flash", "build", "record"))
        elif space.free < ROOM_BYTES:
            wanted = f"{ROOM_BYTES / 1e9:.0f} GB, for three releases and their bundles"
            yield Finding("disk", "warning", said, wanted, cure, ("flash", "build", "record"))
        else:
            yield Finding("disk", "ok", said, verbs=("flash", "build", "record"))


def clock(facts: Facts) -> Iterator[Finding]:
    """Certificates, packages and recordings carry times; a board without a battery loses its."""
    if facts.clock is None:
        return
    cure = "sudo timedatectl set-ntp true; without a network: sudo date -s 'YYYY-MM-DD HH:MM'"
    if facts.clock.now < RELEASED_S:
        yield Finding(
            "clock",
            "error",
            "the clock shows a time before this version was released",
            "the time of day",
            cure,
            ("flash", "record"),
        )
    elif facts.clock.synchronised is False:
        yield Finding(
            "clock",
            "warning",
            "the clock is not synchronised",
            "a time server, so that recordings and journals agree with other machines",
            cure,
            ("record",),
        )
    else:
        known = "" if facts.clock.synchronised else ", as far as can be told"
        yield Finding("clock", "ok", f"the clock is right{known}", verbs=("record",))


def scheduling(facts: Facts) -> Iterator[Finding]:
    """The guardian is late by 5 to 20 ms beside a busy policy, and by 0.1 ms with SCHED_FIFO."""
    if facts.scheduling is None:
        return
    root = facts.user is not None and facts.user.root
    refused = [] if facts.scheduling.fifo else ["SCHED_FIFO"]
    if facts.scheduling.memlock != -1 and not root:
        refused.append("locked memory")
    if refused:
        yield Finding(
            "scheduling",
            "warning",
            f"this user is refused {' and '.join(refused)}",
            "both, so that the guardian is never late",
            "let the service run it (dreamvla flash), or write `* - rtprio 50` and"
            " `* - memlock unlimited` into /etc/security/limits.d/dreamvla.conf and log in again",
            ("run", "record"),
        )
    else:
        found = "SCHED_FIFO and locked memory are granted"
        yield Finding("scheduling", "ok", found, verbs=("run", "record"))


def systemd(facts: Facts) -> Iterator[Finding]:
    """It starts the service, and starts it again."""
    if not facts.systemd:
        yield Finding(
            "systemd",
            "warning",
            "systemd did not start this machine",
            "systemd, which runs the service that flash installs",
            "in a container or under another init, start `dreamvla run` yourself",
            ("flash",),
        )
        return
    for unit in facts.units or ():
        if unit.state == "failed":
            yield Finding(
                "service",
                "error",
                f"{unit.unit} has failed after {unit.restarts} restarts",
                "a service that runs, or waits in stop",
                f"look with `journalctl -u {unit.unit} -n 50`, then `dreamvla rollback`",
                ("run",),
            )
        else:
            yield Finding("service", "ok", f"{unit.unit} is {unit.state}", verbs=("run",))
    if not facts.units:
        yield Finding("systemd", "ok", "systemd runs", verbs=("flash",))
