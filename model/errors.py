"""The one error of reading a checkpoint."""

from __future__ import annotations


class CheckpointError(Exception):
    """A checkpoint cannot be read, or is not the network that `model` holds.

    found, expected, cure: what the file shows, what it should show and what to do about it, each
    without a trailing full stop.
    """

    def __init__(self, found: str, expected: str, cure: str) -> None:
        super().__init__(f"{found}\n  expected: {expected}\n  what to do: {cure}")
        self.found, self.expected, self.cure = found, expected, cure
