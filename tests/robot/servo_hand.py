"""A hand that moves the limp joints of a virtual arm from end to end."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from dreamvla_edge.runtime.arms.description import ArmDescription
from dreamvla_edge.runtime.arms.steps import STEP_RAD
from dreamvla_edge.sim.bus_process import BusProcess

_WEIGHT = 0.95  # of the most that a servo can hold: the hand is quick


def half_ranges(description: ArmDescription) -> dict[int, float]:
    """Servo → half of its range by the description [step]."""
    gripper = description.gripper
    halves = {j.servo: (j.upper_rad - j.lower_rad) / 2 / STEP_RAD for j in description.joints}
    return {**halves, gripper.servo: abs(gripper.open_step - gripper.closed_step) / 2}


def move_to_ends(bus: BusProcess, halves: dict[int, float], off: float) -> None:
    """Presses every joint against both ends, which lie `off` steps beside where it stands."""
    middles = {servo: float(bus.command(f"position {servo}")) for servo in halves}
    for side, seconds in ((1, 1.6), (-1, 2.8)):
        for servo, half in halves.items():
            end = middles[servo] + off + side * half
            low, high = sorted((end, end + side * 500))
            bus.command(f"obstacle {servo} {low} {high}")
            bus.command(f"gravity {servo} {-side * _WEIGHT}")
        time.sleep(seconds)
    for servo in halves:
        bus.command(f"gravity {servo} 0")
        bus.command(f"obstacle {servo}")


class Talk:
    """`dreamvla arm calibrate` and the person in front of it, over pipes."""

    def __init__(self, *arguments: object) -> None:
        command = [sys.executable, "-m", "dreamvla_edge.cli", "arm", "calibrate"]
        self.process = subprocess.Popen(
            [*command, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,  # what is read ahead would be missing at the end
        )

    def until(self, words: str) -> None:
        """Waits until it has said this. Raises AssertionError with all it said if it ends first."""
        assert self.process.stderr is not None
        said = b""
        while words.encode() not in said:
            byte = self.process.stderr.read(1)
            assert byte, said.decode()
            said += byte

    def type(self, text: str) -> None:
        """Types a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode() + b"\n")
        self.process.stdin.flush()

    def end(self) -> tuple[int, str, str]:
        """Exit code, and what it printed since."""
        out, error = self.process.communicate(timeout=120)
        return self.process.returncode, out.decode(), error.decode()


def calibrate_by_hand(
    bus: BusProcess, description: ArmDescription, robot: Path, *options: str, off: float
) -> Talk:
    """Plays the person up to the question; the talk then waits for the answer."""
    talk = Talk(robot, *options)
    talk.until("press Enter.\n")
    talk.type("")
    talk.until("then press Enter.\n")
    talk.type("")
    talk.until("then press Enter.\n")
    move_to_ends(bus, half_ranges(description), off)
    talk.type("")
    return talk
