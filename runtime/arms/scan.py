"""Which servos are on a serial port: everybody is asked who is there. Nothing is changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import NamedTuple

from dreamvla_edge.runtime.arms import dynamixel, feetech
from dreamvla_edge.runtime.arms.description import ArmDescription
from dreamvla_edge.runtime.arms.port import Port
from dreamvla_edge.runtime.arms.status import HIGHEST_ID

BROADCAST_S = 0.8
"""Both kinds answer a broadcast one after another, up to 3 ms per id [s]."""
USUAL_IDS = range(1, 9)
"""Asked again one by one: of answers to a broadcast that collide on the wire, none arrives."""
_ATTEMPTS = 2


class Kind(NamedTuple):
    """How to look for the servos of one protocol.

    bauds: to be tried, the likeliest first [bit/s]; firmware: the registers that make up its
    version; names: of models by their numbers.
    """

    codec: ModuleType
    bauds: tuple[int, ...]
    firmware: tuple[str, ...]
    names: Mapping[int, str]


KINDS: Mapping[str, Kind] = {
    "feetech": Kind(
        feetech,
        (1_000_000, 500_000, 115_200),
        ("firmware_major", "firmware_minor"),
        {777: "STS3215", 2825: "STS3250", 11272: "SM8512BL"},
    ),
    "dynamixel": Kind(
        dynamixel,
        (1_000_000, 57_600, 2_000_000, 3_000_000, 4_000_000, 115_200),
        ("firmware",),
        {number: model.name for number, model in dynamixel.MODELS.items()},
    ),
}


@dataclass(frozen=True)
class FoundServo:
    """A servo that answered; what it did not tell is None.

    name: what its maker calls the model, empty if unknown; voltage_v: of its supply [V].
    """

    protocol: str
    baud: int
    servo: int
    model: int | None
    name: str
    firmware: str | None
    voltage_v: float | None


def scan(port: str, protocol: str, bauds: Sequence[int] = ()) -> tuple[FoundServo, ...]:
    """The servos of one protocol on a port, by id, from the first baud at which any answers.

    bauds: to be tried [bit/s], those of KINDS if none are given. Raises ArmError if the port
    cannot be opened, naming the program that uses it.
    """
    kind = KINDS[protocol]
    for baud in bauds or kind.bauds:
        link = Port(port, baud)
        try:
            servos = _present(link, kind)
            found = tuple(_described(link, kind, protocol, baud, servo) for servo in servos)
        finally:
            link.close()
        if found:
            return found
    return ()


def fits(description: ArmDescription, found: Sequence[FoundServo]) -> bool:
    """Whether all servos of an arm are among those found, with their models."""
    models = {servo.servo: servo.model for servo in found}
    return all(models.get(servo) == model for servo, model in description.models.items())


def _present(link: Port, kind: Kind) -> list[int]:
    """Ids that answer."""
    codec = kind.codec
    everybody = range(HIGHEST_ID + 1)
    scanner = codec.StatusParser(codec.PING_DATA_BYTES)
    found = set(link.ask(codec.ping(codec.BROADCAST), scanner, everybody, BROADCAST_S))
    for servo in [servo for servo in USUAL_IDS if servo not in found]:
        scanner = codec.StatusParser(codec.PING_DATA_BYTES)
        found |= set(link.ask(codec.ping(servo), scanner, [servo], _wait_s(link)))
    return sorted(found)


def _described(link: Port, kind: Kind, protocol: str, baud: int, servo: int) -> FoundServo:
    model = _register(link, kind, servo, "model")
    voltage = _register(link, kind, servo, "present_voltage")
    firmware = [_register(link, kind, servo, name) for name in kind.firmware]
    return FoundServo(
        protocol,
        baud,
        servo,
        model,
        "" if model is None else kind.names.get(model, ""),
        None if None in firmware else ".".join(map(str, firmware)),
        None if voltage is None else voltage / 10,
    )


def _register(link: Port, kind: Kind, servo: int, name: str) -> int | None:
    table = kind.codec.TABLE
    address, size = table.block(name, name)
    for _ in range(_ATTEMPTS):
        request, scanner = kind.codec.read(servo, address, size), kind.codec.StatusParser(size)
        answer = link.ask(request, scanner, [servo], _wait_s(link)).get(servo)
        if answer is not None:
            value: int = table.decode(name, answer.data)
            return value
    return None


def _wait_s(link: Port) -> float:
    """For one answer [s]: at the slowest baud, the bytes themselves take 5 ms."""
    return link.latency_s() + 0.02
