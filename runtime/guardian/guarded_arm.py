"""An arm whose readings are doubted and whose silence is measured."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

import numpy as np

from dreamvla_edge.runtime.arms.arm import Arm, ArmReading, PortGone, SilentServos
from dreamvla_edge.runtime.arms.description import ArmDescription
from dreamvla_edge.runtime.arms.steps import STEPS_PER_TURN, radians_from_steps
from dreamvla_edge.runtime.clock import Clock
from dreamvla_edge.runtime.errors import ArmError

from . import plausibility
from .limits import Array, Motion

BLIND_S, DEAD_S = 0.05, 0.15
"""Without a believed reading for so long the goal is braked; then the bus counts as dead."""
DEAD_READINGS = 5
"""So many questions must have failed too: a host that stood still has not asked any."""
_READINGS = 3  # one of them may be wrong in a way that could be true
_AGREE_RAD = 0.01  # what readings of an arm that stands differ by: half a dozen steps
AT_REST_RAD_S = 0.05
"""An arm whose joints are slower is at rest."""


@dataclass(frozen=True)
class Place:
    """Where an arm is: of each number the middle one of several readings.

    joints [rad]; gripper, 0 closed to 1 open; stands: whether it was there in all of them.
    """

    joints: Array
    gripper: float
    stands: bool


class GuardedArm:
    """Opens an arm, reads and writes it, and counts.

    connect: opens the port. enabled: whether `enable` came through since then; transactions: on
    the bus; rejected: readings that did not come or were not believed; bus_ns: time on the bus
    since it was last set to 0.
    Every method raises ArmError when the arm cannot be used any more.
    """

    def __init__(
        self, description: ArmDescription, connect: Callable[[], Arm], clock: Clock = time
    ) -> None:
        self._connect, self._clock = connect, clock
        ends = np.array(
            [
                [radians_from_steps(step, j.zero_step, j.direction) for step in (0, STEPS_PER_TURN)]
                for j in description.joints
            ]
        )
        self._turn: tuple[Array, Array] = (ends.min(axis=1), ends.max(axis=1))
        self._arm: Arm | None = None
        self._opened_s = 0.0
        self._failing = 0
        self._recent = deque[ArmReading](maxlen=_READINGS)
        self.believed: ArmReading | None = None
        self.enabled = False
        self.transactions = self.rejected = self.bus_ns = 0

    @property
    def is_open(self) -> bool:
        """Whether the port is open."""
        return self._arm is not None

    @property
    def place(self) -> Place | None:
        """Where the arm is, when the last three readings were all believed.

        One of them alone may be wrong by as much as the arm could have moved.
        """
        if len(self._recent) < _READINGS:
            return None
        joints = np.array([reading.joints for reading in self._recent])
        fastest = max(np.abs(reading.velocity).max() for reading in self._recent)
        return Place(
            joints=np.median(joints, axis=0),
            gripper=median(reading.gripper for reading in self._recent),
            stands=bool(fastest < AT_REST_RAD_S and np.ptp(joints, axis=0).max() < _AGREE_RAD),
        )

    def open(self) -> None:
        """Opens the port anew and forgets what was measured before."""
        self.close()
        self.believed, self._failing = None, 0
        self._recent.clear()
        self.enabled = False
        self._arm = self._connect()
        self._opened_s = self._clock.monotonic()

    def close(self) -> None:
        """Gives the port back; torque stays as it is."""
        if self._arm is not None:
            self._arm.close()
            self._arm = None

    def identify(self) -> None:
        """See `Arm.identify`."""
        with self._using() as arm:
            arm.identify()
        self._opened_s = self._clock.monotonic()

    def enable(self) -> None:
        """See `Arm.enable`."""
        with self._using() as arm:
            arm.enable()
        self.enabled = True
        self._recent.clear()  # what sank has another place now

    def release(self) -> None:
        """See `Arm.release`."""
        with self._using() as arm:
            arm.release()

    def write(self, motion: Motion) -> None:
        """Sends a goal."""
        with self._using() as arm:
            arm.write(motion.position, motion.gripper)

    def read(self) -> ArmReading | None:
        """A reading that is believed; None for one that is missing or cannot be true.

        Raises ArmError when there has been none for DEAD_S and DEAD_READINGS, with the last
        reason.
        """
        try:
            with self._using() as arm:
                reading = arm.read()
        except SilentServos as error:
            self._reject(error)
            return None
        doubt = plausibility.doubt(reading, self.believed, *self._turn)
        if doubt is not None:
            self._reject(
                ArmError(
                    f"readings that cannot be true: {doubt.text}",
                    "positions that follow from one another",
                    "check the cable and its screen; look at the servo that is named",
                )
            )
            return None
        self.believed, self._failing = reading, 0
        self._recent.append(reading)
        return reading

    def blind_s(self, now_s: float) -> float:
        """For how long nothing was believed [s]."""
        return now_s - (self._opened_s if self.believed is None else self.believed.stamp_s)

    def _reject(self, error: ArmError) -> None:
        self.rejected += 1
        self._failing += 1
        self._recent.clear()
        try:
            if self._failing >= DEAD_READINGS and self.blind_s(self._clock.monotonic()) > DEAD_S:
                raise error
        finally:
            # The error knows this frame, which knows the error: without garbage collection
            # such a pair would stay for ever, and a dead bus makes a hundred a second.
            del error

    @contextmanager
    def _using(self) -> Iterator[Arm]:
        """The open arm, timed; its port is closed when it turns out to be gone."""
        if self._arm is None:
            raise ArmError("the port is closed", "an open port", "clear the fault to open it anew")
        begin_ns = self._clock.monotonic_ns()
        self.transactions += 1
        try:
            yield self._arm
        except PortGone:
            self.close()
            raise
        finally:
            self.bus_ns += self._clock.monotonic_ns() - begin_ns
