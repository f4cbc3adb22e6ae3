"""Modules of ours as programs of their own.

    python fresh_python.py MODULE [ARGUMENT ...]

does what `python -m` does, but looks for no module in the working folder: a user's may hold a
`random.py`, and Python 3.10 has no -P.
"""

from __future__ import annotations

import sys


def command(module: str, *arguments: object) -> list[str]:
    """The command line that runs a module in a fresh Python."""
    return [sys.executable, __file__, module, *map(str, arguments)]


if __name__ == "__main__":
    if not getattr(sys.flags, "safe_path", False):
        del sys.path[0]  # the folder of this file
    import runpy

    runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
