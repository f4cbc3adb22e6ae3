"""Keys while an arm moves: a line is an instruction, some keys act at once."""

from __future__ import annotations

import contextlib
import os
import queue
import select
import sys
import termios
import threading
import tty
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

KEYS = "type an instruction; space, Esc: stop; r Enter: reset; c Enter: clear; q Enter: quit"


class Key(NamedTuple):
    """What a person asked for; text: of an instruction."""

    action: Literal["stop", "reset", "clear", "quit", "instruct", "verdict"]
    text: str = ""


_WORDS: dict[str, Key] = {"r": Key("reset"), "c": Key("clear"), "q": Key("quit")}


def read_key(
    line: str, character: str, at_once: Mapping[str, Key] | None = None
) -> tuple[str, Key | None]:
    """The line after one more character, and what it means if it is complete.

    at_once: keys that need no Enter where no line has begun.

    A space stops at once when it comes first: it is the largest key, and nobody must aim. Escape
    stops always, and so does every key that sends more than a character.
    """
    if character == "\x1b":
        return "", Key("stop")
    if character in "\r\n":
        text = line.strip()
        return "", _WORDS.get(text, Key("instruct", text)) if text else None
    if not line and at_once and character in at_once:
        return "", at_once[character]
    if character in "\x7f\b":
        return line[:-1], None
    if character == " " and not line:
        return "", Key("stop")
    return (line + character if character.isprintable() else line), None


def has_keys() -> bool:
    """Whether there is a terminal, and it may be read.

    In the background of a shell, touching it would suspend the run.
    """
    if sys.stdin is None or not sys.stdin.isatty():
        return False
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except OSError:  # a terminal, but not the one that controls this process
        return True


class Keyboard:
    """Reads the terminal in a thread; without a terminal there are no keys.

    stop: called in that thread when the stop key is pressed: it waits for nobody. at_once: keys
    that need no Enter. line: what has been typed so far. Say which keys there are in the context:
    of what was typed before it, only stop counts.
    """

    def __init__(self, stop: Callable[[], None], at_once: Mapping[str, Key] | None = None) -> None:
        self.line, self._stop, self._at_once = "", stop, at_once
        self._keys: queue.SimpleQueue[Key] = queue.SimpleQueue()
        self._terminal = has_keys()
        self._ended = threading.Event()

    def __enter__(self) -> Keyboard:
        """Takes the terminal: characters come at once and are not echoed."""
        if self._terminal:
            self._before = termios.tcgetattr(sys.stdin)
            tty.setcbreak(sys.stdin, termios.TCSADRAIN)  # a flush would drop a stop
            while select.select([sys.stdin], [], [], 0)[0] and (typed := self._read()):
                self._type(typed)
            self.line = ""
            self.take()
            self._thread = threading.Thread(target=self._run, name="keyboard", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Gives the terminal back as it was."""
        if self._terminal:
            self._ended.set()
            self._thread.join()
            with contextlib.suppress(termios.error):  # it may be gone
                termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._before)

    def take(self) -> list[Key]:
        """The keys since the last call."""
        keys = []
        while not self._keys.empty():
            keys.append(self._keys.get())
        return keys

    def _run(self) -> None:
        while not self._ended.is_set():
            if not select.select([sys.stdin], [], [], 0.1)[0]:
                continue
            typed = self._read()
            if not typed:  # the terminal is gone: SIGHUP ends the run
                return
            self._type(typed)

    def _read(self) -> bytes:
        try:
            return os.read(sys.stdin.fileno(), 1024)
        except OSError:
            return b""

    def _type(self, typed: bytes) -> None:
        for character in typed.decode(errors="ignore"):
            self.line, key = read_key(self.line, character, self._at_once)
            if key is not None and key.action == "stop":
                self._stop()
            if key is not None:
                self._keys.put(key)
