"""Help, version, scripts and wrong usage of all commands."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

from commands import cure_of, document, dreamvla, in_process
from dreamvla_edge.cli.command import COMMANDS

SCRIPTS = Path(sys.executable).parent


@pytest.mark.parametrize("command", COMMANDS)
def test_help_ends_with_an_example(command: str) -> None:
    """Lines that can be typed as they are, with options that the help explains."""
    done = dreamvla(command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    above, example = done.stdout.split("\n  Example:\n")
    lines = example.rstrip("\n").split("\n")
    assert lines and all(line.startswith(f"    dreamvla {command} ") for line in lines)
    explained = set(re.findall(r"-[a-z]\b|--[a-z-]+", above))
    assert set(re.findall(r"(?<= )-[a-z]\b|(?<= )--[a-z-]+", example)) <= explained
    assert {"--json", "-v", "-q", "-h", "--help"} <= explained
    assert "\\" not in done.stdout and "\b" not in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_the_list_of_commands(command: str) -> None:
    """It is written down, so that showing it imports no command: it says what the command says."""
    listed = in_process("--help").stdout
    assert re.search(rf"^  {command} +{re.escape(COMMANDS[command])}$", listed, re.M)
    first_paragraph = in_process(command, "--help").stdout.split("\n\n")[1]
    assert COMMANDS[command].rstrip(".") in " ".join(first_paragraph.split())


def test_without_a_command() -> None:
    """The help, with examples that name commands."""
    done = dreamvla()
    assert (done.returncode, done.stdout) == (0, dreamvla("--help").stdout)
    lines = done.stdout.split("  Example:\n")[1].splitlines()
    assert lines and all(line.split()[:1] == ["dreamvla"] for line in lines)
    assert {line.split()[1] for line in lines} <= set(COMMANDS)


def test_version() -> None:
    """That of the installed package."""
    done = dreamvla("--version")
    assert done.returncode == 0
    assert done.stdout == f"dreamvla, version {importlib.metadata.version('dreamvla-edge')}\n"


@pytest.mark.parametrize(
    ("program", "name"),
    [
        ([SCRIPTS / "dreamvla-export"], "dreamvla-export"),
        ([sys.executable, "-m", "dreamvla_edge.cli", "export"], "dreamvla export"),
    ],
)
def test_other_ways_to_call_it(program: list[str | Path], name: str) -> None:
    """The same program under another name."""
    done = subprocess.run([*program, "--template", "so101"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == dreamvla("export", "--template", "so101").stdout
    wrong = subprocess.run(program, capture_output=True, text=True)
    assert wrong.returncode == 2
    assert cure_of(wrong.stderr)[2] == f"{name} --help"


def test_profile_under_its_own_name() -> None:
    """The help, but for the program's name."""
    done = subprocess.run([SCRIPTS / "dreamvla-profile", "--help"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == dreamvla("profile", "--help").stdout.replace(
        "Usage: dreamvla profile", "Usage: dreamvla-profile"
    )


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["sing"], "No such command 'sing'"),
        (["--louder"], "No such option '--louder'"),
        (["verify"], "Missing argument 'BUNDLE'"),
        (["verify", "bundle", "--louder"], "No such option '--louder'"),
        (["verify", "bundle", "--threads", "0"], "Invalid value for '--threads'"),
        (["verify", "bundle", "another"], "unexpected extra argument (another)"),
        (["verify", "bundle", "--case", "calvin_small"], "--golden and --case belong together"),
        (["verify", "bundle", "--golden", "golden"], "--golden and --case belong together"),
        (["verify", "bundle", "--seed", "1"], "--seed to them"),
        (["export", "checkpoint.pth"], "missing -o, --data-set"),
        (["export"], "missing CHECKPOINT, -o, --data-set"),
        (["demo", "--seconds", "0"], "Invalid value for '--seconds'"),
        (["demo", "--seed", "499999"], "Invalid value for '--seed'"),
    ],
)
def test_wrong_usage(arguments: list[str], found: str) -> None:
    """Exit code 2, how it is used and where the help is; in JSON even if parsing has failed."""
    done = in_process(*arguments, "--json")
    error = cure_of(done.stderr)
    program = f"dreamvla {arguments[0]}" if arguments[0] in COMMANDS else "dreamvla"
    assert done.returncode == 2
    assert found in error[0]
    assert error[1].startswith(f"{program} [OPTIONS]")
    assert error[2] == f"{program} --help"
    written = document(done)
    assert written["exit_code"] == 2 and written["error"]["kind"] == "WrongUsage"
    assert tuple(written["error"][part] for part in ("found", "expected", "cure")) == error


def test_wrong_usage_without_json() -> None:
    """Nothing on stdout."""
    done = dreamvla("sing")
    assert (done.returncode, done.stdout) == (2, "")
    assert "No such command" in cure_of(done.stderr)[0]
