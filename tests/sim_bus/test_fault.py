"""Every fault word, as a host at the other end of the serial device meets it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from dreamvla_edge.sim.fault import FAULTS, Fault
from dreamvla_edge.sim.virtual_bus import VirtualBus
from sim_bus.wire import PATIENT_S, Client, client, crc, dynamixel, feetech

READ_4 = feetech(4, 2, b"\x38\x02")  # the present position, 2300
GOOD_4 = bytes.fromhex("FFFF040400FC08F3")
READ_1 = feetech(1, 2, b"\x38\x02")
GOOD_1 = bytes.fromhex("FFFF010400D00723")
REPEAT = 40


@pytest.fixture
def host(virtual_bus: VirtualBus) -> Iterator[Client]:
    """A raw client."""
    with client(virtual_bus.port) as host:
        assert (host.ask(READ_4, 8), host.ask(READ_1, 8)) == (GOOD_4, GOOD_1)
        yield host


def answers(host: Client, first_s: float = PATIENT_S) -> list[bytes]:
    """What servo 4 says when asked many times; servo 1 is well all the time."""
    heard = [host.hear(READ_4, 0.02, first_s) for _ in range(REPEAT)]
    assert host.ask(READ_1, 8) == GOOD_1
    return heard


def is_valid(packet: bytes) -> bool:
    """A status with a good checksum."""
    return (
        packet[:2] == b"\xff\xff"
        and packet[3] == len(packet) - 4
        and sum(packet[2:]) & 0xFF == 0xFF
    )


def test_off_is_silence_and_forgets(virtual_bus: VirtualBus, host: Client) -> None:
    """The torque is gone, also when the power is back."""
    host.ask(feetech(4, 3, b"\x28\x01"), 6)
    virtual_bus.fault(Fault("off", 4))
    assert host.hear(READ_4) == b""
    assert host.ask(READ_1, 8) == GOOD_1
    virtual_bus.mend(4)
    assert host.ask(READ_4, 8) == GOOD_4
    assert virtual_bus.registers(4)[40] == 0


def test_the_whole_bus_off(virtual_bus: VirtualBus, host: Client) -> None:
    """Nobody answers; a servo's own fault stays when the bus is well again."""
    virtual_bus.fault(Fault("off", 4))
    virtual_bus.fault(Fault("off"))
    assert host.hear(feetech(0xFE, 1)) == b""
    virtual_bus.mend()
    assert [host.hear(READ_4), host.ask(READ_1, 8)] == [b"", GOOD_1]


def test_stuck_presses_instead_of_turning(virtual_bus: VirtualBus, host: Client) -> None:
    """The position stays, load and current rise with the goal."""
    virtual_bus.fault(Fault("stuck", 4))
    host.ask(feetech(4, 3, b"\x28\x01"), 6)
    host.ask(feetech(4, 3, b"\x2a" + (3000).to_bytes(2, "little")), 6)
    time.sleep(0.1)
    block = host.ask(feetech(4, 2, b"\x38\x0f"), 21)[5:-1]
    assert int.from_bytes(block[:2], "little") == 2300
    assert int.from_bytes(block[4:6], "little") == 1000
    assert int.from_bytes(block[13:15], "little") == round(2.7 / 0.0065)


def test_a_bus_on_which_all_motors_are_stuck(virtual_bus: VirtualBus, host: Client) -> None:
    """They answer, and turn again when it is over."""
    virtual_bus.fault(Fault("stuck"))
    for servo in (1, 4):
        host.ask(feetech(servo, 3, b"\x28\x01"), 6)
        host.ask(feetech(servo, 3, b"\x2a" + (2250).to_bytes(2, "little")), 6)
    time.sleep(0.1)
    assert (host.ask(READ_4, 8), host.ask(READ_1, 8)) == (GOOD_4, GOOD_1)
    virtual_bus.mend()
    start = time.monotonic()
    while (virtual_bus.position(1), virtual_bus.position(4)) != (2250, 2250):
        assert time.monotonic() - start < 30


def test_a_slow_motor(virtual_bus: VirtualBus, host: Client) -> None:
    """A hundredth of the speed, answers as fast as ever."""
    virtual_bus.fault(Fault("slow", 4, 0.01))
    host.ask(feetech(4, 3, b"\x28\x01"), 6)
    host.ask(feetech(4, 3, b"\x2a" + (3000).to_bytes(2, "little")), 6)
    time.sleep(0.1)
    start, before = time.monotonic(), virtual_bus.position(4)
    assert virtual_bus.servo(4).motor.speed == pytest.approx(31.4, rel=0.01)
    time.sleep(0.1)
    assert virtual_bus.position(4) - before <= 31.5 * (time.monotonic() - start)


def test_a_slow_bus(virtual_bus: VirtualBus, host: Client) -> None:
    """A hundredth of the baud rate: 16 bytes take 16 ms."""
    virtual_bus.fault(Fault("slow", None, 0.01))
    start = time.monotonic()
    assert host.ask(READ_4, 8) == GOOD_4
    assert time.monotonic() - start >= 16 * 10 / 10_000


def test_garbage(virtual_bus: VirtualBus, host: Client) -> None:
    """Random bytes around the packet, instead of it, or inside it."""
    virtual_bus.fault(Fault("garbage", 4))
    heard = answers(host)
    assert GOOD_4 not in heard
    assert any(GOOD_4 in one and not one.startswith(GOOD_4) for one in heard)
    assert any(one.startswith(GOOD_4) for one in heard)
    damaged = [one for one in heard if GOOD_4 not in one]
    assert not all(map(is_valid, damaged))
    changed = [sum(map(int.__ne__, one, GOOD_4)) for one in damaged if len(one) == 8]
    assert 1 in changed


@pytest.mark.parametrize("kind", ["wrong-value", "wrong-sum"])
def test_wrong_values_are_valid_packets(virtual_bus: VirtualBus, host: Client, kind: str) -> None:
    """wrong-sum keeps even the checksum byte."""
    virtual_bus.fault(Fault(kind, 4))
    heard = answers(host)
    assert all(is_valid(one) and one[:5] == GOOD_4[:5] for one in heard)
    assert all(one[5:7] != GOOD_4[5:7] for one in heard)
    assert all(one[7] == GOOD_4[7] for one in heard) == (kind == "wrong-sum")


def test_wrong_ids_and_copies(virtual_bus: VirtualBus, host: Client) -> None:
    """Somebody else answers, or the same servo twice."""
    virtual_bus.fault(Fault("wrong-id", 4))
    heard = answers(host)
    assert all(is_valid(one) and one[2] != 4 and one[3:7] == GOOD_4[3:7] for one in heard)
    virtual_bus.fault(Fault("wrong-twice", 4))
    assert set(answers(host)) == {GOOD_4 * 2}


def test_wrong_is_any_of_them(virtual_bus: VirtualBus, host: Client) -> None:
    """Valid, and never right; with a probability of a half, sometimes right."""
    virtual_bus.fault(Fault("wrong", 4))
    heard = answers(host)
    assert GOOD_4 not in heard
    assert GOOD_4 * 2 in heard
    assert any(one[2] != 4 for one in heard)
    assert any(one[:5] == GOOD_4[:5] and one[5:7] != GOOD_4[5:7] for one in heard)
    virtual_bus.fault(Fault("wrong", 4, 0.5))
    assert 5 < answers(host).count(GOOD_4) < 35


def test_delayed(virtual_bus: VirtualBus, host: Client) -> None:
    """The answer comes late and does not hold up the others."""
    virtual_bus.fault(Fault("delayed", 4, 0.3))
    start = time.monotonic()
    both = host.ask(feetech(0xFE, 0x82, b"\x38\x02\x04\x01"), 16)
    assert both == GOOD_1 + GOOD_4
    assert time.monotonic() - start >= 0.3


def test_intermittent(virtual_bus: VirtualBus, host: Client) -> None:
    """Each answer is lost with a probability, or comes whole; the bus's fault meets everybody."""
    virtual_bus.fault(Fault("intermittent", 4, 0.3))
    heard = answers(host, 0.1)
    assert set(heard) == {b"", GOOD_4}
    assert 2 < heard.count(b"") < 25
    virtual_bus.mend(4)
    virtual_bus.fault(Fault("intermittent", None, 1.0))
    assert [host.hear(READ_4), host.hear(READ_1)] == [b"", b""]


def test_faults_of_a_dynamixel_bus_pass_its_crc() -> None:
    """Wrong values are valid there too."""
    with (
        VirtualBus({1: 2000}, protocol="dynamixel") as bus,
        client(bus.port) as host,
    ):
        good = host.ask(dynamixel(1, 2, b"\x84\0\x04\0"), 15)
        for kind in ("wrong-value", "wrong-sum", "wrong-id"):
            bus.fault(Fault(kind, 1))
            wrong = host.ask(dynamixel(1, 2, b"\x84\0\x04\0"), 15)
            assert wrong != good
            assert crc(wrong[:-2]) == int.from_bytes(wrong[-2:], "little")


def test_the_same_seed_gives_the_same_faults() -> None:
    """And another one others."""
    heard = []
    for seed in (1, 1, 2):
        with VirtualBus({4: 2300}, seed=seed) as bus, client(bus.port) as host:
            bus.fault(Fault("wrong", 4))
            heard.append([host.hear(READ_4, 0.02, PATIENT_S) for _ in range(20)])
    assert heard[0] == heard[1] != heard[2]


@pytest.mark.parametrize(
    ("kind", "amount"),
    [("broken", None), ("slow", 0.0), ("slow", 2.0), ("intermittent", 1.1), ("delayed", -1.0)]
    + [("garbage", float("nan"))],
)
def test_what_is_no_fault(kind: str, amount: float | None) -> None:
    """Unknown words and amounts that mean nothing."""
    with pytest.raises(ValueError, match=kind):
        Fault(kind, 1, amount)


def test_a_fault_of_nobody(virtual_bus: VirtualBus) -> None:
    """It must not look as if it had begun."""
    with pytest.raises(KeyError):
        virtual_bus.fault(Fault("off", 9))


def test_the_table_has_every_word_of_px4() -> None:
    """`ok` ends a fault, so it is none."""
    assert set(FAULTS) >= {
        "off",
        "stuck",
        "garbage",
        "wrong",
        "slow",
        "delayed",
        "intermittent",
    }
