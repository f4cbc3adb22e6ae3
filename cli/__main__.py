"""`python -m dreamvla_edge.cli` is `dreamvla`."""

from __future__ import annotations

from .command import main

main()
