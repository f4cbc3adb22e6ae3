"""What goes to stdout, to stderr and to a terminal."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from commands import PROGRAM, cure_of, document, dreamvla, on_terminal
from dreamvla_edge.cli.exit_codes import EXIT_CODES
from dreamvla_edge.cli.report import Report
from dreamvla_edge.runtime.bundle import Bundle

PROGRESS = re.compile(r"^\[ *\d+\.\d s\] \w", re.M)
READERS = ("verify", "inspect")


@pytest.mark.parametrize("command", READERS)
def test_a_pipe_gets_text_only(command: str, tiny: Bundle) -> None:
    """No progress, no colours."""
    done = dreamvla(command, tiny.path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "backbone" in done.stdout and "\x1b" not in done.stdout


@pytest.mark.parametrize("command", READERS)
def test_a_terminal_gets_progress(command: str, tiny: Bundle) -> None:
    """In plain text, which is what NO_COLOR asks for."""
    code, shown = on_terminal(command, tiny.path)
    assert code == 0
    assert PROGRESS.search(shown) and "backbone" in shown
    assert "\x1b" not in shown


def test_progress_does_not_enter_a_file(tiny: Bundle, tmp_path: Path) -> None:
    """With `dreamvla verify bundle > file` the terminal shows how far it is."""
    with (tmp_path / "file").open("w") as file:
        code, shown = on_terminal("verify", tiny.path, stdout=file.fileno())
    written = (tmp_path / "file").read_text()
    assert code == 0
    assert PROGRESS.search(shown) and "tolerance" not in shown
    assert "tolerance" in written and not PROGRESS.search(written)


def test_quiet(tiny: Bundle) -> None:
    """Nothing at all when all is well, not even on a terminal; errors still."""
    assert on_terminal("verify", tiny.path, "-q") == (0, "")
    code, shown = on_terminal("verify", tiny.path / "nothing", "-q")
    assert code == EXIT_CODES["BundleError"]
    assert cure_of(shown)[0] == f"no directory {tiny.path / 'nothing'}"


def test_verbose(tiny: Bundle) -> None:
    """Progress into a pipe too."""
    done = dreamvla("verify", tiny.path, "-v")
    assert done.returncode == 0 and PROGRESS.search(done.stderr)
    assert "tolerance" in done.stdout


@pytest.mark.parametrize("command", READERS)
def test_json(command: str, tiny: Bundle) -> None:
    """One document and no text."""
    done = dreamvla(command, tiny.path, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert document(done) and "error" not in document(done)
    assert dreamvla(command, tiny.path, "--json", "-q").stdout == done.stdout


def test_json_of_a_template() -> None:
    """The file is an entry of the document."""
    text = dreamvla("export", "--template", "so101").stdout
    found = document(dreamvla("export", "--template", "so101", "--json"))
    assert found == {"template": "so101", "text": text}


def test_json_knows_no_nan(capsys: pytest.CaptureFixture[str]) -> None:
    """NaN and infinity are no JSON: null stands for them, however deep they are."""
    report = Report(as_json=True)
    report.document({"a": float("nan"), "b": [(1.5, {2: np.array([-np.inf, 3])})]})
    report.document({"c": Path("/x"), "d": np.float32(0.5), "e": [True, None, "text"]})
    report.finish()
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == {
        "a": None,
        "b": [[1.5, {"2": [None, 3.0]}]],
        "c": "/x",
        "d": 0.5,
        "e": [True, None, "text"],
    }


def test_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    """Columns of numbers stand to the right, others to the left; no blanks at the end."""
    Report().table(("name", "n", ""), [("a", "10", ""), ("long name", "9", "WRONG")])
    assert capsys.readouterr().out == "name        n\na          10\nlong name   9  WRONG\n"


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_reader_that_has_seen_enough(options: list[str], tiny: Bundle) -> None:
    """`dreamvla inspect bundle | head -1` ends without a complaint."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*PROGRAM, "inspect", tiny.path, *options], stdout=write, stderr=subprocess.PIPE, text=True
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("stdout", [">&-", ">/dev/full", "| true"])
@pytest.mark.parametrize("options", ["", "--json"])
def test_an_error_that_stdout_does_not_take(stdout: str, options: str, tmp_path: Path) -> None:
    """Stands on stderr, and keeps its exit code."""
    script = f"set -o pipefail; {PROGRAM[0]} inspect {tmp_path}/none {options} {stdout}"
    done = subprocess.run(["bash", "-c", script], stderr=subprocess.PIPE, text=True)
    assert done.returncode == EXIT_CODES["BundleError"]
    assert cure_of(done.stderr)[0].startswith("no directory")
    assert "Traceback" not in done.stderr
