"""The bundle that a command is given: a folder, or the one that ships by its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

SHIPPED = "demo"


class BundlePath(click.Path):
    """A path; `demo` is the shipped bundle unless a bundle of that name lies here."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See `click.ParamType.convert`."""
        from dreamvla_edge.demo import BUNDLE
        from dreamvla_edge.runtime.manifest import MANIFEST_NAME

        if str(value) == SHIPPED and not (Path(SHIPPED) / MANIFEST_NAME).exists():
            return BUNDLE
        return super().convert(value, param, ctx)
