"""The guardian's own loop without a clock, a bus or a socket: hours of it in minutes.

`Guardian` runs unchanged, on a clock that moves by a period per cycle. The arm is a model of joints
that follow their goals, the policy sends good and bad chunks, faults begin and end at random, and
a person stops and clears. Every goal is compared with the limits when it is written.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import numpy as np

from dreamvla_edge.runtime.arms.arm import ArmReading, PortGone, ServoReading, SilentServos
from dreamvla_edge.runtime.arms.description import ArmDescription, load_description
from dreamvla_edge.runtime.guardian.guardian import Guardian
from dreamvla_edge.runtime.guardian.limits import limits_of
from dreamvla_edge.runtime.guardian.message import Command, Order, State, Waypoint, decode_report
from dreamvla_edge.runtime.guardian.server import Received
from dreamvla_edge.runtime.guardian.settings import Settings

PERIOD_S = 0.01
FOLLOWS_RAD_S = 4.8
CYCLES_PER_HOUR = 360_000
POLICY_CYCLES, CHUNK = 3, 3
STANDS_CYCLES = 25
"""Without a policy the goal stands after so many cycles: a chunk, and the way to a stand."""
EASES_CYCLES = 100
"""After a stall the goal goes back to where the arm is, for so long at most."""
FAULTS = ("silent", "gone", "nonsense", "overload", "hot", "blocked")
EVERY_CYCLES = 1000
"""One fault, or one word of a person, in so many cycles."""
BAD = 0.02
"""Share of chunks that are out of reach, no numbers, or stale."""
ROUNDING = 1e-9
LATCHED = (State.STOP, State.FAULT, State.LIMP)


class Clock:
    """Moves by a period per cycle."""

    def __init__(self) -> None:
        self.cycle = 0

    def monotonic(self) -> float:
        """[s]."""
        return 1.0 + self.cycle * PERIOD_S

    def monotonic_ns(self) -> int:
        """[ns]."""
        return round(self.monotonic() * 1e9)


class Joints:
    """In the place of an arm: joints that follow, and the judge of what is written to them."""

    def __init__(self, description: ArmDescription, clock: Clock, chance: random.Random) -> None:
        self.description, self._clock, self._random = description, clock, chance
        self._limits = limits_of(description)
        self.place = np.zeros(len(description.joints))
        self.goal, self.speed = self.place.copy(), np.zeros_like(self.place)
        self.fault, self.writes, self.opening, self.torque = "", 0, 0.5, False
        self.wrong: list[str] = []

    def identify(self) -> None:
        """Is the right one."""
        self._answer()

    def enable(self) -> None:
        """Goal := present."""
        self._answer()
        self.goal, self.speed = self.place.copy(), np.zeros_like(self.place)
        self.torque = True

    def release(self) -> None:
        """Torque off."""
        self._answer()
        self.torque = False

    def write(self, joints: Any, gripper: float) -> None:
        """Judges a goal: place, speed, acceleration, workspace."""
        limits, speed = self._limits, (joints - self.goal) / PERIOD_S
        change = np.abs(speed - self.speed) / PERIOD_S
        inside = (joints >= limits.lower - ROUNDING) & (joints <= limits.upper + ROUNDING)
        kept = {
            "torque": self.torque,
            "place": inside.all() and 0 <= gripper <= 1,
            "speed": (np.abs(speed) <= limits.velocity + 1e-6).all(),
            "acceleration": (change <= limits.stop_acceleration + 1e-4).all(),
        }
        if limits.box is not None:
            tool, (low, high) = limits.tool(joints), limits.box
            kept["workspace"] = (tool >= low - ROUNDING).all() and (tool <= high + ROUNDING).all()
        self.wrong += [f"{limit} was not kept" for limit, well in kept.items() if not well]
        self.goal, self.speed, self.opening = joints.copy(), speed, gripper
        self.writes += 1

    def read(self) -> ArmReading:
        """One cycle further."""
        self._answer()
        way = self.goal - self.place
        if self.torque and self.fault != "blocked":
            self.place = self.place + np.clip(way, *(FOLLOWS_RAD_S * PERIOD_S * np.array([-1, 1])))
        shown = self.place
        if self.fault == "nonsense":
            shown = self.place + [self._random.uniform(-3, 3) for _ in self.place]
        overloaded = ("overload",) if self.fault == "overload" else ()
        current_a = 2.0 if self.fault == "blocked" else 0.1
        servo = ServoReading(
            0.1, current_a, 12.0, 80.0 if self.fault == "hot" else 30.0, overloaded
        )
        return ArmReading(
            shown, way / PERIOD_S, self.opening, self._clock.monotonic(), (servo,) * (len(way) + 1)
        )

    def close(self) -> None:
        """The port is closed."""

    def _answer(self) -> None:
        if self.fault == "gone":
            raise PortGone("the port is gone", "a port", "plug it in")
        if self.fault == "silent":
            raise SilentServos((1,), "no answer", "an answer", "look")


class People:
    """In the place of the server: a policy that is not always good, and a person."""

    alone = False

    def __init__(self, joints: Joints, clock: Clock, chance: random.Random) -> None:
        self._joints, self._clock, self._random = joints, clock, chance
        self._number, self._silent_until, self.state = 0, 0, State.CONNECT
        self.fed, self.states, self.happened = 0, Counter[State](), Counter[str]()
        self._mend_at = self.cleared = self.lowered = 0

    def receive(self) -> Received:
        """What comes in before this cycle."""
        cycle, commands = self._clock.cycle, []
        if cycle == self._mend_at:
            self._joints.fault = ""
        if self._random.random() < 1 / EVERY_CYCLES:
            self._begin_fault()
        gone = False
        if self._random.random() < 1 / EVERY_CYCLES:
            word = self._random.choice((Order.STOP, Order.LOWER, Order.HOLD, None))
            self.happened[word.name if word is not None else "policy gone"] += 1
            gone = word is None
            self.lowered = cycle if word is Order.LOWER else self.lowered
            commands += [] if word is None else [Command(word, reason="chance")]
        if self.state in LATCHED and self._random.random() < 0.01:
            self.happened["CLEAR"] += 1
            self.cleared = cycle
            commands.append(Command(Order.CLEAR))
        if cycle >= self._silent_until and cycle % POLICY_CYCLES == 0:
            if self._random.random() < 1 / EVERY_CYCLES:
                self.happened["policy silent"] += 1
                self._silent_until = cycle + self._random.randrange(5, 100)
            commands.append(self._chunk())
        return Received(tuple(commands), gone)

    def send(self, report: bytes) -> None:
        """What the guardian says of this cycle."""
        record = decode_report(report)
        self.state = State(int(record["state"]))
        self.states[self.state] += 1

    def close(self) -> None:
        """Nobody listens any more."""

    def _begin_fault(self) -> None:
        self._joints.fault = self._random.choice(FAULTS)
        self.happened[self._joints.fault] += 1
        self._mend_at = self._clock.cycle + self._random.randrange(1, 200)

    def _chunk(self) -> Command:
        now_ns, self._number = self._clock.monotonic_ns(), self._number + 1
        turn = self._clock.monotonic() + np.arange(len(self._joints.place))
        bad = self._random.random() < BAD
        reach = self._random.choice((3.0, 0.4, np.nan)) if bad else 0.4
        late_ns = self._random.choice((0, 500_000_000)) if bad else 0
        self.fed = self._clock.cycle
        return Command(
            Order.WAYPOINTS,
            self._number,
            now_ns - 5_000_000 - late_ns,
            tuple(
                Waypoint(now_ns - late_ns + k * 33_000_000, reach * np.sin(turn + k / 30), 0.5)
                for k in range(1, CHUNK + 1)
            ),
        )


class LockStep:
    """A guardian in lock step; `run` it for so many cycles."""

    def __init__(self, arm: str, seed: int) -> None:
        chance, self.clock = random.Random(seed), Clock()
        description = load_description(arm)
        self.joints = Joints(description, self.clock, chance)
        self.people = People(self.joints, self.clock, chance)
        self._guardian = Guardian(
            description,
            limits_of(description),
            lambda: self.joints,
            self.people,
            Settings(),
            self.clock,
        )

    def run(self, cycles: int) -> None:
        """Raises AssertionError at the first goal or state that must not be."""
        joints, people = self.joints, self.people
        failed = self.clock.cycle
        for _ in range(cycles):
            before, writes, goal = people.state, joints.writes, joints.goal
            self.clock.cycle += 1
            self._guardian.cycle(self.clock.cycle, 0, self.clock.monotonic())
            assert not joints.wrong, joints.wrong
            if people.state is State.FAULT and before is not State.FAULT:
                failed = self.clock.cycle
            eases = people.state is State.FAULT and self.clock.cycle - failed <= EASES_CYCLES
            unfed = self.clock.cycle - people.fed > STANDS_CYCLES and not eases
            moved = joints.writes > writes and np.abs(joints.goal - goal).max() > ROUNDING
            # The cycle in which lowering ends belongs to it, also if it began in the same one.
            at_once = people.state is State.LIMP and people.lowered == self.clock.cycle
            lowers = at_once or State.LOWER in (before, people.state)
            if moved and unfed and not lowers:
                raise AssertionError(f"moves in {people.state.name}, nobody asks for it")
            if before in LATCHED and people.state not in (*LATCHED, State.LOWER):
                assert people.cleared == self.clock.cycle, f"{before.name} was not cleared"
