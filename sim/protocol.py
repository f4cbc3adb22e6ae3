"""How virtual servos understand bytes: one row per protocol, without I/O and clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from dreamvla_edge.sim.servo import Servo


class Instruction(NamedTuple):
    """A complete and valid packet of the host."""

    servo: int
    code: int
    parameters: bytes


class Answer(NamedTuple):
    """What one servo says: the sender, its id, its error byte, and data."""

    sender: Servo
    id: int
    error: int
    data: bytes


class Write(NamedTuple):
    """What a servo was told: monotonic time [s], id, first register, bytes."""

    stamp_s: float
    servo: int
    address: int
    data: bytes


Store = Callable[[Servo, int, bytes], int]
"""Writes data into a servo from an address on; the error number of a refusal, or 0."""


class Protocol(NamedTuple):
    """One way to talk to servos.

    servo: makes a servo of (id, position [step], monotonic time [s], model number).
    instructions: takes what is complete out of a buffer of received bytes.
    execute: does what an instruction says to the servos there are; their answers in order.
    status: the packet of an answer.
    """

    servo: Callable[[int, int, float, int], Servo]
    model: int
    instructions: Callable[[bytearray], Iterator[Instruction]]
    execute: Callable[[Instruction, Sequence[Servo], Store], Iterator[Answer]]
    status: Callable[[Answer], bytes]
