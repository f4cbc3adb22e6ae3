"""The group of commands, the options they share, and what becomes of errors."""

from __future__ import annotations

import errno
import functools
import importlib
import importlib.metadata
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

import click

from dreamvla_edge.runtime.errors import ArmError, DreamvlaError, OutputError
from dreamvla_edge.runtime.interrupts import STOPPING

from .exit_codes import exit_code
from .report import Report

COMMANDS = {
    "demo": "A trained robot does what it is told, in a scene on this machine.",
    "export": "Turn a checkpoint into a bundle of ONNX subgraphs.",
    "inspect": "Show what is in a bundle.",
    "verify": "Check that a bundle computes what the network computes.",
    "quantize": "Make a smaller, faster bundle that acts the same.",
    "flash": "Install a bundle on devices over SSH.",
    "rollback": "Go back to the release before, on a flashed device.",
    "build": "Build TensorRT's engines of a bundle.",
    "profile": "Show where the time goes, from picture to servos.",
    "train": "Fine-tune a checkpoint on a data set.",
    "eval": "Let a bundle do the tasks of the scene, and count.",
    "run": "Drive an arm with a bundle, guarded.",
    "start": "Let the service of a flashed device drive its arm.",
    "stop": "Stop the arm that a service drives.",
    "status": "Say what the service of a flashed device does.",
    "serve": "Load a policy and wait for orders to drive.",
    "robot": "Make or check the file of one robot.",
    "arm": "Find, watch, calibrate, stop an arm.",
    "camera": "Find cameras, look through them.",
    "record": "Record demonstrations, or export recordings as data sets.",
    "replay": "Give a recording to a policy or to an arm again, or draw it.",
    "dream": "Show what a network expects to see three steps later.",
    "doctor": "Say what is wrong with a machine, or with the arm in a recording.",
}
"""Name → first line of its help; command `x` is `command` in `cli/x.py`."""

EXTRAS = {
    "torch": "export",
    "onnx": "export",
    "h5py": "calibrate",
    "onnxscript": "export",
    "safetensors": "export",
    "pyarrow": "record",
    "av": "record",
    "cv2": "camera",
    "mujoco": "sim",
    "ray": "ray",
    "libero": "libero",
    "matplotlib": "train",
    "tomli_w": "train",
    "dreamvla_edge.model": "export",  # an image for a robot may leave these two out
    "dreamvla_edge.export": "export",
}
"""Module → the extra that installs it."""

_HELP = ["-h", "--help"]
_FULL = (errno.ENOSPC, errno.EDQUOT)


class WrongUsage(DreamvlaError):
    """An unknown command or option, or a missing or impossible value."""


class Interrupted(DreamvlaError):
    """Ctrl-C."""


class MissingExtra(DreamvlaError):
    """A package that this command needs is not installed."""


class UnexpectedError(DreamvlaError):
    """A defect of this program."""


class Commands(click.Group):
    """Loads a command's module when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, or None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        found: click.Command = importlib.import_module(f"dreamvla_edge.cli.{cmd_name}").command
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in the help, without importing any command."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def example(*lines: str) -> str:
    """Command lines as the end of a help text."""
    return "\n".join(["\b", "Example:", *(f"  {line}" for line in lines)])


def shared_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --json, -v and -q and passes them on as one `report`, that of `run`."""

    @click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
    @click.option("-v", "verbose", is_flag=True, help="Say more, with a traceback on errors.")
    @click.option("-q", "quiet", is_flag=True, help="Print nothing but errors and JSON.")
    @click.pass_obj
    @functools.wraps(function)
    def with_report(
        report: Report, /, as_json: bool, verbose: bool, quiet: bool, **arguments: Any
    ) -> None:
        report.as_json, report.verbosity = as_json, 1 if verbose else -1 if quiet else 0
        function(report=report, **arguments)

    return with_report


def run(command: click.Command, name: str) -> NoReturn:
    """Run a command as the program `name`: an error becomes a message and an exit code.

    A service manager's SIGTERM and a closed terminal end it as Ctrl-C does: whatever it was doing
    is cleaned up and an arm is told to hold.
    """
    stopped: list[int] = []

    def stop(number: int, frame: object) -> None:
        stopped.append(number)
        raise KeyboardInterrupt

    for number in STOPPING:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under `nohup`
            signal.signal(number, stop)
    report = Report(as_json="--json" in sys.argv[1:])  # until the options have been read
    try:
        code = (
            command.main(
                prog_name=name,
                standalone_mode=False,
                obj=report,
                help_option_names=_HELP,
            )
            or 0
        )
        report.finish()
    except BrokenPipeError:  # the reader has seen enough, as in `dreamvla inspect bundle | head`
        _let_go()
        code = 1
    except (Exception, KeyboardInterrupt) as error:
        # What libraries make of a signal, such as a failed import, is no error of its own; that
        # an arm cannot be told to hold is.
        masked = stopped and not isinstance(error, ArmError)
        code = _fail(KeyboardInterrupt() if masked else error, report)
    sys.exit(code)


def _fail(raised: BaseException, report: Report) -> int:
    """Print an error on stderr, and in the document where one was asked for; its exit code."""
    error = _explained(raised)
    code = exit_code(error)
    if isinstance(error, UnexpectedError) or (report.verbosity > 0 and error is raised):
        traceback.print_exception(raised)
    click.echo(f"error: {error}", err=True)
    first = raised.__context__
    if first is not None and raised.__cause__ is None and not raised.__suppress_context__:
        click.echo(f"  this came up while ending after: {first or type(first).__name__}", err=True)
    parts = {part: getattr(error, part) for part in ("found", "expected", "cure")}
    document = {"kind": type(error).__name__, "message": str(error), **parts}
    report.document({"error": document, "exit_code": code})
    try:
        report.finish()
        if sys.stdout is not None:  # closed by whoever started this
            sys.stdout.flush()
    except OSError:  # nobody reads, or there is no room: it stands on stderr
        _let_go()
    return code


def _let_go() -> None:
    """Of a stdout that takes nothing any more, so that Python does not try again at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _explained(error: BaseException) -> BaseException:
    """An error that says what was found, what was expected and what to do."""
    if isinstance(error, click.Abort | KeyboardInterrupt):
        return Interrupted("interrupted", "to run to the end", "start it again")
    if isinstance(error, click.UsageError) and error.ctx is not None:
        usage = error.ctx.get_usage().removeprefix("Usage: ")
        found = error.format_message().rstrip(".")
        return WrongUsage(found, usage, f"{error.ctx.command_path} --help")
    if isinstance(error, ModuleNotFoundError):
        name = error.name or ""
        extra = EXTRAS.get(name, EXTRAS.get(name.partition(".")[0]))
        if extra is not None:
            return MissingExtra(
                f"{name} is not installed",
                f"the packages of the extra [{extra}]",
                f"pip install 'dreamvla-edge[{extra}]'",
            )
    if hasattr(error, "cure"):
        return error
    if isinstance(error, OSError) and error.errno in _FULL:
        return OutputError(
            f"nothing more can be written: {error}", "room for what is written", "make room"
        )
    return UnexpectedError(
        f"{type(error).__name__}: {error}",
        "no error, or one that says what to do",
        "this is a defect of dreamvla-edge: please report it with the lines above",
    )


@click.group(
    cls=Commands,
    epilog=example(
        "dreamvla demo",
        "dreamvla export checkpoint.pth -o bundle --data-set calvin",
        "dreamvla verify bundle",
    ),
    invoke_without_command=True,
    context_settings={"help_option_names": _HELP},
)
@click.version_option(importlib.metadata.version("dreamvla-edge"), prog_name="dreamvla")
@click.pass_context
def group(context: click.Context) -> None:
    """Take a DreamVLA checkpoint to an NVIDIA Jetson and a serial arm."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main() -> NoReturn:
    """Entry point of `dreamvla`."""
    run(group, "dreamvla")
