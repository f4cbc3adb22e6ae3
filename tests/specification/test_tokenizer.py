"""Instructions become the tokens that OpenAI's `SimpleTokenizer` gives."""

from __future__ import annotations

import gzip
import hashlib
import html
import itertools
import json
import unicodedata
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamvla_edge.export.tokenizer import MERGES, byte_letters, write_tokenizer
from dreamvla_edge.runtime.errors import BundleError, ObservationError
from dreamvla_edge.runtime.tokenizer import Tokenizer
from golden_cases import Golden


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A written tokenizer.json."""
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    write_tokenizer(path)
    return path


@pytest.fixture(scope="module")
def tokenizer(path: Path) -> Tokenizer:
    """The tokenizer of that file."""
    return Tokenizer(path)


@pytest.mark.parametrize("data_set", ["calvin", "libero"])
def test_tokens_are_those_of_the_released_code(
    golden: Golden, tokenizer: Tokenizer, data_set: str
) -> None:
    """Both instructions of both episodes."""
    tokens = np.concatenate([tokenizer(step.instruction) for step in golden.episode(data_set)])
    assert tokens.dtype == np.int32
    np.testing.assert_array_equal(tokens, golden.outputs(f"episode_{data_set}_small")["tokens"])


# ---- an independent byte-pair encoding, from the merges and the description alone --------------


@cache
def ranks() -> dict[tuple[str, str], int]:
    """Every pair of pieces that is joined, with its place in the list."""
    lines = gzip.decompress(MERGES.read_bytes()).decode().split("\n")[1:]
    return {(*line.split(),): rank for rank, line in enumerate(filter(None, lines))}


@cache
def numbers() -> dict[str, int]:
    """Token number of every piece: bytes, bytes that end a word, joined pieces, two marks."""
    letters = byte_letters()
    pieces = letters + [letter + "</w>" for letter in letters]
    pieces += [first + second for first, second in ranks()]
    return {piece: number for number, piece in enumerate(pieces)}


ENDINGS = ("s", "t", "re", "ve", "m", "ll", "d")


def words(text: str) -> list[str]:
    """English endings first, then runs of letters, single digits, runs of anything else."""
    found, i = [], 0
    kind = ["space" if c.isspace() else unicodedata.category(c)[0] for c in text]
    while i < len(text):
        # The original ignores case here, and an old long s is an s then.
        rest = text[i + 1 : i + 3].replace("ſ", "s") if text[i] == "'" else ""
        ending = next((e for e in ENDINGS if rest.startswith(e)), "")
        run = 1
        if ending:
            run = 1 + len(ending)
        elif kind[i] == "L":
            run = len(list(itertools.takewhile(lambda k: k == "L", kind[i:])))
        elif kind[i] not in ("N", "space"):
            run = len(list(itertools.takewhile(lambda k: k not in ("L", "N", "space"), kind[i:])))
        if kind[i] != "space":
            found.append(text[i : i + run])
        i += run
    return found


def plain(text: str) -> list[int]:
    """Token numbers of a text, without start and end."""
    printable = [b for b in range(256) if 0x21 <= b < 0x7F or 0xA1 <= b and b != 0xAD]
    order = printable + [b for b in range(256) if b not in printable]
    letter = dict(zip(order, byte_letters(), strict=True))
    tokens = []
    for word in words(" ".join(html.unescape(html.unescape(text)).split()).lower()):
        pieces = [letter[byte] for byte in word.encode()]
        pieces[-1] += "</w>"
        while True:
            pairs = list(itertools.pairwise(pieces))
            best = min(pairs, key=lambda pair: ranks().get(pair, 10**9), default=None)
            if best not in ranks():
                break
            i = 0
            while i < len(pieces) - 1:
                if (pieces[i], pieces[i + 1]) == best:
                    pieces[i : i + 2] = ["".join(best)]
                i += 1
        tokens += [numbers()[piece] for piece in pieces]
    return tokens


SAMPLES = """
red block drawer don't I'll we've you're 's 'D 'ſ '' 123 3d ½ ² ٣ _ <| — ... !? É ñandú straße Łódź
İ 東京 снова 😀 👩‍🚀 &amp;amp; &amp;lt; &eacute; &#x41; &nbsp;
"""
BITS = st.one_of(
    st.sampled_from(SAMPLES.split()),
    st.sampled_from([" ", "  ", "\t", "\n\n", "\u00a0", "\x85", "\x00", "\u200b", "e\u0301"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12),
    st.text(st.characters(min_codepoint=0xA0, max_codepoint=0x17F), max_size=6),
)


@settings(max_examples=400, deadline=None)
@given(text=st.lists(BITS, min_size=1, max_size=6).map("".join))
def test_tokens_are_those_of_an_independent_encoding(tokenizer: Tokenizer, text: str) -> None:
    """ASCII, accents, emoji, other scripts, HTML entities, white space."""
    tokens = plain(text)
    if not 0 < len(tokens) <= 75:
        with pytest.raises(ObservationError):
            tokenizer(text)
        return
    expected = [49406, *tokens, 49407]
    assert tokenizer(text)[0].tolist() == expected + [0] * (77 - len(expected))


def test_the_independent_encoding_knows_published_tokens() -> None:
    """`a photo of a cat` in CLIP, so that two equal mistakes do not pass."""
    assert plain("a photo of a cat") == [320, 1125, 539, 320, 2368]


def test_cleaning_changes_nothing_that_the_original_ignores(tokenizer: Tokenizer) -> None:
    """Case, surrounding and repeated white space, entities escaped twice."""
    row = tokenizer("push the red & blue block")
    np.testing.assert_array_equal(tokenizer("  Push\tthe RED\n&amp;amp; blue  block "), row)
    assert row.shape == (1, 77)


@pytest.mark.parametrize("text", ["", "   ", "\t\n", "&nbsp;", None, b"open the drawer", 3])
def test_an_instruction_that_is_no_text_is_refused(tokenizer: Tokenizer, text: object) -> None:
    """Empty, blank, blank once unescaped, or of another type."""
    with pytest.raises(ObservationError, match="instruction"):
        tokenizer(text)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["go \ud83d", "go <|endoftext|> stop", "&lt;|StartOfText|&gt;"])
def test_an_instruction_that_would_be_misread_is_refused(tokenizer: Tokenizer, text: str) -> None:
    """Half a character, or a mark behind which the network reads nothing."""
    with pytest.raises(ObservationError):
        tokenizer(text)


def test_75_tokens_fit_and_76_do_not(tokenizer: Tokenizer) -> None:
    """The error says how many were found."""
    row = tokenizer("go " * 75)
    assert row[0, 76] == 49407
    assert np.count_nonzero(row) == 77
    with pytest.raises(ObservationError, match="76 tokens"):
        tokenizer("go " * 76)


@pytest.mark.parametrize("content", [None, b"", b"{", b"\xff\xfe", b'{"version": "1.0"}'])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes | None) -> None:
    """Missing, empty, cut off, no text, or another JSON file."""
    path = tmp_path / "tokenizer.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BundleError, match="cannot be read"):
        Tokenizer(path)


def test_the_file_of_another_network_is_refused(path: Path, tmp_path: Path) -> None:
    """Its tokens would mean other words."""
    other = json.loads(path.read_text())
    vocabulary = other["model"]["vocab"]
    vocabulary["<|endoftext|>"], vocabulary["open</w>"] = (
        vocabulary["open</w>"],
        vocabulary["<|endoftext|>"],
    )
    (tmp_path / "tokenizer.json").write_text(json.dumps(other))
    with pytest.raises(BundleError, match="start and end tokens"):
        Tokenizer(tmp_path / "tokenizer.json")


def test_the_file_is_the_same_every_time(path: Path, tmp_path: Path) -> None:
    """Its hash stands in the bundle."""
    write_tokenizer(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()


def test_the_merges_are_openais() -> None:
    """The first 48,895 lines of bpe_simple_vocab_16e6.txt, whose whole hash is 67603cfd…"""
    text = gzip.decompress(MERGES.read_bytes())
    assert text.count(b"\n") == 48895
    expected = "685491abbdad36159d094ecdc23bebc0dd53f8d1df35c4d74ef6036db2ba7572"
    assert hashlib.sha256(text).hexdigest() == expected
