"""Writes CLIP's byte-pair encoding as a `tokenizer.json`.

`vocabulary/clip_merges.txt.gz` holds the first 48,895 lines (a heading and all 48,894 merges that
CLIP uses) of OpenAI's `bpe_simple_vocab_16e6.txt`, unchanged; MIT licence beside it.
"""

from __future__ import annotations

import gzip
from pathlib import Path

from dreamvla_edge.runtime.tokenizer import END_TEXT, START_TEXT

MERGES = Path(__file__).parent / "vocabulary" / "clip_merges.txt.gz"

WORD_END = "</w>"
"""Marks the last piece of a word."""

WORDS = r"(?i)'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"
"""What counts as a word: English endings, letters, one digit, or a run of other characters."""


def write_tokenizer(path: str | Path) -> None:
    """Write the file that `runtime.tokenizer.Tokenizer` reads; the same bytes every time."""
    from tokenizers import Regex, Tokenizer
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split

    merges = clip_merges()
    encoding = Tokenizer(
        BPE(
            vocab={piece: number for number, piece in enumerate(_pieces(merges))},
            merges=merges,
            continuing_subword_prefix="",
            end_of_word_suffix=WORD_END,
        )
    )
    encoding.pre_tokenizer = Sequence(
        [
            Split(Regex(WORDS), behavior="removed", invert=True),
            ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    Path(path).write_text(encoding.to_str(), encoding="utf-8")


def clip_merges() -> list[tuple[str, str]]:
    """The 48,894 pairs of pieces that are joined, the most frequent first."""
    lines = gzip.decompress(MERGES.read_bytes()).decode("utf-8").splitlines()
    pairs = [line.split(" ") for line in lines[1:]]
    return [(left, right) for left, right in pairs]


def byte_letters() -> list[str]:
    """The 256 letters that stand for bytes in the merges, in the order of their token numbers.

    Printable Latin-1 characters stand for themselves; the other bytes take the letters from
    U+0100 on, so that no piece holds a space or a control character (the scheme of GPT-2).
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = 256 - len(printable)
    return [chr(code) for code in (*printable, *range(0x100, 0x100 + others))]


def _pieces(merges: list[tuple[str, str]]) -> list[str]:
    """All pieces in the order of their token numbers."""
    letters = byte_letters()
    return [
        *letters,
        *(letter + WORD_END for letter in letters),
        *(left + right for left, right in merges),
        START_TEXT,
        END_TEXT,
    ]
