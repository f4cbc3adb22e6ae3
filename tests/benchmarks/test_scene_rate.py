"""`benchmarks/scene_rate.py`: one document with every figure."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "scene_rate.py"


def test_one_document() -> None:
    """Rates above nothing, of a scene in which the expert succeeds."""
    command = [sys.executable, str(PROGRAM), "--json", "--seconds", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["pairs_per_s"] > 0 and found["lock_step_ratio"] > 0
    assert found["expert_lifts"] is True
    assert found["gl"] and found["machine"]["cores"]
