"""What the facts about a machine mean for each command. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from dreamvla_edge.deploy import board_checks, machine_checks, package_checks, port_checks
from dreamvla_edge.deploy.facts import Facts
from dreamvla_edge.deploy.finding import Finding

CHECKS: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    board_checks.board,
    board_checks.jetpack,
    board_checks.system,
    board_checks.python,
    board_checks.gpu,
    board_checks.tensorrt,
    board_checks.cuda,
    board_checks.power,
    board_checks.clocks,
    machine_checks.memory,
    machine_checks.disk,
    machine_checks.clock,
    machine_checks.scheduling,
    machine_checks.systemd,
    port_checks.serial,
    port_checks.cameras,
    package_checks.packages,
    package_checks.releases,
)
"""In the order in which they are shown. A fact that could not be had makes no finding, unless its
absence is one."""


def findings(facts: Facts) -> tuple[Finding, ...]:
    """All findings, good ones too."""
    return tuple(finding for check in CHECKS for finding in check(facts))
