"""What Feetech servos understand and answer, written down apart from the runtime's codec.

    instruction  FF FF ID LEN INST PARAMETER.. CK      LEN = parameters + 2
    status       FF FF ID LEN ERR  DATA..      CK      LEN = data bytes + 2

PING (also broadcast), READ, WRITE, REG_WRITE, ACTION, SYNC_READ and SYNC_WRITE are understood.
Other instructions, broken packets and unknown ids get silence, as from real servos.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dreamvla_edge.sim.feetech_servo import MODEL, FeetechServo
from dreamvla_edge.sim.protocol import Answer, Instruction, Protocol, Store
from dreamvla_edge.sim.servo import Servo

_PING, _READ, _WRITE, _REG_WRITE, _ACTION = 1, 2, 3, 4, 5
_SYNC_READ, _SYNC_WRITE = 0x82, 0x83
_BROADCAST = 0xFE
_WRITE_LEVEL = 2


def take_instructions(received: bytearray) -> Iterator[Instruction]:
    """Takes the complete instruction packets out of a buffer."""
    while (start := received.find(b"\xff\xff")) >= 0:
        del received[:start]
        size = 4 + received[3] if len(received) > 3 else 6
        if len(received) < size:
            return  # more will follow
        packet = bytes(received[:size])
        whole = size >= 6 and packet[2] != 0xFF and sum(packet[2:]) & 0xFF == 0xFF
        del received[: size if whole else 1]
        if whole:
            yield Instruction(packet[2], packet[4], packet[5:-1])
    del received[:-1]  # the last byte may begin a packet


def execute(instruction: Instruction, servos: Sequence[Servo], store: Store) -> Iterator[Answer]:
    """Does what a packet says; the answers in the order of the wire."""
    target, code, parameters = instruction
    alone = [s for s in servos if s.id == target]
    addressed = servos if target == _BROADCAST else alone
    if code == _PING:
        yield from (_answer(servo) for servo in addressed)
    elif code == _READ and len(parameters) == 2:
        yield from (_answer(servo, servo.read(*parameters)) for servo in alone)
    elif code in (_WRITE, _REG_WRITE) and parameters:
        for servo in addressed:
            if code == _WRITE:
                store(servo, parameters[0], parameters[1:])
            else:
                servo.registered = parameters[0], parameters[1:]
            if target != _BROADCAST and servo.status_level >= _WRITE_LEVEL:
                yield _answer(servo)
    elif code == _ACTION:
        for servo in addressed:
            if servo.registered:
                store(servo, *servo.registered)
                servo.registered = None
            if target != _BROADCAST and servo.status_level >= _WRITE_LEVEL:
                yield _answer(servo)
    elif code == _SYNC_READ and len(parameters) >= 2:
        for wanted in parameters[2:]:
            for servo in servos:
                if servo.id == wanted:
                    yield _answer(servo, servo.read(parameters[0], parameters[1]))
    elif code == _SYNC_WRITE and len(parameters) >= 2:
        address, stride = parameters[0], parameters[1] + 1
        for start in range(2, len(parameters) - stride + 1, stride):
            for servo in servos:
                if servo.id == parameters[start]:
                    store(servo, address, parameters[start + 1 : start + stride])


def status_packet(answer: Answer) -> bytes:
    """What a servo answers, on the wire."""
    body = bytes([answer.id, len(answer.data) + 2, answer.error, *answer.data])
    return b"\xff\xff" + body + bytes([255 - sum(body) % 256])


def _answer(servo: Servo, data: bytes = b"") -> Answer:
    return Answer(servo, servo.id, servo.error, data)


FEETECH = Protocol(FeetechServo, MODEL, take_instructions, execute, status_packet)
