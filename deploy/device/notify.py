"""What a service tells systemd: one datagram to the socket in $NOTIFY_SOCKET (sd_notify(3))."""

from __future__ import annotations

import os
import socket

READY, WATCHDOG, STOPPING = "READY=1", "WATCHDOG=1", "STOPPING=1"


def status(text: str) -> str:
    """A line for `systemctl status`."""
    return "STATUS=" + " ".join(text.split())


def notify(*lines: str) -> bool:
    """Sends lines; False where no systemd asked for them. Raises OSError if it cannot."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
        # An @ stands for the zero byte of a name that is in no file system.
        connection.connect("\0" + address[1:] if address[0] == "@" else address)
        connection.sendall("\n".join(lines).encode())
    return True
