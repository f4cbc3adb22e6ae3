"""Signals that come while an arm is told to hold."""

from __future__ import annotations

import signal

import pytest

from dreamvla_edge.runtime.interrupts import held_back


def test_a_ctrl_c_waits_until_the_body_is_done() -> None:
    """The body ends as if nothing had happened; then the interrupt is raised."""
    steps = []
    with pytest.raises(KeyboardInterrupt), held_back():
        signal.raise_signal(signal.SIGINT)
        steps.append("after the first")
        signal.raise_signal(signal.SIGINT)
        steps.append("after the second")
    assert steps == ["after the first", "after the second"]


def test_the_handlers_are_put_back() -> None:
    """Afterwards Ctrl-C works as before."""
    before = signal.getsignal(signal.SIGINT)
    with held_back():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before
