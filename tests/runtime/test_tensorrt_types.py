"""Our TensorRT code against the types of every version's bindings, by mypy."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from recorded_tensorrt import VERSIONS
from tensorrt_stubs import write_stubs

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("dreamvla_edge.runtime.backends", "dreamvla_edge.deploy")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checker's memory of everything else, as `make check` left it, for us to write to."""
    subprocess.run([sys.executable, ROOT / "tools" / "typeview.py"], check=True)
    copy = tmp_path_factory.mktemp("mypy") / "cache"
    if (ROOT / ".mypy_cache").exists():
        shutil.copytree(ROOT / ".mypy_cache", copy)
    return copy


def complaints(stubs: Path, cache: Path, *what: str) -> str:
    """What mypy says under our own settings; nothing if all is right."""
    command = [sys.executable, "-m", "mypy", "--no-error-summary", "--cache-dir", str(cache)]
    done = subprocess.run(
        [*command, *what],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"MYPYPATH": str(stubs)},
    )
    assert done.returncode in (0, 1), done.stderr
    return done.stdout


@pytest.mark.parametrize("version", VERSIONS)
def test_our_code_has_the_types_of_tensorrt(version: str, tmp_path: Path, cache: Path) -> None:
    write_stubs(version, tmp_path)
    packages = (part for name in PACKAGES for part in ("-p", name))
    assert complaints(tmp_path, cache, *packages) == ""


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("builder.max_batch_size", "attr-defined"),
        ("builder.create_network('explicit')", "arg-type"),
        ("builder.create_network(1, 2)", "call-arg"),
        ("tensorrt.IInt8Calibrator", "attr-defined"),
        ("network: tensorrt.IBuilderConfig = builder.create_network()", "assignment"),
    ],
)
def test_what_a_version_lacks_is_found(
    line: str, complaint: str, tmp_path: Path, cache: Path
) -> None:
    write_stubs("11.4", tmp_path)
    program = tmp_path / "program.py"
    program.write_text(
        f"import tensorrt\n\nbuilder = tensorrt.Builder(tensorrt.Logger())\n{line}\n"
    )
    assert f"[{complaint}]" in complaints(tmp_path, cache, str(program))
