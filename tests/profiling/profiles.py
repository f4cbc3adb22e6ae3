"""Profiles without a run: of a machine that tells everything, and of one that tells little."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from dreamvla_edge.runtime.profiler.intervals import summary
from dreamvla_edge.runtime.profiler.profile import (
    SCHEMA_VERSION,
    ColdStart,
    Environment,
    FloorOf,
    Profile,
    Punctuality,
    Rate,
    Stage,
    Subject,
    Use,
)

MEDIANS_MS = {
    "capture": 16.0,
    "preprocess": 0.02,
    "vision": 450.0,
    "prefill_wait": 0.4,
    "embed": 0.2,
    "step": 370.0,
    "sampler": 180.0,
    "kinematics": 0.5,
    "guardian": 9.5,
    "wire": 0.1,
    "prefill": 1200.0,
    "other": 0.3,
}
FLOORS_MS = {"vision": 420.0, "embed": 0.0001, "step": 365.0, "sampler": 60.0, "prefill": 1160.0}


def full(runs: int = 200, scale: float = 1.0, seed: int = 0) -> Profile:
    """Of a full-size bundle on a board with sensors; scale: of all times but the floors."""
    random = np.random.default_rng(seed)

    def drawn(median_ms: float) -> tuple[float, ...]:
        values = scale * median_ms / 1e3 * random.lognormal(0, 0.1, runs)
        return tuple(map(float, values))

    seconds = {name: drawn(median_ms) for name, median_ms in MEDIANS_MS.items()}
    whole = np.sum([v for name, v in seconds.items() if name != "prefill"], axis=0)
    stages = {
        name: Stage(
            f"what {name} is",
            summary(values),
            values,
            FloorOf(FLOORS_MS[name] / 1e3, 1.0, 2.0, "memory") if name in FLOORS_MS else None,
        )
        for name, values in seconds.items()
    }
    end_to_end = Stage("all of it", summary(whole), tuple(map(float, whole)))
    return Profile(
        schema_version=SCHEMA_VERSION,
        subject=Subject(
            bundle="calvin",
            sha256="ab" * 32,
            until="the last serial byte, by the bus's clock",
            arm="virtual so101",
            cameras=("v4l2", "v4l2"),
            runs=runs,
            warm_up=20,
            rate_hz=30.0,
            step_hz=0.8,
            time_base="stretched",
            backend="tensorrt",
            threads=8,
            sampler="parallel-6-warm-4",
        ),
        environment=Environment(
            machine="ARMv8 Processor rev 1 (v8l)",
            board="NVIDIA Jetson AGX Orin Developer Kit <64 GB> & more",
            cores=12,
            architecture="aarch64",
            system="Linux-5.15.148-tegra-aarch64-with-glibc2.35",
            power_mode="MODE_30W",
            governor="schedutil",
            clocks_mhz={"cpu": 1728.0, "gpu": 612.0, "memory": 3199.0},
            load=0.1,
            elsewhere=0.01,
            telemetry="tegrastats",
            versions={"python": "3.10.12", "tensorrt": "10.3.0"},
            started="2026-11-29T00:00:00+00:00",
        ),
        end_to_end=end_to_end,
        stages=stages,
        other_share=0.0003,
        left_out=2,
        rate=Rate(30.0, summary(whole), runs, 0.45),
        use=Use(
            policy_mb=2100.0,
            policy_peak_mb=2600.0,
            guardian_mb=60.0,
            all_mb=5100.0,
            core_loads=(0.5, 0.4, None, None, *[0.1] * 8),
            policy_cores=1.5,
            guardian_cores=0.1,
            gpu_load=0.7,
            power_w=21.5,
            energy_j=26.0,
            temperature_c=(45.0, 52.5, 53.0),
        ),
        punctuality=Punctuality(25_000, 3, True, summary([1e-4, 2e-4, 9e-4])),
        cold_start=ColdStart(0.6, 1.1, 4.0, 2.0, 2400.0),
        roof={"name": "AGX Orin", "source": "a table"},
        notes=("a note",),
    )


def sparse() -> Profile:
    """Five decisions of a machine without sensors and without floors."""
    found = full(5)
    fields: dict[str, Any] = {
        "stages": {
            name: msgspec.structs.replace(stage, floor=None)
            for name, stage in found.stages.items()
            if name in ("capture", "preprocess", "vision", "embed", "step", "sampler", "other")
        },
        "use": Use(100.0, 110.0, None, None, (), 0.5, None, None, None, None, None),
        "cold_start": None,
        "roof": None,
    }
    return msgspec.structs.replace(found, **fields)
