"""What servos were told, out of the log of a virtual Feetech bus."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dreamvla_edge.sim.feetech_bus import take_instructions

_WRITE, _SYNC_WRITE = 3, 0x83


def read_writes(log: Path) -> list[dict[str, Any]]:
    """Every WRITE, and every part of a SYNC_WRITE, oldest first.

    Each: stamp_s, monotonic [s]; servo: its id; address: first register; data: list of bytes.
    """
    received = bytearray()
    writes: list[dict[str, Any]] = []
    for line in log.read_text().splitlines():
        entry = json.loads(line)
        if "rx" not in entry:
            continue
        received += bytes.fromhex(entry["rx"])
        for target, code, parameters in take_instructions(received):
            parts: list[tuple[int, bytes]] = []
            if code == _WRITE and parameters:
                parts = [(target, parameters[1:])]
            elif code == _SYNC_WRITE and len(parameters) >= 2:
                stride = parameters[1] + 1
                parts = [
                    (parameters[at], parameters[at + 1 : at + stride])
                    for at in range(2, len(parameters) - stride + 1, stride)
                ]
            writes += [
                {
                    "stamp_s": entry["ns"] / 1e9,
                    "servo": servo,
                    "address": parameters[0],
                    "data": list(data),
                }
                for servo, data in parts
            ]
    return writes
