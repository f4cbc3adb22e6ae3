"""The group of commands: shared options, errors and exit codes."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

import click

from .exit_codes import exit_code
from .report import Report

COMMANDS = {
    "demo": "From a made-up checkpoint to a moving simulated arm.",
    "export": "Turn a checkpoint into a bundle of ONNX subgraphs.",
    "inspect": "Show what is in a bundle.",
    "verify": "Check that a bundle computes what the network computes.",
}
"""Name → first line of its help; command `x` is `command` in `cli/x.py`."""


class MissingExtra(Exception):
    """A package that this command needs is not installed."""


class Commands(click.Group):
    """Loads a command's module when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, or None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        return load(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in the help, without importing any command."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def load(name: str) -> click.Command:
    """The click command of one module of this folder."""
    found: click.Command = importlib.import_module(f"dreamvla_edge.cli.{name}").command
    return found


def shared_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --json, -v and -q and passes them on as one `report`."""

    @click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
    @click.option("-v", "verbose", is_flag=True, help="Say more, with a traceback on errors.")
    @click.option("-q", "quiet", is_flag=True, help="Print nothing but errors and JSON.")
    def with_report(as_json: bool, verbose: bool, quiet: bool, **arguments: Any) -> None:
        report = Report(as_json, 1 if verbose else -1 if quiet else 0)
        try:
            function(report=report, **arguments)
        except click.ClickException:
            raise
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            raise SystemExit(130) from None
        except Exception as error:
            fail(error, report)

    with_report.__name__, with_report.__doc__ = function.__name__, function.__doc__
    with_report.__dict__.update(function.__dict__)
    return with_report


def fail(error: Exception, report: Report) -> NoReturn:
    """Print an error on stderr, as JSON too where that was asked for, and exit with its code."""
    if isinstance(error, ModuleNotFoundError):
        error = _missing_extra(error)
    code = exit_code(error)
    if report.verbosity > 0 or code == 1:
        traceback.print_exception(error)
    click.echo(f"error: {error}", err=True)
    if report.as_json:
        parts = {part: getattr(error, part, None) for part in ("found", "expected", "cure")}
        document = {"kind": type(error).__name__, "message": str(error), **parts}
        click.echo(json.dumps({"error": document, "exit_code": code}, indent=1))
    raise SystemExit(code)


def _missing_extra(error: ModuleNotFoundError) -> Exception:
    extras = {"torch": "export", "onnx": "export", "onnxscript": "export", "safetensors": "export"}
    extra = extras.get((error.name or "").partition(".")[0])
    if extra is None:
        return error
    return MissingExtra(
        f"{error.name} is not installed\n  expected: the packages of the extra [{extra}]\n"
        f"  what to do: pip install 'dreamvla-edge[{extra}]'"
    )


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(importlib.metadata.version("dreamvla-edge"), prog_name="dreamvla")
def main() -> None:
    r"""Take a DreamVLA checkpoint to an NVIDIA Jetson and a serial arm.

    \b
    Example:
      dreamvla demo
      dreamvla export checkpoint.pth -o bundle --data-set calvin
      dreamvla verify bundle
    """
