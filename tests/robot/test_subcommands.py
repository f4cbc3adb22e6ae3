"""Help of every command below `dreamvla arm` and `dreamvla robot`."""

from __future__ import annotations

import re
from types import ModuleType

import pytest
from click.testing import CliRunner

from dreamvla_edge.cli import arm, robot
from dreamvla_edge.cli.command import group
from dreamvla_edge.cli.report import Report

PARTS = [(above.command.name, name) for above in (arm, robot) for name in above.command.commands]


@pytest.mark.parametrize(("above", "name"), PARTS)
def test_help_ends_with_an_example(above: str, name: str) -> None:
    """Lines that can be typed as they are, with options that the help explains."""
    shown = CliRunner().invoke(group, [above, name, "--help"], obj=Report(), prog_name="dreamvla")
    assert shown.exit_code == 0
    text, example = shown.output.split("\n  Example:\n")
    lines = example.rstrip("\n").split("\n")
    assert lines and all(line.startswith(f"    dreamvla {above} {name}") for line in lines)
    explained = set(re.findall(r"-[a-z]\b|--[a-z-]+", text))
    assert set(re.findall(r"(?<= )-[a-z]\b|(?<= )--[a-z-]+", example)) <= explained
    assert {"--json", "-v", "-q", "-h", "--help"} <= explained


@pytest.mark.parametrize("above", [arm, robot])
def test_a_group_lists_its_commands(above: ModuleType) -> None:
    """Each with the first sentence of its help."""
    command = above.command
    shown = CliRunner().invoke(group, [command.name, "--help"], obj=Report())
    for name in command.commands:
        assert re.search(rf"^  {name} +\w+", shown.output, re.M)
