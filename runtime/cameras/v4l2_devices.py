"""Which cameras Linux knows, and what each can deliver (Video4Linux, linux/videodev2.h)."""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_CAPTURE, _DEVICE_CAPS = 0x1, 0x8000_0000
_BUFFER_TYPE_CAPTURE, _DISCRETE = 1, 1
# _IOR and _IOWR('V', number, struct), and the struct up to the fields read here.
_QUERYCAP, _CAPABILITY = 0x80685600, struct.Struct("16s32s32sIII12x")
_ENUM_FMT, _FORMAT = 0xC0405602, struct.Struct("III32sII12x")
_ENUM_FRAMESIZES, _SIZE = 0xC02C564A, struct.Struct("9I8x")
_ENUM_FRAMEINTERVALS, _INTERVAL = 0xC034564B, struct.Struct("7I24x")


@dataclass(frozen=True)
class Mode:
    """One thing a camera can do. fps: rates, highest first; empty if it does not list them."""

    fourcc: str
    width: int
    height: int
    fps: tuple[float, ...]


@dataclass(frozen=True)
class Device:
    """path: the name to put into a robot file, the most lasting there is; node: /dev/videoN;
    card: as the maker calls it; modes: () of a device that this user may not open.
    """

    path: str
    node: str
    card: str
    modes: tuple[Mode, ...]
    problem: str = ""


def devices(root: Path = Path("/dev")) -> list[Device]:
    """All devices under root that capture pictures, in the order of their nodes.

    path is of v4l/by-path (the socket, which tells two equal cameras apart), else of v4l/by-id,
    else the node.
    """
    links: dict[Path, Path] = {}
    for folder in ("by-id", "by-path"):
        for link in sorted((root / "v4l" / folder).glob("*")):
            links[link.resolve()] = link
    nodes = sorted(root.glob("video[0-9]*"), key=lambda node: (len(node.name), node.name))
    found = (_device(node, links.get(node.resolve(), node)) for node in nodes)
    return [device for device in found if device is not None]


def _device(node: Path, path: Path) -> Device | None:
    """None for a device that captures none, such as the metadata of a UVC camera."""
    try:
        descriptor = os.open(node, os.O_RDWR | os.O_NONBLOCK)
    except OSError as error:
        return Device(str(path), str(node), "?", (), f"{error.strerror}: join the group `video`?")
    try:
        answer = _ask(descriptor, _QUERYCAP, _CAPABILITY)
        if answer is None:
            return None
        _, card, _, _, capabilities, here = answer
        if not (here if capabilities & _DEVICE_CAPS else capabilities) & _CAPTURE:
            return None
        name = card.rstrip(b"\0").decode(errors="replace")
        return Device(str(path), str(node), name, tuple(_modes(descriptor)))
    finally:
        os.close(descriptor)


def _modes(descriptor: int) -> Iterator[Mode]:
    for fmt in _enumerated(descriptor, _ENUM_FMT, _FORMAT, _BUFFER_TYPE_CAPTURE):
        code = fmt[4]
        fourcc = code.to_bytes(4, "little").decode("latin-1")
        for size in _enumerated(descriptor, _ENUM_FRAMESIZES, _SIZE, code):
            # Of a range, (least, most, step) of width and height, the largest size is named.
            width, height = size[3:5] if size[2] == _DISCRETE else (size[4], size[7])
            yield Mode(fourcc, width, height, _rates(descriptor, code, width, height))


def _rates(descriptor: int, code: int, width: int, height: int) -> tuple[float, ...]:
    intervals = _enumerated(descriptor, _ENUM_FRAMEINTERVALS, _INTERVAL, code, width, height)
    rates = {
        denominator / numerator
        for *_, kind, numerator, denominator in intervals
        if kind == _DISCRETE and numerator
    }
    return tuple(sorted(rates, reverse=True))


def _enumerated(
    descriptor: int, request: int, form: struct.Struct, *question: int
) -> Iterator[tuple[Any, ...]]:
    """Answers for index 0, 1, 2, … until there is none."""
    for index in range(1000):  # a broken driver must not keep us for ever
        answer = _ask(descriptor, request, form, index, *question)
        if answer is None:
            return
        yield answer


def _ask(
    descriptor: int, request: int, form: struct.Struct, *question: int
) -> tuple[Any, ...] | None:
    """One ioctl: a struct that begins with the words of the question; None if it is refused."""
    data = bytearray(form.size)
    struct.pack_into(f"{len(question)}I", data, 0, *question)
    try:
        fcntl.ioctl(descriptor, request, data)
    except OSError:
        return None
    return form.unpack(data)
