"""The sampler that a command is given by its name."""

from __future__ import annotations

import click


def _checked(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Refuses a name that means nothing, before anything is opened."""
    from dreamvla_edge.runtime.samplers.named import named

    if value is not None:
        try:
            named(value, 1.0)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None
    return value


sampler_option = click.option(
    "--sampler",
    metavar="NAME",
    callback=_checked,
    help="Instead of the bundle's own: ddim-N, dpm-N, parallel-SWEEPS, all also with -warm-T;"
    " student-1 or student-2.",
)
