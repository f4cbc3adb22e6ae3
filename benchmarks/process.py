"""Drives the worker processes and watches what else the machine does meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

FOLDER = Path(__file__).parent


class Worker:
    """A process of `worker.py`; `ask` sends a command and waits for the answer."""

    def __init__(self, kind: str, checkpoint: Path, bundle: Path, threads: int) -> None:
        self._kind = kind
        limits = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        self._process = subprocess.Popen(
            [sys.executable, FOLDER / "worker.py", kind, checkpoint, bundle, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | limits,
            text=True,
        )
        self._answer()

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """The answer of the worker's method `do`.

        A step's answer also gets `elsewhere`: the share of the machine's processor time that
        others used meanwhile, None where the system does not tell.
        """
        before, start = _busy_seconds(), time.perf_counter()
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        after, seconds = _busy_seconds(), time.perf_counter() - start
        if "processor_s" in answer:
            answer["elsewhere"] = None
            if before is not None and after is not None:
                others = after - before - answer["processor_s"]
                answer["elsewhere"] = max(others, 0) / (seconds * (os.cpu_count() or 1))
        return answer

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"the {self._kind} process ended with {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._process.kill()
        self._process.communicate()


def _busy_seconds() -> float | None:
    """Processor seconds used or withheld on the whole machine since it started (Linux)."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    except OSError:
        return None
    ticks = [int(field) for field in fields]
    idle, waiting = ticks[3], ticks[4]
    return (sum(ticks) - idle - waiting) / os.sysconf("SC_CLK_TCK")
