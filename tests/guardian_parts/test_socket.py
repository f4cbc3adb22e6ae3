"""Server and client over a real socket."""

from __future__ import annotations

import multiprocessing
import os
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from dreamvla_edge.runtime.errors import GuardianError
from dreamvla_edge.runtime.guardian.client import Client
from dreamvla_edge.runtime.guardian.message import Command, Order, Waypoint, encode, new_report
from dreamvla_edge.runtime.guardian.server import Received, Server

WAY = (Waypoint(1, np.zeros(5), 0.5),)
DRIVING = Command(Order.WAYPOINTS, 1, 1, WAY)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the server listens."""
    return tmp_path / "of" / "arm.socket"


@pytest.fixture
def server(path: Path) -> Iterator[Server]:
    """Of an arm with five joints."""
    with closing(Server(path, 5)) as server:
        yield server


def orders(received: Received) -> list[Order]:
    """What came."""
    return [command.order for command in received.commands]


def report(cycle: int = 0) -> bytes:
    """A report with a number."""
    record = new_report()
    record["cycle"], record["reason"] = cycle, b"as it was"
    return record.tobytes()


def test_the_socket_is_its_users_own(server: Server, path: Path) -> None:
    """Nobody else may even look into the folder."""
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    server.close()
    assert not path.exists()


def test_orders_come_in_the_order_they_were_sent(server: Server, path: Path) -> None:
    """Waypoints of whoever drives; the rest of anybody."""
    with Client(path, Order.DRIVE) as policy, Client(path) as person:
        policy.send(DRIVING)
        policy.send(Command(Order.HOLD))
        person.send(Command(Order.STOP, reason="enough"))
        received = server.receive()
        assert orders(received) == [Order.WAYPOINTS, Order.HOLD, Order.STOP]
        assert received.commands[2].reason == "enough"
        assert not received.policy_gone and received.refused == ()


def test_who_only_watches_cannot_drive(server: Server, path: Path) -> None:
    """Its waypoints are refused, and it stays connected."""
    with Client(path) as person:
        person.send(DRIVING)
        received = server.receive()
        assert orders(received) == []
        assert received.refused == ("waypoints from a client that does not drive",)
        server.send(report(7))
        assert person.report()["cycle"] == 7


def test_a_second_policy_is_refused_with_the_reason(server: Server, path: Path) -> None:
    """And with nothing else of what it sent; the first one goes on."""
    with Client(path, Order.DRIVE) as first, Client(path, Order.DRIVE) as second:
        second.send(Command(Order.END))
        received = server.receive()
        assert received.refused == ("another policy drives already",)
        assert orders(received) == [] and not received.policy_gone
        with pytest.raises(GuardianError, match="another policy drives already"):
            for _ in range(3):
                second.reports(1.0)
        first.send(DRIVING)
        assert orders(server.receive()) == [Order.WAYPOINTS]


@pytest.mark.parametrize("driving", [True, False])
def test_a_client_that_goes_is_noticed(server: Server, path: Path, driving: bool) -> None:
    """Only of the policy that is worth telling; then another one may drive."""
    client = Client(path, Order.DRIVE if driving else Order.WATCH)
    assert not server.receive().policy_gone
    client.close()
    assert server.receive().policy_gone is driving
    assert not server.receive().policy_gone
    with Client(path, Order.DRIVE) as following:
        following.send(DRIVING)
        assert orders(server.receive()) == [Order.WAYPOINTS]


def _be_a_policy(path: Path) -> None:
    client = Client(path, Order.DRIVE)
    client.send(DRIVING)
    time.sleep(60)
    client.close()


def test_a_policy_that_is_killed_is_noticed(server: Server, path: Path) -> None:
    """By the kernel's end of file, at once, after what it had sent."""
    process = multiprocessing.get_context("fork").Process(target=_be_a_policy, args=(path,))
    process.start()
    while not (received := server.receive()).commands:
        time.sleep(0.001)
    assert not received.policy_gone
    process.kill()
    process.join()
    assert server.receive().policy_gone


def test_a_guardian_that_ends_is_noticed(server: Server, path: Path) -> None:
    """With its last word."""
    with Client(path, Order.DRIVE) as client:
        server.receive()
        server.send(report())
        server.close()
        assert len(client.reports(1.0)) == 1
        for act in (lambda: client.reports(1.0), lambda: client.send(DRIVING)):
            with pytest.raises(GuardianError, match="the guardian has ended: as it was"):
                act()
    with pytest.raises(GuardianError, match="no guardian listens"):
        Client(path)


def test_a_flood_delays_only_itself(server: Server, path: Path) -> None:
    """A bounded number is taken at a time; a person's stop is among the first."""
    with Client(path, Order.DRIVE) as flood, Client(path) as person:
        sent = 0
        with pytest.raises(GuardianError, match="takes no commands"):
            while sent < 100_000:
                flood.send(DRIVING)
                sent += 1
        person.send(Command(Order.STOP))
        first = orders(server.receive())
        assert Order.STOP in first and len(first) <= 10
        taken = len(first) - 1
        while got := orders(server.receive()):
            taken += len(got)
            assert len(got) <= 10
        assert taken == sent


def test_who_does_not_read_blocks_nobody(server: Server, path: Path) -> None:
    """It misses reports; the others get every one."""
    with Client(path), Client(path) as reader:
        server.receive()
        got = 0
        for cycle in range(3000):
            server.send(report(cycle))
            for packet in reader.reports():
                assert int.from_bytes(packet[8:16], "little") == got
                got += 1
        assert got == 3000


@pytest.mark.parametrize(
    "data", [b"x", b"x" * 5000, encode(DRIVING)[:-1], encode(DRIVING) + b"\0", b"DVGC" * 342]
)
def test_nonsense_is_refused(server: Server, path: Path, data: bytes) -> None:
    """And what follows from the same client is taken."""
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)) as raw:
        raw.connect(str(path))
        raw.send(data)
        raw.send(encode(Command(Order.STOP)))
        received = server.receive()
        assert orders(received) == [Order.STOP] and len(received.refused) == 1


def test_a_crowd(server: Server, path: Path) -> None:
    """Sixteen are served, the rest is turned away; when some go, others may come."""
    crowd = []
    for _ in range(20):
        crowd.append(Client(path))
        server.receive()
    server.send(report())
    assert sum(bool(_quietly(client)) for client in crowd) == 16
    for client in crowd:
        client.close()
    server.receive()
    with Client(path) as late:
        server.receive()
        server.send(report(3))
        assert late.report()["cycle"] == 3


def _quietly(client: Client) -> list[bytes]:
    try:
        return client.reports(0.05)
    except GuardianError:
        return []


def test_a_socket_file_left_behind_is_replaced(path: Path) -> None:
    """Of a guardian that was killed."""
    path.parent.mkdir()
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)) as dead:
        dead.bind(str(path))
    with pytest.raises(GuardianError, match="no guardian listens"):
        Client(path)
    with closing(Server(path, 5)) as server, Client(path) as client:
        client.send(Command(Order.STOP))
        assert orders(server.receive()) == [Order.STOP]


def test_memory_and_descriptors_do_not_grow(server: Server, path: Path) -> None:
    """A thousand clients, one after the other."""
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(1000):
        with Client(path, Order.DRIVE):
            server.receive()
        server.receive()
    assert len(os.listdir("/proc/self/fd")) == before


def test_silence_is_an_error_for_who_waits_for_a_report(server: Server, path: Path) -> None:
    """After the time that was given."""
    with Client(path) as client, pytest.raises(GuardianError, match="silent for 0.05 s"):
        client.report(0.05)
