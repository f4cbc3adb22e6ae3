"""The sampler that a command is given by its name."""

from __future__ import annotations

from typing import Any

import click


class SamplerName(click.ParamType):
    """A name that `runtime.samplers.named` knows."""

    name = "sampler"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See `click.ParamType.convert`."""
        from dreamvla_edge.runtime.samplers.named import named

        try:
            named(value, 1.0)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return value


sampler_option = click.option(
    "--sampler",
    type=SamplerName(),
    help="Instead of the bundle's own: ddim-N, dpm-N, parallel-SWEEPS, also with -warm-T.",
)
