"""The files that an ONNX file reads its weights from, without the `onnx` package."""

from __future__ import annotations

import re

# In the file a location is a pair of strings (StringStringEntryProto): the tag of the key, its
# length, the key, the tag of the value, its length, the value. Names in our files never begin
# with this word, so whatever is written in another way was made to look different.
_KEY = re.compile(rb"(?<![\x20-\x7e])location", re.DOTALL)
_BEFORE, _AFTER = b"\n\x08", b"\x12"
_LONGEST = 127
"""A value's length then takes one byte."""


def locations(content: bytes) -> set[str]:
    """Every place outside of itself from which a model with this content may read.

    One that is not written as the `onnx` package writes it is returned as "?": not to be trusted.
    ONNX Runtime refuses places outside of the model's folder too, but not before version 1.24.
    """
    return {_location(content, match) for match in _KEY.finditer(content)}


def _location(content: bytes, match: re.Match[bytes]) -> str:
    start, end = match.span()
    length = content[end + 1] if len(content) > end + 1 else 0
    value = content[end + 2 : end + 2 + length]
    around = content[max(start - 2, 0) : start], content[end : end + 1]
    if around != (_BEFORE, _AFTER) or not 0 < length <= _LONGEST or len(value) < length:
        return "?"
    return value.decode(errors="replace")
