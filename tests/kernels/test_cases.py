"""Every kernel in random cases, under the sanitizers for addresses and undefined behaviour."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dreamvla_edge.kernels.tolerance import FACTORS

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
CASES = {"masked_attention": 200, "denoise_half": 100, "denoise_int8": 100, "preprocess": 200}
"""The two forms of the sampler are one source."""


def sanitizers() -> str:
    """The compiler's libraries, which must be loaded before Python."""
    found = (
        subprocess.run(
            ["g++", f"-print-file-name={name}"], check=True, capture_output=True, text=True
        ).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    )
    return ":".join(found)


@pytest.mark.parametrize("kernel", CASES)
def test_random_cases_are_as_near_to_float64_as_halves_allow(kernel: str) -> None:
    program = str(Path(__file__).parents[1] / "kernel_cases.py")
    result = subprocess.run(
        [sys.executable, program, kernel, "0", str(CASES[kernel])],
        capture_output=True,
        text=True,
        env=os.environ
        | {
            "LD_PRELOAD": sanitizers(),
            "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0",
            "UBSAN_OPTIONS": "print_stacktrace=1",
            "OMP_NUM_THREADS": "1",
        },
    )
    assert result.returncode == 0, result.stderr[-4000:]
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(lines) == CASES[kernel]
    wrong = [x for x in lines if not x["kernel"] <= FACTORS[kernel] * x["halves"]]
    assert not wrong
