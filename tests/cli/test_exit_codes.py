"""Errors: the message, its JSON and the exit code of each kind."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from commands import cure_of, document, dreamvla, in_process
from dreamvla_edge.cli import command
from dreamvla_edge.cli.exit_codes import EXIT_CODES, exit_code
from dreamvla_edge.model import errors as model_errors
from dreamvla_edge.runtime import errors as runtime_errors
from dreamvla_edge.runtime.bundle import Bundle


def test_every_kind_of_error_has_a_code_of_its_own() -> None:
    """Other kinds exit with 1; a kind below one of these takes its code."""
    kinds = {
        name: kind
        for module in (runtime_errors, model_errors, command)
        for name, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Exception)
    }
    others = {"DreamvlaError", "UnexpectedError"}
    assert set(EXIT_CODES) == set(kinds) - others
    for name, kind in kinds.items():
        assert exit_code(kind("found", "expected", "cure")) == EXIT_CODES.get(name, 1)
    assert len(set(EXIT_CODES.values())) == len(EXIT_CODES)
    assert not {0, 1} & set(EXIT_CODES.values())
    assert exit_code(type("ServoError", (runtime_errors.ArmError,), {})("", "", "")) == 8
    assert exit_code(ValueError()) == 1


@pytest.mark.parametrize(
    ("arguments", "kind", "found"),
    [
        ("verify {folder}/nothing", "BundleError", "no directory {folder}/nothing"),
        ("inspect {folder}", "BundleError", "no bundle.json in {folder}"),
        ("inspect {bundle} --plot {folder}", "OutputError", "{folder} exists"),
        (
            "inspect {bundle} --plot /proc/mask.png",
            "OutputError",
            "/proc/mask.png cannot be written",
        ),
        ("export --template cooking", "DataSetError", "no template `cooking`"),
        ("export x.pth -o {folder}/b --data-set cooking", "DataSetError", "no data set `cooking`"),
        ("export x.pth -o {folder}/b --data-set calvin", "CheckpointError", "x.pth cannot be read"),
        (
            "export x.pth -o {folder}/a/b --data-set calvin",
            "OutputError",
            "no directory {folder}/a",
        ),
        ("demo -o /proc/demo", "OutputError", "/proc/demo cannot be made"),
        ("verify {bundle} --backend cooking", "BackendError", "back end 'cooking'"),
    ],
)
def test_an_error(arguments: str, kind: str, found: str, tiny: Bundle, tmp_path: Path) -> None:
    """One message on stderr and the same in the one document on stdout; nothing else is left."""
    places = {"folder": str(tmp_path), "bundle": str(tiny.path)}
    done = in_process(*arguments.format(**places).split(), "--json")
    error = cure_of(done.stderr)
    assert error[0].startswith(found.format(**places))
    assert done.returncode == EXIT_CODES.get(kind, 1)
    assert document(done) == {
        "error": {
            "kind": kind,
            "message": done.stderr.removeprefix("error: ").rstrip("\n"),
            **dict(zip(("found", "expected", "cure"), error, strict=True)),
        },
        "exit_code": done.returncode,
    }
    assert list(tmp_path.iterdir()) == []


def test_a_defect_of_this_program(tiny: Bundle) -> None:
    """A back end that is none stands for any: where it happened, and that it is to be reported."""
    done = dreamvla("verify", tiny.path, "--backend", "json:loads", "--json")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback") and "make_backend" in done.stderr
    error = document(done)["error"]
    assert error["kind"] == "UnexpectedError"
    assert error["found"].startswith("TypeError: ")
    assert "report" in error["cure"]


def test_a_traceback_only_when_asked_for(tmp_path: Path) -> None:
    """A person's mistake is not a defect."""
    assert "Traceback" not in dreamvla("verify", tmp_path).stderr
    verbose = dreamvla("verify", tmp_path, "-v")
    assert "Traceback" in verbose.stderr and "open_bundle" in verbose.stderr
    assert verbose.returncode == EXIT_CODES["BundleError"]
