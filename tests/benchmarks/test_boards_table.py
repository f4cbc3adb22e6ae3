"""The tables in the docs are those that the program makes."""

from __future__ import annotations

import subprocess
import sys

from project.sources import ROOT


def test_the_docs_hold_todays_tables() -> None:
    """`python benchmarks/boards_table.py --write` brings them up to date."""
    program = [sys.executable, str(ROOT / "benchmarks" / "boards_table.py")]
    done = subprocess.run(program, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    page = (ROOT / "docs" / "roofline.md").read_text()
    assert f"<!-- tables -->\n\n{done.stdout}\n<!-- end of tables -->" in page
