"""PyCudaDevice through PyCUDA itself, up to a driver that stands in for libcuda."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from dreamvla_edge.kernels.device import KernelError, make_device
from launchers import ran

pytestmark = pytest.mark.timeout(900)  # PyCUDA is compiled the first time, for minutes
TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
PROGRAM = TESTS / "pycuda_device_cases.py"
START = f"""
import os, runpy, sys, types
from importlib.util import find_spec

sys.setdlopenflags(os.RTLD_LAZY)
spec = find_spec("dreamvla_edge.kernels.pycuda_device")
source = open(spec.origin).read()
right, wrong = sys.argv[1:]
assert right == wrong or source.count(right) == 1
module = sys.modules[spec.name] = types.ModuleType(spec.name)
module.__package__ = spec.parent
exec(compile(source.replace(right, wrong), spec.origin, "exec"), module.__dict__)
runpy.run_path({str(PROGRAM)!r}, run_name="__main__")
"""
"""Runs the program with one text of our launcher in another's place. PyCUDA is bound lazily, as the
stand-in holds what the launcher calls and not all that PyCUDA can."""
BUGS = {
    "an attribute that is not there": ("memset_d8_async", "memset_d8_later"),
    "a wrong signature": ("array, buffer.allocation, self", "array, buffer.allocation, 0, self"),
    "arguments cut short": ("np.frombuffer(bytes(call), ", "np.frombuffer(bytes(call)[:-8], "),
    "half of it cleared": ("0, buffer.size, self", "0, buffer.size // 2, self"),
    "a context left": ("self._cuda.Context.pop()", "pass"),
    "a device let go": ("atexit.register(self._context.detach)", "pass"),
    "PyCUDA's own errors": ("except self._cuda.Error", "except KeyError"),
}


@pytest.fixture(scope="module")
def python() -> Path:
    """Of an environment with PyCUDA, made if it is not there."""
    subprocess.run([ROOT / "tools" / "pycuda.sh"], check=True, timeout=850)
    return ROOT / ".venv-pycuda" / "bin" / "python"


@pytest.mark.slow
def test_it_speaks_to_the_driver(python: Path, libcuda: Path) -> None:
    """Kernels, copies and refusals; the bytes are those that cuda-bindings leave."""
    found = ran([python, "-c", START, "", ""], libcuda)
    assert len(found) == 13 and not any(found.values()), found


@pytest.mark.slow
@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_caught(python: Path, libcuda: Path, bug: str) -> None:
    with pytest.raises(AssertionError):
        assert not any(ran([python, "-c", START, *BUGS[bug]], libcuda).values())


@pytest.mark.slow
def test_without_a_driver(python: Path) -> None:
    """One error that says what is missing."""
    code = "from dreamvla_edge.kernels.device import make_device; make_device('pycuda')"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True)
    assert "KernelError: no CUDA driver (libcuda.so.1" in done.stderr


def test_without_pycuda() -> None:
    """The project's own environment has none."""
    with pytest.raises(KernelError, match="No module named 'pycuda'.*pip install pycuda"):
        make_device("pycuda")
