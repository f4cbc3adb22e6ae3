"""Tells a caller which stage of a long command begins."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str], None]
"""Called with one short sentence at the start of every stage."""


def silent(_: str) -> None:
    """Progress that nobody watches."""
