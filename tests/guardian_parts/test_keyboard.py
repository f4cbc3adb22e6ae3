"""What keys mean."""

from __future__ import annotations

import os
import pty
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desk import until
from dreamvla_edge.cli.keyboard import Key, Keyboard, read_key


def typed(text: str) -> list[Key]:
    """Key by key."""
    line, keys = "", []
    for character in text:
        line, key = read_key(line, character)
        keys += [key] if key else []
    return keys


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        (" ", [Key("stop")]),
        ("   ", [Key("stop")] * 3),
        ("r\n", [Key("reset")]),
        ("c\r", [Key("clear")]),
        ("q\n", [Key("quit")]),
        ("open the drawer\n", [Key("instruct", "open the drawer")]),
        ("opem\x7fn\n", [Key("instruct", "open")]),
        ("opem\bn it \n", [Key("instruct", "open it")]),
        ("o\x7f \n", [Key("stop")]),  # an empty line again
        ("\n\r\n", []),
        ("r", []),
        ("\x7f\x7f", []),
        ("clos\x1b it\n", [Key("stop"), Key("stop"), Key("instruct", "it")]),
        ("öffne die Lade\n", [Key("instruct", "öffne die Lade")]),
        (" open\n c\n", [Key("stop"), Key("instruct", "open"), Key("stop"), Key("clear")]),
    ],
)
def test_keys(text: str, keys: list[Key]) -> None:
    """A space at the start of a line stops at once, Escape anywhere."""
    assert typed(text) == keys


@given(st.text())
def test_whatever_is_typed(text: str) -> None:
    """A space on an empty line always stops; an instruction is never empty or more than a line."""
    for key in typed(text + "\n"):
        assert (key.action == "instruct") == bool(key.text)
        assert key.text == key.text.strip() and "\n" not in key.text
    assert typed(text + "\n ")[-1] == Key("stop")


@pytest.mark.parametrize("before", [b"", b"lift it\ny\nq\nope", b"lift it\ny\n ", b"op\x1b"])
def test_what_was_typed_before(before: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a run is prepared: a stop is a stop, nothing else counts."""
    master, terminal = pty.openpty()
    stops: list[bool] = []
    keys: list[Key] = []
    with open(terminal) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        os.write(master, before)
        echo = before.replace(b"\n", b"\r\n").replace(b"\x1b", b"^[")
        while echo:  # then the terminal has it
            echo = echo.removeprefix(os.read(master, len(echo)))
        with Keyboard(lambda: stops.append(True), {"y": Key("verdict", "y")}) as keyboard:
            assert len(stops) == sum(before.count(key) for key in (b"\n ", b"\x1b"))
            stops.clear()
            os.write(master, b"yc\n\x1b")

            def heard() -> bool:
                keys.extend(keyboard.take())
                return len(keys) >= 3

            until(heard)
        assert keys == [Key("verdict", "y"), Key("clear"), Key("stop")] and stops == [True]
    os.close(master)
