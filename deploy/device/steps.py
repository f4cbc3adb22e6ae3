"""What is done in a release's folder before anybody may rely on it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .journal import Journal
from .places import Places
from .refusal import Refusal
from .releases import COMPLETE, ENVIRONMENTS, relink, write
from .store import sha256

_GATE_ROBOT = """\
name = "latency gate"
[arm]
type = "{arm}"
port = "virtual"
[cameras.primary]
kind = "simulated"
[cameras.wrist]
kind = "simulated"
"""


class Steps:
    """One release's environment, engines and proofs.

    lock: descriptor of the flash's lock; what is started here holds it too, so that whatever
    outlives a killed flash is waited for by the next one.
    """

    def __init__(self, places: Places, release: str, journal: Journal, lock: int) -> None:
        self._places, self._release = places, release
        self._folder = places.release(release)
        self._journal, self._lock = journal, lock
        self._bundle = self._folder / "bundle"

    def environment(self, offline: bool, extra: str) -> None:
        """Links a virtual environment with the tool; made unless releases before had the same.

        Which it is follows from the wheels that came along, Python and `extra`, of the tool, to
        install or empty; what is complete is never changed. offline: from these wheels alone.
        """
        python = sys.version.split()[0]
        wheels = sorted((self._folder / "wheels").iterdir())
        content = [*(sha256(wheel) for wheel in wheels), python, extra, str(offline)]
        key = hashlib.sha256("\n".join(content).encode()).hexdigest()[:12]
        place = self._places.base / ENVIRONMENTS / key
        if not (place / COMPLETE).exists():
            self._make_environment(place, wheels, offline, extra)
        relink(self._folder / "venv", Path("..") / ".." / ENVIRONMENTS / key)
        self._journal.add("environment", self._release, python=python, environment=key)

    def _make_environment(
        self, place: Path, wheels: Sequence[Path], offline: bool, extra: str
    ) -> None:
        shutil.rmtree(place, ignore_errors=True)
        (tool,) = (wheel for wheel in wheels if wheel.name.startswith("dreamvla_edge-"))
        installers = [wheel for wheel in wheels if wheel.name.startswith("pip-")]
        make = [sys.executable, "-m", "venv", "--system-site-packages", str(place)]
        self._run(make + (["--without-pip"] if installers else []), "makes virtual environments")
        pip = [str(installers[-1] / "pip")] if installers else ["-m", "pip"]
        install = [str(place / "bin" / "python"), *pip, "install", "--no-input", "-q"]
        install += ["--disable-pip-version-check", "--find-links", str(tool.parent)]
        install += ["--no-index"] if offline else []
        self._run([*install, f"{tool}[{extra}]" if extra else str(tool)], "has what pip needs")
        os.sync()  # all that pip wrote, before it counts
        write(place / COMPLETE, b"")

    def backend(self, power_mode: str) -> dict[str, Any]:
        """Chooses what runs the graphs here and, for TensorRT, builds its engines.

        power_mode: of the Jetson now, for which they are built.
        """
        python = str(self._folder / "venv" / "bin" / "python")
        found = subprocess.run(
            [python, "-c", "import tensorrt; print(tensorrt.__version__)"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=str(self._folder),  # where Python looks first
        )
        tensorrt = found.stdout.strip() if found.returncode == 0 else ""
        name = "tensorrt" if tensorrt else "onnxruntime"
        if tensorrt:
            self._dreamvla("build", str(self._bundle))
        write(self._folder / "environment", f"DREAMVLA_BACKEND={name}\n".encode())
        self._journal.add(
            "backend", self._release, backend=name, tensorrt=tensorrt, power_mode=power_mode
        )
        return {"backend": name, "tensorrt": tensorrt}

    def verify(self, backend: str) -> dict[str, Any]:
        """Replays the golden data. Raises Refusal if a stage is out of tolerance."""
        told = self._dreamvla("verify", str(self._bundle), "--backend", backend)
        stages = told["stages"]
        worst = max(float(stage["error"]) for stage in stages)
        self._journal.add("verified", self._release, stages=len(stages), worst_error=worst)
        return {"stages": len(stages), "worst_error": worst}

    def gate(self, backend: str, budget_ms: float, arm: str, seconds: float) -> dict[str, Any]:
        """Times the policy behind its guardian on a virtual arm.

        budget_ms: what 95 % of the steps must not exceed. Raises Refusal if they do.
        """
        robot = self._folder / "gate.toml"
        write(robot, _GATE_ROBOT.format(arm=arm).encode())
        words = ["run", str(self._bundle), "--robot", str(robot), "--backend", backend, "--force"]
        words += ["--instruction", "take the block", "--seconds", str(seconds)]
        told = self._dreamvla(*words)
        step_ms, steps = told["step_ms"]["p95"], told["decisions"]
        self._journal.add("gated", self._release, p95_ms=step_ms, budget_ms=budget_ms, steps=steps)
        if step_ms is None or not float(step_ms) <= budget_ms:
            said = "no step ended in time" if step_ms is None else f"{float(step_ms):.1f} ms"
            raise Refusal(
                f"a policy step takes {said} here (95th percentile of {steps})",
                f"at most {budget_ms:g} ms (--budget-ms)",
                "a faster power mode, a quantized bundle or fewer sampler steps; nothing was"
                " switched",
            )
        return {"p95_ms": step_ms, "steps": steps}

    def motion(self, stop_arm: bool) -> dict[str, Any]:
        """What a guardian of this robot's arm does, whoever started it.

        Raises Refusal if it moves the arm and may not be stopped, or does not stop.
        """
        python = str(self._folder / "venv" / "bin" / "python")
        command = [python, "-m", "dreamvla_edge.deploy.motion", str(self._places.robot)]
        done = self._started(command + (["--stop"] if stop_arm else []), dict(os.environ))
        try:
            told: dict[str, Any] = json.loads(done.stdout)
        except ValueError:
            raise _failed("a look at the arm", done, "can look at its guardian") from None
        if told["moves"]:
            raise Refusal(
                f"the arm moves (its guardian is in {told['state']})",
                "an arm that nobody moves",
                "end `dreamvla run` on the device, or let --stop-arm stop the arm first",
            )
        return told

    def _dreamvla(self, *words: str) -> dict[str, Any]:
        """The JSON document of a command of this release's own tool. Raises Refusal."""
        environment = {
            **os.environ,
            "DREAMVLA_ENGINES": str(self._folder / "engines"),
            "NO_COLOR": "1",
        }
        command = [str(self._folder / "venv" / "bin" / "dreamvla"), *words, "--json"]
        done = self._started(command, environment)
        try:
            document: dict[str, Any] = json.loads(done.stdout)
        except ValueError:
            document = {}
        error = document.get("error")
        if error:
            raise Refusal(
                f"`dreamvla {words[0]}` on the device: {error['found']}",
                error["expected"],
                f"{error['cure']}; nothing was switched",
            )
        if done.returncode != 0 or not document:
            raise _failed(f"dreamvla {words[0]}", done, "works on the device")
        return document

    def _run(self, command: Sequence[str], does: str) -> None:
        done = self._started(command, dict(os.environ))
        if done.returncode != 0:
            raise _failed(" ".join(Path(word).name for word in command[:4]), done, does)

    def _started(
        self, command: Sequence[str], environment: dict[str, str]
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=environment,
            cwd=str(self._folder),
            pass_fds=(self._lock,),
        )


def _failed(what: str, done: subprocess.CompletedProcess[str], does: str) -> Refusal:
    lines: list[str] = (done.stderr or done.stdout).strip().splitlines()
    said = " | ".join(lines[-6:])[-700:] or "silently"
    if "No space left on device" in done.stderr + done.stdout:
        return Refusal(
            f"no space left on the device's disk ({what})",
            "room for the new release beside those that are kept",
            "free some space on the device, then flash again: it goes on where it was",
        )
    cure = "correct what it says, then flash again; nothing was switched"
    if "No matching distribution" in said or "Could not find a version" in said:
        cure = "carry the wheels along: `make wheelhouse`, then --offline --wheelhouse FOLDER"
    return Refusal(f"`{what}` failed ({done.returncode}): {said}", f"a device that {does}", cure)
