"""Types that several threads decode are known to msgspec before: 0.22 crashes otherwise."""

from __future__ import annotations

import subprocess
import sys

import pytest

USES = {
    "facts of devices that answer at once": (
        "from dreamvla_edge.deploy import probe\n"
        "from dreamvla_edge.deploy.facts import decode\n"
        "found = msgspec.json.encode(probe.probe())\n"
        "def use():\n    decode(found)\n"
    ),
    "the arm of two cameras of a scene": (
        "from dreamvla_edge.runtime.arms.description import load_description\n"
        "def use():\n    load_description('so101')\n"
    ),
}
WATCH = """
looked_at = []
def watch(frame, event, argument):
    if event == "call" and frame.f_code.co_name == "get_class_annotations":
        looked_at.append(frame.f_code.co_filename)
sys.setprofile(watch)
use()
sys.setprofile(None)
print(looked_at)
"""


FRESH = """
class Fresh(msgspec.Struct):
    number: int
def use():
    msgspec.json.decode(b'{"number": 1}', type=Fresh)
"""


def test_what_the_watch_sees() -> None:
    """A type that nobody has used is taken apart by the function that is watched."""
    program = "import sys, msgspec\n" + FRESH + WATCH
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "msgspec" in done.stdout


@pytest.mark.parametrize("use", USES)
def test_nothing_is_left_to_look_at(use: str) -> None:
    """The first use takes no type apart; msgspec does that by a function that is watched."""
    program = "import sys, msgspec\n" + USES[use] + WATCH
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")
