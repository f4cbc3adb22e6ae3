"""Where the sources stand, for the tests that read them as text."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def package_folders() -> list[str]:
    """FOLDERS as setup.py has it, read and not run."""
    match = re.search(r"^FOLDERS = \((.*?)\)", (ROOT / "setup.py").read_text(), re.M | re.S)
    assert match is not None
    return re.findall(r'"(\w+)"', match.group(1))


def module_files(*folders: str) -> dict[str, Path]:
    """Every module of the package folders by its name: {"dreamvla_edge.runtime.errors": path}."""
    files = {}
    for folder in folders or package_folders():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if parts[-1] == "__init__":
                parts = parts[:-1]
            files[".".join(("dreamvla_edge", *parts))] = path
    return files
