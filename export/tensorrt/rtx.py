"""TensorRT's own parser and builder, on a machine without GPU: TensorRT-RTX.

Its parser is that of the 11.x line, so it takes more than TensorRT 10.3 does, for which the rules
stand (`rules.py`); engines are built for a GPU that is named, and can be loaded only on one. SM86
stands for Orin (SM87), SM120 for Thor (SM110).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dreamvla_edge.runtime.backends.shapes import Shapes


@dataclass(frozen=True)
class Refusal:
    """What the parser or builder has against a model: a node's name, empty if none is to blame."""

    node: str
    reason: str


def available() -> bool:
    """Whether the package is here; it has wheels for x86-64 only."""
    try:
        import tensorrt_rtx_bindings  # noqa: F401
    except ImportError:
        return False
    return True


def stand_in(precision: str) -> str:
    """The GPU that an engine of this precision is built for: Orin's, or Thor's where it has fp8."""
    return "SM120" if precision == "fp8" else "SM86"


def build(
    model: str, shapes: Sequence[Shapes], gpu: str = "SM86"
) -> tuple[int | None, tuple[Refusal, ...]]:
    """Bytes of the engine of an ONNX file, None if there is none, and what was refused."""
    import tensorrt_rtx_bindings as rtx

    class Log(rtx.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (rtx.ILogger.ERROR, rtx.ILogger.INTERNAL_ERROR):
                self.errors.append(message)

    log = Log()
    builder = rtx.Builder(log)
    network = builder.create_network(0)
    parser = rtx.OnnxParser(network, log)
    if not parser.parse_from_file(model):
        errors = (parser.get_error(i) for i in range(parser.num_errors))
        return None, tuple(Refusal(error.node_name(), error.desc()) for error in errors)
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(getattr(rtx.ComputeCapability, gpu), 0)
    for use in shapes:
        profile = builder.create_optimization_profile()
        for name, bounds in use.items():
            profile.set_shape(name, *bounds)
        config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        return None, tuple(Refusal("", message) for message in log.errors) or (
            Refusal("", "no engine, and no reason given"),
        )
    return int(plan.nbytes), ()
