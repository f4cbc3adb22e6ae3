"""What Dynamixel servos understand and answer (protocol 2.0), apart from the runtime's codec.

    instruction  FF FF FD 00 ID LEN_L LEN_H INST PARAMETER.. CRC_L CRC_H
    status       FF FF FD 00 ID LEN_L LEN_H 55 ERR DATA..    CRC_L CRC_H

LEN counts from INST to the CRC. Inside, FF FF FD is followed by one more FD. Understood: PING (also
broadcast), READ, WRITE, REG_WRITE, ACTION, REBOOT, SYNC_READ, SYNC_WRITE, BULK_READ, BULK_WRITE.
Other instructions get the error 2; a packet with a wrong CRC gets silence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dreamvla_edge.sim.dynamixel_servo import OUT_OF_RANGE, WRONG_INSTRUCTION, DynamixelServo
from dreamvla_edge.sim.protocol import Answer, Instruction, Protocol, Store
from dreamvla_edge.sim.servo import Servo

_PING, _READ, _WRITE, _REG_WRITE, _ACTION, _REBOOT = 1, 2, 3, 4, 5, 8
_SYNC_READ, _SYNC_WRITE, _BULK_READ, _BULK_WRITE = 0x82, 0x83, 0x92, 0x93
_STATUS = 0x55
_BROADCAST = 0xFE
_HEADER = b"\xff\xff\xfd\x00"
_LONGEST = 1024
_XL330_M288 = 1200


def crc16(data: bytes) -> int:
    """CRC-16/BUYPASS: polynomial 8005, from 0, highest bit first."""
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x8005 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


def take_instructions(received: bytearray) -> Iterator[Instruction]:
    """Takes the complete instruction packets out of a buffer."""
    while (start := received.find(_HEADER)) >= 0:
        del received[:start]
        if len(received) < 7:
            return  # more will follow
        size = 7 + int.from_bytes(received[5:7], "little")
        if not 10 <= size <= _LONGEST:
            del received[:1]
            continue
        if len(received) < size:
            return
        packet = bytes(received[:size])
        whole = crc16(packet[:-2]) == int.from_bytes(packet[-2:], "little")
        is_ours = whole and packet[7] != _STATUS
        del received[: size if whole else 1]
        if is_ours:
            body = packet[7:-2].replace(b"\xff\xff\xfd\xfd", b"\xff\xff\xfd")
            yield Instruction(packet[4], body[0], body[1:])
    del received[:-3]  # the last bytes may begin a packet


def execute(instruction: Instruction, servos: Sequence[Servo], store: Store) -> Iterator[Answer]:
    """Does what a packet says; the answers in the order of the wire."""
    target, code, parameters = instruction
    addressed = [s for s in servos if target in (s.id, _BROADCAST)]
    if code in (_SYNC_READ, _SYNC_WRITE, _BULK_READ, _BULK_WRITE):
        yield from _execute_many(code, parameters, servos, store)
        return
    for servo in sorted(addressed, key=lambda servo: servo.id):
        servo.silent_s = 0.0
        error, data = _execute_one(servo, code, parameters, store)
        level = 0 if code == _PING else 1 if code == _READ else 2
        is_heard = target != _BROADCAST or code == _PING
        if is_heard and servo.status_level >= level:
            yield Answer(servo, servo.id, servo.error | error, data)
        if code == _REBOOT:
            servo.restart()


def _execute_one(servo: Servo, code: int, parameters: bytes, store: Store) -> tuple[int, bytes]:
    """Error number and data of one servo's answer."""
    address, rest = int.from_bytes(parameters[:2], "little"), parameters[2:]
    if code == _PING:
        return 0, servo.read(0, 2) + servo.read(6, 1)
    if code == _READ and len(rest) == 2:
        size = int.from_bytes(rest, "little")
        data = servo.read(address, size)
        return (0, data) if len(data) == size else (OUT_OF_RANGE, b"")
    if code == _WRITE and len(parameters) > 2:
        return store(servo, address, rest), b""
    if code == _REG_WRITE and len(parameters) > 2:
        servo.registered = address, rest
        return 0, b""
    if code == _ACTION:
        waiting, servo.registered = servo.registered, None
        return (store(servo, *waiting) if waiting else 0), b""
    return (0 if code == _REBOOT else WRONG_INSTRUCTION), b""


def _execute_many(
    code: int, parameters: bytes, servos: Sequence[Servo], store: Store
) -> Iterator[Answer]:
    """The instructions that name several servos."""
    for wanted, address, size, data in _parts(code, parameters):
        for servo in servos:
            if servo.id != wanted:
                continue
            servo.silent_s = 0.0
            if code in (_SYNC_WRITE, _BULK_WRITE):
                store(servo, address, data)
            elif servo.status_level >= 1:
                yield Answer(servo, wanted, servo.error, servo.read(address, size))


def _parts(code: int, parameters: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Servo id, address, size and data, for each servo named."""
    if code in (_SYNC_READ, _SYNC_WRITE):
        address, size = (int.from_bytes(parameters[at : at + 2], "little") for at in (0, 2))
        stride = 1 + (size if code == _SYNC_WRITE else 0)
        for at in range(4, len(parameters) - stride + 1, stride):
            yield parameters[at], address, size, parameters[at + 1 : at + stride]
        return
    at = 0
    while at + 5 <= len(parameters):
        servo = parameters[at]
        address, size = (int.from_bytes(parameters[at + n : at + n + 2], "little") for n in (1, 3))
        at += 5
        data = parameters[at : at + size] if code == _BULK_WRITE else b""
        at += len(data)
        yield servo, address, size, data


def status_packet(answer: Answer) -> bytes:
    """What a servo answers, on the wire."""
    body = bytes([_STATUS, answer.error]) + answer.data
    body = body.replace(b"\xff\xff\xfd", b"\xff\xff\xfd\xfd")
    packet = _HEADER + bytes([answer.id]) + (len(body) + 2).to_bytes(2, "little") + body
    return packet + crc16(packet).to_bytes(2, "little")


DYNAMIXEL = Protocol(DynamixelServo, _XL330_M288, take_instructions, execute, status_packet)
