"""The servos on one wire: what bytes make of them, and when their answers are complete."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import NamedTuple

from dreamvla_edge.sim.dynamixel_bus import DYNAMIXEL
from dreamvla_edge.sim.fault import FAULTS, Fault
from dreamvla_edge.sim.feetech_bus import FEETECH
from dreamvla_edge.sim.plant import Plant, PlantMotor
from dreamvla_edge.sim.protocol import Answer, Protocol, Write
from dreamvla_edge.sim.servo import Servo

PROTOCOLS: Mapping[str, Protocol] = {"feetech": FEETECH, "dynamixel": DYNAMIXEL}

_BITS_PER_BYTE = 10  # a start bit and a stop bit around eight


class Sent(NamedTuple):
    """Bytes for the host: when they are there [s], and whether a fault makes them late."""

    due_s: float
    packet: bytes
    late: bool


class ServoChain:
    """Servos by their id at the start, in a time that its owner gives: no clock, no I/O.

    positions: servo id -> position at the start [step]; baud [bit/s]; protocol: a key of
    PROTOCOLS; models: servo id -> model number; seed: of the faults; now_s: the time at the start;
    written: told of every write that reached a servo. Times are monotonic [s].
    """

    def __init__(
        self,
        positions: Mapping[int, int],
        baud: int,
        protocol: str,
        models: Mapping[int, int],
        seed: int,
        now_s: float,
        written: Callable[[Write], None],
    ) -> None:
        self._protocol, self._baud, self._written = PROTOCOLS[protocol], baud, written
        self.servos: Mapping[int, Servo] = {
            servo: self._protocol.servo(servo, at, now_s, models.get(servo, self._protocol.model))
            for servo, at in positions.items()
        }
        self._plant: Plant | None = None
        self._received = bytearray()
        self._faults: dict[int | None, Fault] = {}
        self._random = Random(seed)
        self._free_s = now_s  # when the wire carries nothing any more

    def couple(self, plant: Plant) -> None:
        """From now on the servos turn the joints of a plant, not motors without a load."""
        self._plant = plant
        for number, servo in self.servos.items():
            servo.motor = PlantMotor(servo.motor, plant, number)

    def advance(self, now_s: float) -> None:
        """Brings all servos up to a time."""
        if self._plant is not None:
            for number, servo in self.servos.items():
                self._plant.drive(number, servo.drive)
            self._plant.advance(now_s)
        for servo in self.servos.values():
            servo.advance(now_s)

    def fault(self, fault: Fault, now_s: float) -> None:
        """Begins a fault, which takes the place of an earlier one of the same target.

        Raises KeyError if there is no such servo.
        """
        if fault.target is not None:
            self.servos[fault.target]
        self._faults[fault.target] = fault
        self._apply_faults(now_s)

    def mend(self, target: int | None, now_s: float) -> None:
        """Ends the fault of a servo, or that of the bus (None)."""
        self._faults.pop(target, None)
        self._apply_faults(now_s)

    def forget(self) -> None:
        """What was received so far is no beginning of anything."""
        self._received.clear()

    def receive(self, data: bytes, now_s: float) -> tuple[bool, list[Sent]]:
        """Bytes of the host, at a time; whether an instruction was complete, and the answers.

        Bytes take their time on the wire, then answers follow, each at its absolute time.
        """
        asked, sent = False, list[Sent]()
        self._free_s = now_s + self._wire_s(data)
        self._received += data
        for instruction in self._protocol.instructions(self._received):
            self.advance(now_s)
            powered = [servo for servo in self.servos.values() if servo.powered]

            def store(servo: Servo, address: int, data: bytes) -> int:
                error = servo.write(address, data)
                self._written(Write(now_s, servo.id, address, data))
                return error

            # What is asked while answers are on their way talks over them: they are lost.
            asked, sent = True, [one for one in sent if one.late]
            for answer in self._protocol.execute(instruction, powered, store):
                sent += self._answer(answer)
        return asked, sent

    def _answer(self, answer: Answer) -> list[Sent]:
        """A packet, or what a fault makes of it."""
        self._free_s += answer.sender.return_delay_s
        sent = []
        for later_s, packet in self._faulty(answer):
            self._free_s += self._wire_s(packet)
            sent.append(Sent(self._free_s + later_s, packet, later_s > 0))
        return sent

    def _wire_s(self, data: bytes) -> float:
        bus = self._faults.get(None)
        fraction = bus.value if bus and bus.kind == "slow" else 1.0
        return len(data) * _BITS_PER_BYTE / (self._baud * fraction)

    def _faulty(self, answer: Answer) -> tuple[tuple[float, bytes], ...]:
        numbers = (n for n, servo in self.servos.items() if servo is answer.sender)
        for target in (*numbers, None):
            fault = self._faults.get(target)
            if fault and FAULTS[fault.kind].effect:
                return fault.apply(answer, self._protocol.status, self._random)
        return ((0.0, self._protocol.status(answer)),)

    def _apply_faults(self, now_s: float) -> None:
        """Brings power and motors in line with the faults there are."""
        bus = self._faults.get(None)
        self.advance(now_s)
        for number, servo in self.servos.items():
            own = self._faults.get(number)
            kinds = {fault.kind for fault in (own, bus) if fault}
            servo.power("off" not in kinds)
            servo.motor.stuck = "stuck" in kinds
            servo.motor.slowness = own.value if own and own.kind == "slow" else 1.0
