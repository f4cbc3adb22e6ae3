"""What `tools/libero.sh` runs: trials of an untrained network in LIBERO, whoever plays them."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from dreamvla_edge.export.data_set import DataSet, load_data_set
from dreamvla_edge.export.export import export
from dreamvla_edge.model.synthetic import LIBERO, SMALL, write_checkpoint

NUMBERS = "0:2"


def main() -> None:
    """Prints what was found; raises AssertionError if two players differ."""
    given = load_data_set("libero")
    small = {part: getattr(SMALL, part) for part in ("backbone", "vision", "text", "denoiser")}
    model = msgspec.structs.replace(given.model, heads=SMALL.backbone.heads)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_checkpoint(folder / "c.pth", replace(LIBERO, **small), 0)
        export(
            folder / "c.pth",
            folder / "bundle",
            DataSet(specification=given.specification, model=model),
        )
        found = []
        for workers in (1, 2):
            out = folder / str(workers)
            command = [sys.executable, "-m", "dreamvla_edge.cli", "eval", str(folder / "bundle")]
            command += ["--libero", "libero_spatial", "--seeds", NUMBERS, "--no-controls"]
            subprocess.run([*command, "--workers", str(workers), "-o", str(out)], check=True)
            lines = (out / "trials.jsonl").read_text().splitlines()
            found.append([json.loads(line)["trial"] for line in lines])
        for trial in found[0]:
            print(trial)
            assert trial["steps"] == 600 and trial["end"] == "time"
        assert found[0] == found[1] and len(found[0]) == 2


if __name__ == "__main__":
    main()
