"""Guardian, serial bytes, servos and scene on one clock that waits for nobody.

The guardian runs unchanged and every goal goes to the servos as bytes, but no process, terminal
or socket is between them: an episode is the same on every machine, and as fast as that is.
"""

from __future__ import annotations

from collections.abc import Sequence

from dreamvla_edge.runtime.arms import connect
from dreamvla_edge.runtime.arms.arm import ArmReading, PortGone
from dreamvla_edge.runtime.arms.status import Status, StatusScanner
from dreamvla_edge.runtime.guardian.guardian import Guardian
from dreamvla_edge.runtime.guardian.limits import limits_of
from dreamvla_edge.runtime.guardian.message import Command, State, decode_report, readable
from dreamvla_edge.runtime.guardian.report import reading_of
from dreamvla_edge.runtime.guardian.server import Received
from dreamvla_edge.runtime.guardian.settings import Settings
from dreamvla_edge.sim.protocol import Write
from dreamvla_edge.sim.scene.scene import Scene
from dreamvla_edge.sim.servo_chain import ServoChain


class StepClock:
    """Time that moves when it is told to."""

    def __init__(self) -> None:
        self.now_s = 1.0  # 0 stands for never in the messages

    def monotonic(self) -> float:
        """[s]."""
        return self.now_s

    def monotonic_ns(self) -> int:
        """[ns]."""
        return round(self.now_s * 1e9)


class MemoryLine:
    """A serial line to servos in this process; answers take no time but must be in time.

    gone: the cable is pulled; everything raises PortGone.
    """

    name = "lock step"

    def __init__(self, chain: ServoChain, clock: StepClock) -> None:
        self._chain, self._clock = chain, clock
        self.gone, self.last_sent_s = False, clock.monotonic()

    def now_s(self) -> float:
        """See `Line.now_s`."""
        return self._clock.monotonic()

    def latency_s(self) -> float:
        """See `Line.latency_s`: enough for what a fault delays a little."""
        return 0.004

    def send(self, packet: bytes) -> None:
        """See `Line.send`."""
        self._receive(packet)

    def ask(
        self, request: bytes, scanner: StatusScanner, servos: Sequence[int], wait_s: float
    ) -> dict[int, Status]:
        """See `Line.ask`."""
        found: dict[int, Status] = {}
        deadline_s = self._clock.monotonic() + wait_s
        for due_s, packet, _ in sorted(self._receive(request)):
            for status in scanner.feed(packet if due_s <= deadline_s else b""):
                if status.servo in servos:
                    found.setdefault(status.servo, status)
        return found

    def close(self) -> None:
        """See `Line.close`."""

    def _receive(self, packet: bytes) -> list[tuple[float, bytes, bool]]:
        if self.gone:
            raise PortGone("the virtual bus has stopped", "a bus that runs", "start it again")
        self.last_sent_s = self._clock.monotonic()
        return [*self._chain.receive(packet, self.last_sent_s)[1]]


class Desk:
    """Those who give the guardian orders, in this process; see `Clients`."""

    alone = False

    def __init__(self) -> None:
        self._orders: list[Command] = []
        self.report = b""

    def give(self, command: Command) -> None:
        """An order for the next cycle."""
        self._orders.append(command)

    def receive(self) -> Received:
        """See `Clients.receive`."""
        orders, self._orders = tuple(self._orders), []
        return Received(orders)

    def send(self, report: bytes) -> None:
        """See `Clients.send`; the newest is kept."""
        self.report = report

    def close(self) -> None:
        """See `Clients.close`."""


class LockStep:
    """An arm in a scene that is guarded, one control period per `cycle`.

    scene: reset before, and moved on by nobody else. line: its cable may be pulled. writes: how
    many writes reached the servos. Times are of `clock` [s].
    """

    def __init__(self, scene: Scene) -> None:
        description = scene.description
        self.clock, self.desk, self.writes = StepClock(), Desk(), 0
        scene.drop_servos()
        places = {servo: round(scene.turned(servo).position) for servo in description.servos}
        self._chain = ServoChain(
            places,
            description.baud,
            description.protocol,
            description.models,
            0,
            self.clock.monotonic(),
            self._count,
        )
        self._chain.couple(scene)
        self.line = MemoryLine(self._chain, self.clock)
        settings = Settings()
        self._period_s, self._start_s = 1 / settings.rate_hz, self.clock.monotonic()
        self._guardian = Guardian(
            description,
            limits_of(description),
            lambda: connect(description, self.line),
            self.desk,
            settings,
            self.clock,
        )
        self._number = 0

    @property
    def state(self) -> State:
        """Of the guardian."""
        return State(int(decode_report(self.desk.report)["state"]))

    @property
    def reason(self) -> str:
        """Of that state, for people."""
        return readable(decode_report(self.desk.report)["reason"])

    def reading(self) -> ArmReading:
        """What the guardian believes of the arm."""
        return reading_of(decode_report(self.desk.report))

    def cycle(self) -> None:
        """Physics up to the next period, then what the guardian does there."""
        self._number += 1
        self.clock.now_s = self._start_s + self._number * self._period_s
        self._chain.advance(self.clock.now_s)
        self._guardian.cycle(self._number, 0, self.clock.now_s)

    def run(self, duration_s: float) -> None:
        """So many cycles as last that long."""
        for _ in range(round(duration_s / self._period_s)):
            self.cycle()

    def _count(self, _: Write) -> None:
        self.writes += 1
