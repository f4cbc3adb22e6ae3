"""The guardian's loop: take orders, measure, judge, move within the limits, report."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping

import numpy as np

from dreamvla_edge.runtime.arms.arm import Arm, ArmReading
from dreamvla_edge.runtime.arms.description import ArmDescription
from dreamvla_edge.runtime.clock import Clock
from dreamvla_edge.runtime.errors import ArmError

from . import health
from .guarded_arm import AT_REST_RAD_S, BLIND_S, GuardedArm
from .limits import Array, Limits, Target
from .message import Command, Order, State
from .mover import Mover
from .plan import Plan, PlanError, make_plan
from .report import Cycle, report
from .schedule import Schedule
from .server import Clients
from .settings import RAMP_S, Settings
from .states import Event, after

LOWER_S = 10.0
"""The arm is limp after so long, at rest or not: what asked for it gets worse by waiting."""
ORPHAN_S = 30.0
"""A guardian without a port and without clients ends after so long."""
_AT_REST_RAD = 0.05
_STANDS = 0.003  # of the velocity limits in force
_SETTLE_S = 0.5  # so long it may take at most
_EASED_RAD = 0.002  # about a step of a servo's encoder
_POWERED = (State.HOLD, State.RAMP, State.TRACK)
_PERSONS = (Order.STOP, Order.LOWER, Order.CLEAR)


class Guardian:
    """Owns an arm until it is told to end.

    connect: opens the arm's port, anew after every fault; clock: of everything but `run`. Nothing
    that an arm, a client or a clock does ends the loop: it ends by `end` or an END, with the arm
    held or limp.
    """

    def __init__(
        self,
        description: ArmDescription,
        limits: Limits,
        connect: Callable[[], Arm],
        server: Clients,
        settings: Settings,
        clock: Clock = time,
    ) -> None:
        self._clock = clock
        self._limits, self._health = limits, description.limits
        self._names = (*(joint.name for joint in description.joints), "gripper")
        self._arm = GuardedArm(description, connect, clock)
        self._server, self._settings, self._rest = server, settings, settings.rest
        self._period_s = 1 / settings.rate_hz
        self._state, self._reason, self._since_s = State.CONNECT, "", clock.monotonic()
        self._history = health.History()
        self._plan: Plan | None = None
        self._pressed: Array | None = None
        self._sequence = self._observed_ns = 0
        self._mover = Mover(self._arm, limits, self._period_s, settings.shadow, clock)
        self._asked: Target | None = None
        self._ending = self._ended = self._over = False
        self._needed_s = clock.monotonic()
        self._act: Mapping[State, Callable[[float], None]] = {
            State.CONNECT: self._on_connect,
            State.IDENTIFY: self._on_identify,
            State.READ_POSE: self._on_read_pose,
            State.ENABLE: self._on_enable,
            State.HOLD: self._on_powered,
            State.RAMP: self._on_powered,
            State.TRACK: self._on_powered,
            State.STOP: self._on_powered,
            State.LOWER: self._on_lower,
            State.LIMP: self._on_limp,
            State.FAULT: self._on_fault,
        }

    def end(self) -> None:
        """Asks the loop to end with the arm held, or limp if the settings say so."""
        self._ending = True

    def run(self) -> None:
        """Cycles on the clock of this machine until it is over, then closes."""
        schedule = Schedule(time.monotonic(), self._period_s)
        tick = missed = 0
        try:
            while not self._over:
                deadline_s = schedule.deadline(tick)
                time.sleep(max(0.0, deadline_s - time.monotonic()))
                self.cycle(tick, missed, deadline_s)
                following = schedule.next_tick(tick, time.monotonic())
                missed += following - tick - 1
                tick = following
        finally:
            self.close()

    def close(self) -> None:
        """Gives the port and the socket back; torque stays as it is."""
        self._arm.close()
        self._server.close()

    def cycle(self, number: int, missed: int, deadline_s: float) -> None:
        """One control period, due at `deadline_s` [s]; missed: periods left out so far."""
        now_s = self._clock.monotonic()
        self._asked, self._arm.bus_ns = None, 0
        self._mover.begin()
        self._obey(now_s)
        try:
            self._act[self._state](now_s)
        except ArmError as error:
            self._halt(Event.FAULT, error.found, now_s)
        except Exception as error:  # a defect must not leave the arm without a guardian
            if self._state is not State.FAULT:
                traceback.print_exc()
            self._halt(Event.FAULT, f"a defect: {type(error).__name__}: {error}", now_s)
        if self._ending:
            self._finish(now_s)
        self._leave(now_s)
        self._server.send(
            report(
                Cycle(
                    number=number,
                    missed=missed,
                    deadline_s=deadline_s,
                    lateness_s=now_s - deadline_s,
                    state=self._state,
                    reason=self._reason,
                    reading=self._arm.believed,
                    motion=self._mover.motion,
                    asked=self._asked,
                    acted=self._mover.acted,
                    written=self._mover.written,
                    sent_ns=self._mover.sent_ns,
                    speed=self._speed(now_s),
                    realtime=self._settings.realtime,
                    sequence=self._sequence,
                    transactions=self._arm.transactions,
                    rejected=self._arm.rejected,
                    bus_ns=self._arm.bus_ns,
                )
            )
        )

    def _leave(self, now_s: float) -> None:
        """Ends a guardian that has neither an arm to guard nor anybody who asks for one."""
        if self._arm.is_open or not self._server.alone:
            self._needed_s = now_s
        elif now_s - self._needed_s > ORPHAN_S:
            self._over = True

    # Orders

    def _obey(self, now_s: float) -> None:
        received = self._server.receive()
        for command in received.commands:
            self._take(command, now_s)
        if received.policy_gone:
            self._halt(Event.WAYPOINTS_OUT, "the policy has gone", now_s)

    def _take(self, command: Command, now_s: float) -> None:
        if command.order is Order.WAYPOINTS:
            self._follow(command, now_s)
        elif command.order is Order.HOLD:
            self._halt(Event.WAYPOINTS_OUT, command.reason or "told to hold", now_s)
        elif command.order is Order.STOP:
            self._halt(Event.STOP, command.reason or "stopped by a person", now_s)
        elif command.order is Order.LOWER:
            self._halt(Event.LOWER, command.reason or "told to lower", now_s)
        elif command.order is Order.CLEAR:
            self._happen(Event.CLEAR, "cleared", now_s)
        elif command.order is Order.END:
            self._ending = True
        if command.order in _PERSONS:
            # What was seen before it is no reason to move after it.
            self._observed_ns = max(self._observed_ns, round(now_s * 1e9))

    def _follow(self, command: Command, now_s: float) -> None:
        """Takes waypoints that follow from something newer than the last ones did."""
        newer = self._observed_ns < command.observed_ns <= now_s * 1e9
        if self._ending or self._state not in _POWERED or not newer:
            return
        target = None if self._plan is None else self._plan.at(now_s)
        start = self._mover.motion.position if target is None else target.joints
        try:
            self._plan = make_plan(command.waypoints, now_s, start)
        except PlanError as error:
            self._reason = f"waypoints refused: {error}"
            return
        self._observed_ns, self._sequence = command.observed_ns, command.sequence
        self._happen(Event.WAYPOINTS, "", now_s)

    def _finish(self, now_s: float) -> None:
        """On the way to the end: the arm stands, or is limp, or cannot be reached.

        It is told once: a stop while it is lowered stays a stop.
        """
        if not self._ended:
            self._ended = True
            limp = self._settings.limp and not self._settings.shadow
            self._halt(Event.LOWER if limp else Event.WAYPOINTS_OUT, "ending", now_s)
        reached = self._arm.is_open and self._arm.blind_s(now_s) <= BLIND_S
        moving = reached and self._mover.moves
        self._over = self._state is State.LIMP or not (moving or self._state is State.LOWER)

    def _halt(self, event: Event, reason: str, now_s: float) -> None:
        self._plan = None
        self._happen(event, reason, now_s)

    def _happen(self, event: Event, reason: str, now_s: float) -> None:
        state = after(self._state, event)
        if state is not self._state:
            self._state, self._since_s, self._reason = state, now_s, reason

    # States: each raises ArmError when the arm fails

    def _on_connect(self, now_s: float) -> None:
        self._history = health.History()
        self._mover.forget()
        self._pressed = None
        self._arm.open()
        self._happen(Event.PORT_OPEN, "", now_s)

    def _on_identify(self, now_s: float) -> None:
        self._arm.identify()
        self._happen(Event.IDENTIFIED, "", now_s)

    def _on_read_pose(self, now_s: float) -> None:
        self._arm.read()
        place = self._arm.place
        if place is not None:
            if self._rest is None:
                self._rest = np.clip(place.joints, self._limits.lower, self._limits.upper)
            self._happen(Event.POSE_READ, "", now_s)

    def _on_enable(self, now_s: float) -> None:
        """Torque on, once; an arm that sank until then comes to rest before its place counts."""
        if not (self._settings.shadow or self._arm.enabled):
            self._arm.enable()
        self._arm.read()
        place = self._arm.place
        if place is not None and (place.stands or now_s - self._since_s > _SETTLE_S):
            self._mover.take_over(place)
            reason = "shadow: nothing is sent" if self._settings.shadow else "ready"
            self._happen(Event.TORQUE_ON, reason, now_s)

    def _on_powered(self, now_s: float) -> None:
        """HOLD, RAMP, TRACK and STOP."""
        reading = self._judged(now_s)
        if self._state is State.RAMP and now_s - self._since_s >= RAMP_S:
            self._happen(Event.RAMPED, "", now_s)
        if self._plan is not None:
            self._asked = self._plan.at(now_s)
            if self._asked is None:
                self._halt(Event.WAYPOINTS_OUT, "no waypoints left", now_s)
        blind = reading is None and self._arm.blind_s(now_s) > BLIND_S
        if self._asked is None or blind:
            self._mover.brake()
        else:
            self._mover.move(self._asked, self._speed(now_s))

    def _on_lower(self, now_s: float) -> None:
        reading = self._judged(now_s)
        if self._state is not State.LOWER or self._rest is None:
            self._mover.brake()
            return
        gripper = self._mover.motion.gripper
        self._asked = Target(self._rest, np.zeros_like(self._rest), gripper)
        self._mover.move(self._asked, self._speed(now_s))
        # A guardian that was held up finds the arm standing where its goal is still on its way.
        # One that slides along a wall gets slower and slower: nobody waits for the last of it.
        fastest = self._speed(now_s) * self._limits.velocity
        at_rest = (
            reading is not None
            and (np.abs(self._mover.motion.velocity) < _STANDS * fastest).all()
            and np.abs(reading.joints - self._rest).max() < _AT_REST_RAD
            and np.abs(reading.velocity).max() < AT_REST_RAD_S
        )
        if at_rest or now_s - self._since_s > LOWER_S:
            if not self._settings.shadow:
                self._arm.release()
            self._happen(Event.LOWERED, self._reason, now_s)

    def _on_limp(self, now_s: float) -> None:
        """Looks only; an arm without torque has nothing left to fail safely."""
        if self._arm.is_open:
            self._arm.read()

    def _on_fault(self, now_s: float) -> None:
        """Brakes, then sends nothing: the servos hold their last goal by themselves.

        A goal sent again after the arm has sagged would be a leap. One that presses against
        something is taken back to where the arm is. An arm that was never taken over is only
        looked at.
        """
        if not self._arm.is_open:
            return
        if not self._mover.has_arm:
            self._arm.read()
        elif self._judged(now_s) is not None:
            if self._pressed is not None:
                self._ease(self._pressed, now_s)
            elif self._mover.moves:
                self._mover.brake()

    def _ease(self, place: Array, now_s: float) -> None:
        """Takes the goal back to where the arm was when it stalled."""
        goal = self._mover.motion
        self._mover.move(Target(place, np.zeros_like(place), goal.gripper), self._speed(now_s))
        if np.abs(goal.position - place).max() < _EASED_RAD and not self._mover.moves:
            self._pressed = None

    def _judged(self, now_s: float) -> ArmReading | None:
        """A believed reading; what it says of the servos' health becomes an event."""
        reading = self._arm.read()
        if reading is not None:
            # Without torque there is no goal to differ from.
            shadow = self._settings.shadow
            sent = reading.joints if shadow else self._mover.motion.position
            verdict, self._history = health.judge(
                self._health, self._names, reading, sent, self._history
            )
            if verdict is not None:
                if verdict.presses and self._state is not State.FAULT:
                    self._pressed = reading.joints
                self._halt(Event.DROP if verdict.drop else Event.FAULT, verdict.text, now_s)
        return reading

    def _speed(self, now_s: float) -> float:
        """Share of the velocity limits in force."""
        return self._settings.share(self._state, now_s - self._since_s)
