"""An error that goes back over the connection."""

from __future__ import annotations


class Refusal(Exception):
    """A step that cannot be done: what was found, what was expected, what to do."""

    def __init__(self, found: str, expected: str, cure: str) -> None:
        super().__init__(found)
        self.found, self.expected, self.cure = found, expected, cure

    def document(self) -> dict[str, str]:
        """For JSON."""
        return {"found": self.found, "expected": self.expected, "cure": self.cure}
