"""Faults on command, in the words of PX4's failure injection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from dreamvla_edge.sim.protocol import Answer

Packet = Callable[[Answer], bytes]
Sent = tuple[tuple[float, bytes], ...]
"""What is sent instead of an answer: how much later [s], bytes."""
Effect = Callable[[Answer, Packet, float, Random], Sent]


def _garbage(answer: Answer, packet: Packet, amount: float, random: Random) -> Sent:
    """Random bytes instead of the packet, before it or after it, or one of its bytes is random."""
    frame = packet(answer)
    if random.random() >= amount:
        return ((0.0, frame),)
    noise, at = random.randbytes(random.randint(1, len(frame))), random.randrange(len(frame))
    broken = frame[:at] + bytes([frame[at] ^ random.randint(1, 255)]) + frame[at + 1 :]
    return ((0.0, random.choice((noise, noise + frame, frame + noise, broken))),)


def _value(answer: Answer, packet: Packet, random: Random) -> bytes:
    """One byte of the data is another one; without data, the error byte is."""
    if not answer.data:
        return packet(answer._replace(error=answer.error ^ 1 << random.randrange(6)))
    data = bytearray(answer.data)
    data[random.randrange(len(data))] ^= random.randint(1, 255)
    return packet(answer._replace(data=bytes(data)))


def _sum(answer: Answer, packet: Packet, random: Random) -> bytes:
    """Two bytes of the data change so that their sum stays: the 8-bit checksum cannot tell."""
    if len(answer.data) < 2:
        return _value(answer, packet, random)
    data, change = bytearray(answer.data), random.randint(1, 255)
    first, second = random.sample(range(len(data)), 2)
    data[first] = (data[first] + change) % 256
    data[second] = (data[second] - change) % 256
    return packet(answer._replace(data=bytes(data)))


def _id(answer: Answer, packet: Packet, random: Random) -> bytes:
    """Another servo seems to answer."""
    return packet(answer._replace(id=(answer.id + random.randint(1, 5)) % 253))


def _twice(answer: Answer, packet: Packet, random: Random) -> bytes:
    """The same answer once more."""
    return packet(answer) * 2


_WRONG = {"wrong-value": _value, "wrong-sum": _sum, "wrong-id": _id, "wrong-twice": _twice}


def _wrong(kind: str) -> Effect:
    def effect(answer: Answer, packet: Packet, amount: float, random: Random) -> Sent:
        if random.random() >= amount:
            return ((0.0, packet(answer)),)
        change = _WRONG.get(kind) or random.choice(tuple(_WRONG.values()))
        return ((0.0, change(answer, packet, random)),)

    return effect


def _delayed(answer: Answer, packet: Packet, amount: float, random: Random) -> Sent:
    return ((amount, packet(answer)),)


def _intermittent(answer: Answer, packet: Packet, amount: float, random: Random) -> Sent:
    return () if random.random() < amount else ((0.0, packet(answer)),)


class FaultKind(NamedTuple):
    """A row of the table: the amount if none is given, its bounds, what becomes of an answer."""

    amount: float
    most: float
    effect: Effect | None = None


FAULTS: Mapping[str, FaultKind] = {
    "off": FaultKind(0.0, 0.0),
    "stuck": FaultKind(0.0, 0.0),
    "slow": FaultKind(0.1, 1.0),
    "garbage": FaultKind(1.0, 1.0, _garbage),
    **{kind: FaultKind(1.0, 1.0, _wrong(kind)) for kind in ("wrong", *_WRONG)},
    "delayed": FaultKind(0.1, 60.0, _delayed),
    "intermittent": FaultKind(0.5, 1.0, _intermittent),
}


@dataclass(frozen=True)
class Fault:
    """What is wrong with one servo (target: its id) or the whole bus (None).

    kind and amount:
    off: no power, which loses what is not in the EEPROM; stuck: the motor does not turn, and
    presses if its goal is elsewhere; slow: the fraction of its speed that the motor keeps, for the
    bus that of the baud rate (0.1); garbage: random bytes instead of an answer or around it, with
    this probability (1); wrong: valid packets with a changed value, two changes that keep the sum,
    another id, or twice, drawn for each answer, with this probability (1); each of these alone is
    wrong-value, wrong-sum, wrong-id, wrong-twice; delayed: answers come that much later [s] (0.1);
    intermittent: an answer is lost with this probability (0.5).
    Raises ValueError for an unknown kind or an amount outside its bounds.
    """

    kind: str
    target: int | None = None
    amount: float | None = None

    def __post_init__(self) -> None:
        """Checks kind and amount."""
        if self.kind not in FAULTS:
            raise ValueError(f"no fault {self.kind}; there are ok, {', '.join(FAULTS)}")
        most = FAULTS[self.kind].most
        if not 0 <= self.value <= most or (self.kind == "slow" and self.value == 0):
            raise ValueError(f"the amount of {self.kind} is {self.amount}, not within 0 to {most}")

    @property
    def value(self) -> float:
        """The amount, or what stands for it if none is given."""
        return FAULTS[self.kind].amount if self.amount is None else self.amount

    def apply(self, answer: Answer, packet: Packet, random: Random) -> Sent:
        """What is sent instead of an answer."""
        effect = FAULTS[self.kind].effect
        return effect(answer, packet, self.value, random) if effect else ((0.0, packet(answer)),)
