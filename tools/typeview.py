"""Lay out build/types/dreamvla_edge as the installed package: real folders, linked files.

Type checkers do not run the import hook of an editable install; this shows them what it finds.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VIEW = ROOT / "build" / "types"


def main() -> None:
    """Remake the view."""
    shutil.rmtree(VIEW, ignore_errors=True)
    folders = re.search(r"^FOLDERS = \((.*?)\)", (ROOT / "setup.py").read_text(), re.M | re.S)
    assert folders is not None
    for folder in re.findall(r'"(\w+)"', folders.group(1)):
        for source in (ROOT / folder).rglob("*"):
            if source.suffix in (".py", ".pyi") or source.name == "py.typed":
                link = VIEW / "dreamvla_edge" / source.relative_to(ROOT)
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(source)


if __name__ == "__main__":
    main()
