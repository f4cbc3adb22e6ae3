"""The guardian's end of its socket: never waits for anybody."""

from __future__ import annotations

import contextlib
import os
import select
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .message import COMMAND, Command, MessageError, Order, decode, new_report, with_reason

_BACKLOG = 8
_MOST_CLIENTS = 16
_BUFFER = 1 << 20
"""Reports that wait for a client to read them: some seconds [byte]."""
_MOST_COMMANDS = 8
"""Taken from one client per cycle: a client that floods the socket delays nobody but itself."""


@dataclass(frozen=True)
class Received:
    """What came in since the last cycle.

    commands: oldest first; policy_gone: the client that drove has closed or died; refused: why
    messages were not taken, for people.
    """

    commands: tuple[Command, ...] = ()
    policy_gone: bool = False
    refused: tuple[str, ...] = ()


_NOTHING = Received()


class Clients(Protocol):
    """Those who give orders and get reports: `Server`, or a simulation in the same process."""

    @property
    def alone(self) -> bool:
        """Whether nobody is connected."""

    def receive(self) -> Received:
        """What came in since the last cycle."""

    def send(self, report: bytes) -> None:
        """Gives everybody a report."""

    def close(self) -> None:
        """Ends all connections."""


class Server:
    """A Unix socket of packets, one message each; see `message.py`.

    path: of the socket; its folder is made for this user alone; joints: of the arm.
    """

    def __init__(self, path: Path, joints: int) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # of a guardian that was killed; the port is ours by now
        self._path, self._joints = path, joints
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        before = os.umask(0o177)
        try:
            self._socket.bind(str(path))
        finally:
            os.umask(before)
        self._socket.listen(_BACKLOG)
        self._socket.setblocking(False)
        self._ready = select.poll()
        self._ready.register(self._socket, select.POLLIN)
        self._clients: list[socket.socket] = []
        self._policy: socket.socket | None = None
        self._last = new_report().tobytes()

    @property
    def alone(self) -> bool:
        """Whether nobody is connected."""
        return not self._clients

    def receive(self) -> Received:
        """Takes what waits; only the policy's waypoints are taken, from one policy at a time."""
        ready = self._polled()
        if not ready:
            return _NOTHING
        if self._socket.fileno() in ready:
            self._accept()
            ready = self._polled()
        commands: list[Command] = []
        refused: list[str] = []
        policy_gone = False
        for client in tuple(c for c in self._clients if c.fileno() in ready):
            for data in self._packets(client):
                if not data:
                    policy_gone |= client is self._policy
                    self._drop(client)
                    break
                try:
                    command = decode(data, self._joints)
                except MessageError as error:
                    refused.append(str(error))
                    continue
                if command.order is Order.DRIVE:
                    if self._policy not in (None, client):
                        refused.append("another policy drives already")
                        self._give(client, with_reason(self._last, refused[-1]))
                        self._drop(client)
                        break
                    self._policy = client
                elif command.order is Order.WAYPOINTS and client is not self._policy:
                    refused.append("waypoints from a client that does not drive")
                elif command.order is not Order.WATCH:
                    commands.append(command)
        return Received(tuple(commands), policy_gone, tuple(refused))

    def send(self, report: bytes) -> None:
        """Gives every client a report; one that does not read misses it."""
        self._last = report
        for client in self._clients:
            self._give(client, report)

    def close(self) -> None:
        """Ends all connections."""
        for client in tuple(self._clients):
            self._drop(client)
        self._socket.close()
        self._path.unlink(missing_ok=True)

    def _polled(self) -> set[int]:
        """File numbers of those who have something to say."""
        return {number for number, _ in self._ready.poll(0)}

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # nobody waits, or has gone again, or no file is left
            for _ in range(_BACKLOG):
                client, _ = self._socket.accept()
                if len(self._clients) >= _MOST_CLIENTS:
                    client.close()
                    continue
                client.setblocking(False)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
                self._clients.append(client)
                self._ready.register(client, select.POLLIN)

    def _packets(self, client: socket.socket) -> list[bytes]:
        """Packets that wait, an empty one where the client has closed."""
        packets: list[bytes] = []
        for _ in range(_MOST_COMMANDS):
            try:
                # One byte more than a message: a longer packet must not look like one.
                packets.append(client.recv(COMMAND.itemsize + 1))
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                packets.append(b"")
            if not packets[-1]:
                break
        return packets

    def _give(self, client: socket.socket, report: bytes) -> None:
        with contextlib.suppress(OSError):  # full; or closed, which `receive` sees
            client.send(report, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)

    def _drop(self, client: socket.socket) -> None:
        if client is self._policy:
            self._policy = None
        if client in self._clients:
            self._clients.remove(client)
            self._ready.unregister(client)
        client.close()
