"""Counts the work of a bundle anew and writes it into its manifest, as schema version 2 wants it.

    python tools/count_work.py BUNDLE …

Nothing else changes: no hash in a manifest covers the manifest. For bundles of schema version 1,
and for the demo after a change of how work is counted.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from dreamvla_edge.calibrate.work import counted
from dreamvla_edge.runtime.bundle import open_bundle
from dreamvla_edge.runtime.manifest import MANIFEST_NAME, SCHEMA_VERSION


def count(folder: Path) -> None:
    """Rewrites one manifest."""
    bundle = open_bundle(folder)
    specs = {}
    for name, spec in bundle.manifest.subgraphs.items():
        work = counted(bundle.model(name), bundle.manifest.network, name)
        gflop = {use: one.gflop for use, one in work.items()}
        specs[name] = msgspec.structs.replace(spec, gflop=gflop, work=work)
    made = msgspec.structs.replace(bundle.manifest, schema_version=SCHEMA_VERSION, subgraphs=specs)
    partial = folder / f".{MANIFEST_NAME}.partial"
    partial.write_bytes(msgspec.json.format(msgspec.json.encode(made), indent=1))
    partial.replace(folder / MANIFEST_NAME)
    open_bundle(folder)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        count(Path(argument))
