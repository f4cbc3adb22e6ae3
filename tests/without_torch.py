"""Runs Python as the base install does: torch, onnx and what is built on them cannot be imported.

    run_without_torch("import dreamvla_edge.runtime")

This file is also the program that the subprocess runs. It hides the modules from the finders
instead of raising, so that `importlib.util.find_spec("torch")` is None as it is on a Jetson.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

HIDDEN = ("torch", "onnx", "onnxscript", "dreamvla_edge.model", "dreamvla_edge.export")


def run_without_torch(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `code` with sys.argv[1:] = arguments in a fresh process; text output is captured."""
    with tempfile.TemporaryDirectory() as folder:  # the root's folders are not importable there
        return subprocess.run(
            [sys.executable, __file__, code, *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=600,
        )


class Hiding:
    """A finder of sys.meta_path that does not know the hidden modules."""

    def __init__(self, finder: MetaPathFinder) -> None:
        self.finder = finder

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """As the finder says, except for hidden modules and all below them."""
        if f"{name}.".startswith(tuple(f"{hidden}." for hidden in HIDDEN)):
            return None
        return self.finder.find_spec(name, path, target)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.finder, name)


def main() -> None:
    """Run sys.argv[1] as a script that was started with the arguments after it."""
    sys.meta_path[:] = [Hiding(finder) for finder in sys.meta_path]  # type: ignore[arg-type]
    sys.path.pop(0)  # the folder of this file
    code = sys.argv.pop(1)
    exec(compile(code, "<without torch>", "exec"), {"__name__": "__main__"})


if __name__ == "__main__":
    main()
