"""The virtual bus as a process of its own, so that it shares no interpreter with an inference.

    python -m dreamvla_edge.sim.bus_process --arm so101 [--link PATH] [--log FILE]
        [--usb-latency SECONDS] [--seed NUMBER] [--scene FAMILY:SEED --feed FILE]

With a scene the servos turn an arm on a table in which that task of that seed can be done (extra
[sim]), and the feed says where everything is (`scene_feed`), 100 times a second. Until a servo
first gives torque the arm stays at its rest, as if somebody held it.

The first line on stdout is the port to open: the link if there is one (it outlives `replug`), else
the device. Then every line on stdin is a command, answered by one line `ok ...` or `error ...`:

    fault bus|ID WORD [AMOUNT]   begin a fault (see `Fault`), or end it with the word ok
    set ID ADDRESS VALUE         one register byte; a measured one stays so until the power is off
    obstacle ID [LOW HIGH]       encoder steps that the motor cannot enter; without them it is gone
    gravity ID FRACTION          torque that holds the joint, as a fraction of the most; has a sign
    position ID                  answers `ok STEPS`, not rounded
    eeprom ID                    answers `ok NUMBER`: of writes that touched the EEPROM
    unplug, replug               the USB cable; answers of replug: `ok PORT`
    quit                         the end, as is the end of stdin

**The log** is a file of JSON objects, one a line, written as it happens by a thread that the servos
do not wait for: a process that is killed takes the lines of its last moment with it, whole ones.
"ns" is CLOCK_MONOTONIC [ns], never decreasing; it is followed by exactly one of

    {"ns": 1, "start": {"format": 1, "arm": "so101", "protocol": "feetech", "baud": 1000000,
                        "servos": [1, 2, 3, 4, 5, 6]}}
    {"ns": 2, "rx": "ffff010201fb"}
    {"ns": 3, "tx": "ffff010200fc"}
    {"ns": 4, "motion": {"1": [3.141593, 0.0], "2": [3.141593, -0.25]}}
    {"ns": 5, "event": "fault 3 stuck"}

- start: first line, once.
- rx: bytes from the host as they were read from the terminal: a packet may be cut over lines, and
  a line may hold several. The stamp is the reading, some 0.1 ms after the host wrote.
- tx: bytes to the host, stamped as soon as it can read them (it may have begun some 0.01 ms
  before). Bytes that were lost since nobody read are not logged.
- motion: where every motor really is [rad] and how fast it turns [rad/s], keyed by the servo's id
  at the start. The position is the one that a servo reports without rounding, in steps times
  2 pi / 4096: not the joint's angle, and a homing offset moves it. At least every 5 ms while
  anything moves, else at least every 50 ms, as far as the host schedules the process.
- event: a command from stdin that changed something, stamped when it had; as it was given.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from dreamvla_edge.runtime import fresh_python
from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.runtime.cores import keep_to_last_core
from dreamvla_edge.runtime.errors import ArmError
from dreamvla_edge.sim.bus_log import BusLog
from dreamvla_edge.sim.fault import Fault
from dreamvla_edge.sim.virtual_arm import virtual_arm
from dreamvla_edge.sim.virtual_bus import VirtualBus

_MODULE = "dreamvla_edge.sim.bus_process"
_PR_SET_TIMERSLACK = 29
_PRIORITY = 40  # real servos do not wait for the host's processor; granted to root only
_CLOSING_S = 5.0


class BusProcess:
    """A virtual arm in a process of its own.

        with BusProcess("so101", log=path) as bus:
            open_the_arm(bus.port)
            bus.command("fault 3 stuck")

    port: a link that stays through `replug`. The other arguments: as of the program.
    Raises RuntimeError if the process does not start; what it says is on stderr.
    """

    def __init__(
        self,
        arm: str,
        *,
        link: Path | None = None,
        log: Path | None = None,
        usb_latency_s: float = 0.0,
        seed: int = 0,
        scene: tuple[str, int] | None = None,
        feed: Path | None = None,
    ) -> None:
        self._folder = TemporaryDirectory(prefix="dreamvla-bus-")
        command = fresh_python.command(_MODULE, "--arm", arm, "--seed", seed)
        command += ["--link", str(link or Path(self._folder.name) / "arm")]
        command += ["--usb-latency", str(usb_latency_s)]
        if log is not None:
            command += ["--log", str(log)]
        if scene is not None:
            command += ["--scene", f"{scene[0]}:{scene[1]}", "--feed", str(feed)]
        # In a session of its own: Ctrl-C is meant for the program that drives the arm.
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            start_new_session=True,
        )
        self.port = self._answer()
        if not self.port:
            self.close()
            raise RuntimeError(f"{' '.join(command)} ended with {self.process.returncode}")

    def __enter__(self) -> BusProcess:
        """Is ready since it was made."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes."""
        self.close()

    def command(self, line: str) -> str:
        """Gives a command; what follows `ok`.

        Raises ValueError with what follows `error`, RuntimeError if the process has ended.
        """
        assert self.process.stdin is not None
        answer = ""
        with contextlib.suppress(BrokenPipeError, ValueError):
            self.process.stdin.write(line + "\n")
            answer = self._answer()
        word, _, rest = answer.partition(" ")
        if word == "error":
            raise ValueError(rest)
        if word != "ok":
            raise RuntimeError(f"the virtual bus on {self.port} has ended")
        return rest

    def close(self) -> None:
        """Ends the process."""
        assert self.process.stdin is not None and self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(_CLOSING_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self._folder.cleanup()

    def _answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program that the module's text describes; the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if (options.scene is None) != (options.feed is None):
        parser.error("--scene and --feed belong together")
    try:
        description = load_description(options.arm)
    except ArmError as error:
        parser.error(str(error))
    # The wire's pace is the product here: the kernel's usual 0.05 ms of slack per sleep is not.
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1000, 0, 0, 0)
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_PRIORITY))
        keep_to_last_core()  # the guardian's: the policy has the others, as beside real servos
    with contextlib.ExitStack() as stack:
        log = None
        if options.log is not None:
            servos = list(description.servos)
            log = stack.enter_context(
                BusLog(
                    options.log, description.name, description.protocol, description.baud, servos
                )
            )
        plant = None
        if options.scene is not None:
            from dreamvla_edge.sim.scene_plant import ScenePlant

            try:
                plant = ScenePlant(description, *options.scene)
            except KeyError as error:
                parser.error(f"no family of tasks is called {error}")
        bus = stack.enter_context(
            virtual_arm(
                description,
                usb_latency_s=options.usb_latency,
                link=options.link,
                seed=options.seed,
                log=log,
                kept_writes=0,  # nobody asks for them, and the process may run for days
                plant=plant,
            )
        )
        if plant is not None:
            stack.enter_context(plant.told(options.feed, bus.held))
        print(bus.port, flush=True)
        for line in sys.stdin:
            words = line.split()
            if words == ["quit"]:
                print("ok", flush=True)
                break
            print(answer(bus, words, log), flush=True)
    return 0


def answer(bus: VirtualBus, words: Sequence[str], log: BusLog | None = None) -> str:
    """Carries out a command and notes it in the log; the line that answers it."""
    line = " ".join(words)
    try:
        result = (COMMANDS | QUESTIONS)[words[0]](bus, *words[1:])
    except (KeyError, IndexError):
        return f"error {line or 'an empty line'} names no command or servo; see --help"
    except TypeError:
        return f"error {line} has too many or too few words; see --help"
    except (ValueError, OSError) as error:
        return f"error {error}"
    if log is not None and words[0] in COMMANDS:
        log.event(line)
    return f"ok {result}".rstrip()


def _fault(bus: VirtualBus, target: str, word: str, amount: str | None = None) -> str:
    servo = None if target == "bus" else int(target)
    if word == "ok":
        bus.mend(servo)
    else:
        bus.fault(Fault(word, servo, None if amount is None else float(amount)))
    return ""


def _set(bus: VirtualBus, servo: str, address: str, value: str) -> str:
    bus.set(int(servo), int(address), int(value))
    return ""


def _obstacle(bus: VirtualBus, servo: str, low: str = "", high: str = "") -> str:
    bus.obstruct(int(servo), (float(low), float(high)) if low else None)
    return ""


def _gravity(bus: VirtualBus, servo: str, fraction: str) -> str:
    bus.weigh(int(servo), float(fraction))
    return ""


def _unplug(bus: VirtualBus) -> str:
    bus.unplug()
    return ""


def _replug(bus: VirtualBus) -> str:
    bus.replug()
    return bus.port


COMMANDS: dict[str, Callable[..., str]] = {
    "fault": _fault,
    "set": _set,
    "obstacle": _obstacle,
    "gravity": _gravity,
    "unplug": _unplug,
    "replug": _replug,
}
QUESTIONS: dict[str, Callable[..., str]] = {
    "position": lambda bus, servo: repr(bus.position(int(servo))),
    "eeprom": lambda bus, servo: str(bus.servo(int(servo)).eeprom_writes),
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m {_MODULE}", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--arm", required=True, help="name of an arm, or a TOML file")
    parser.add_argument("--link", type=Path, help="a path that always leads to the device")
    parser.add_argument("--log", type=Path, help="file to write the log into")
    parser.add_argument("--usb-latency", type=float, default=0.0, help="of the adapter [s]")
    parser.add_argument("--seed", type=int, default=0, help="of the faults")
    parser.add_argument("--scene", type=_scene, metavar="FAMILY:SEED", help="a table to stand on")
    parser.add_argument("--feed", type=Path, help="file that says where everything is in it")
    return parser


def _scene(text: str) -> tuple[str, int]:
    family, _, seed = text.partition(":")
    return family, int(seed)


if __name__ == "__main__":
    sys.exit(main())
