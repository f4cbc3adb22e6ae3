"""From an instruction to the tokens of CLIP's text tower.

`tokenizer.json` (written by `export/tokenizer.py`) holds the byte-pair encoding; the cleaning
before it stands here because HTML entities cannot be expressed there. Equal to OpenAI's
`SimpleTokenizer` and `clip.tokenize`, except that `ftfy` is left out: it repairs wrongly decoded
text, straightens curly quotes and composes accents, and leaves clean ASCII text as it is. Type
such instructions as they were typed in training. Start and end markers inside an instruction
are refused.
"""

from __future__ import annotations

import html
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .errors import BundleError, ObservationError

CONTEXT = 77
"""Length of CLIP's token row, start and end included."""
START, START_TEXT = 49406, "<|startoftext|>"
END, END_TEXT = 49407, "<|endoftext|>"

# Unicode's White_Space, as the `regex` module of the original understands \s; Python's own \s
# would add the four separators U+001C to U+001F.
_SPACES = re.compile("[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")


class Tokenizer:
    """Tokens of an instruction, from a bundle's `tokenizer.json`.

    Raises BundleError if the file is missing, damaged or not CLIP's.
    """

    def __init__(self, path: str | Path) -> None:
        from tokenizers import Tokenizer as Encoding

        cure = "export the checkpoint again, or copy the whole bundle again"
        try:
            text = Path(path).read_text(encoding="utf-8")
            encoding = Encoding.from_str(text)
        except Exception as error:  # the `tokenizers` library raises bare Exception
            raise BundleError(
                f"{path} cannot be read: {error}", "a tokenizer.json of a bundle", cure
            ) from error
        found = encoding.token_to_id(START_TEXT), encoding.token_to_id(END_TEXT)
        if found != (START, END):
            raise BundleError(
                f"{path} has start and end tokens {found}", f"CLIP's {(START, END)}", cure
            )
        self._encoding = encoding

    def __call__(self, instruction: str) -> npt.NDArray[np.int32]:
        """The row (1, 77) int32: start, the instruction's tokens, end, zeros.

        Raises ObservationError if the instruction is not text, is empty or is too long.
        """
        tokens = self._encoding.encode(_cleaned(instruction), add_special_tokens=False).ids
        if len(tokens) > CONTEXT - 2:
            raise ObservationError(
                f"an instruction of {len(tokens)} tokens",
                f"at most {CONTEXT - 2} tokens, a word being one or two",
                "shorten the instruction",
            )
        row = np.zeros((1, CONTEXT), np.int32)
        row[0, : len(tokens) + 2] = [START, *tokens, END]
        return row


def _cleaned(instruction: str) -> str:
    cure = "give the task in words, as in the training data"
    if not isinstance(instruction, str):
        raise ObservationError(
            f"an instruction of type {type(instruction).__name__}", "a str", cure
        )
    if any("\ud800" <= character <= "\udfff" for character in instruction):
        raise ObservationError(
            "an instruction with a lone surrogate, which is half a character",
            "Unicode text",
            "decode the text with its own encoding before passing it on",
        )
    # Twice, as in the original: web captions are often escaped twice.
    text = html.unescape(html.unescape(instruction)).strip()
    text = _SPACES.sub(" ", text).strip().lower()
    if not text:
        raise ObservationError("an empty instruction", "at least one word", cure)
    if START_TEXT in text or END_TEXT in text:
        raise ObservationError(
            "an instruction that holds a start or end marker",
            f"plain text: the network would not read past {END_TEXT}",
            "remove the marker",
        )
    return text
