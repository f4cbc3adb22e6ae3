"""The environment without torch hides what it says and nothing else."""

from __future__ import annotations

import pytest

from without_torch import HIDDEN, run_without_torch


@pytest.mark.parametrize(
    ("module", "missing"),
    [*zip(HIDDEN, HIDDEN, strict=True), ("torch.nn", "torch"), ("onnx.helper", "onnx")],
)
def test_a_hidden_module_cannot_be_imported(module: str, missing: str) -> None:
    """As where it is not installed."""
    done = run_without_torch(f"import {module}")
    assert done.returncode == 1
    assert f"ModuleNotFoundError: No module named '{missing}'" in done.stderr


def test_a_probe_finds_no_torch() -> None:
    """Libraries ask before they import."""
    done = run_without_torch("import importlib.util as u; print(u.find_spec('torch'))")
    assert done.stdout == "None\n", done.stderr


def test_all_else_runs_as_a_script_does() -> None:
    """Base install, arguments and exit status; a name that only begins like a hidden one."""
    done = run_without_torch(
        "import sys, numpy, onnxruntime, dreamvla_edge.runtime\n"
        "print(__name__, sys.argv[1:])\n"
        "sys.exit(7)",
        "one",
        "two",
    )
    assert (done.returncode, done.stdout) == (7, "__main__ ['one', 'two']\n"), done.stderr


def test_the_folders_of_the_root_are_not_importable_by_their_bare_name() -> None:
    """Else `import model` would go around the block."""
    assert "No module named 'model'" in run_without_torch("import model").stderr
