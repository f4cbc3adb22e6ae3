"""The `dreamvla` command; every command imports what it needs when it runs."""

from __future__ import annotations

from .command import main

__all__ = ["main"]
