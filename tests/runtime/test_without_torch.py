"""A robot's computer has no torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dreamvla_edge.runtime.bundle import Bundle
from without_torch import run_without_torch

RUN = """
import sys
import pytest
code = pytest.main(["-q", "-p", "no:cacheprovider", sys.argv[1]])
assert not {"torch", "onnx", "onnxscript"} & set(sys.modules)
sys.exit(code)
"""


def test_policy_and_bus_run_without_torch(
    bundle: Callable[[str], Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tests of the base install pass where torch and onnx cannot be imported."""
    monkeypatch.setenv("DREAMVLA_TEST_BUNDLE", str(bundle("calvin_small").path))
    tests = Path(__file__).parent.parent / "runtime_only" / "test_policy.py"
    done = run_without_torch(RUN, str(tests))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 passed" in done.stdout
