"""What machine code holds: instructions counted in a cubin.

Since sm_70 an instruction is 16 bytes, and the 12 lowest bits are its operation (Jia et al.,
arXiv 1804.06826, section 2.1; the operations' numbers as nvdisasm prints them beside its text).
"""

from __future__ import annotations

import struct

OPERATIONS = {"HMMA": 0x23C, "LDSM": 0x83B, "STL": 0x387, "LDL": 0x983}
"""Tensor-core product of halves, load of matrices, store to and load from the stack."""
_SECTION = struct.Struct("<IIQQQQIIQQ")


def count(cubin: bytes, operation: str) -> dict[str, int]:
    """How often an operation stands in the code of each kernel."""
    wanted = OPERATIONS[operation]
    found = {}
    for name, code in _code(cubin).items():
        words = (int.from_bytes(code[at : at + 2], "little") for at in range(0, len(code), 16))
        found[name] = sum(word & 0xFFF == wanted for word in words)
    return found


def _code(cubin: bytes) -> dict[str, bytes]:
    """The sections `.text.KERNEL` of an ELF file (64 bits, little endian)."""
    if cubin[:6] != b"\x7fELF\x02\x01":
        raise ValueError("no ELF file of 64 bits, little endian")
    (table,) = struct.unpack_from("<Q", cubin, 40)
    size, number, names = struct.unpack_from("<HHH", cubin, 58)
    sections = [_SECTION.unpack_from(cubin, table + i * size) for i in range(number)]
    start = sections[names][4]
    found = {}
    for name, _, _, _, offset, length, *_ in sections:
        text = cubin[start + name : cubin.index(b"\0", start + name)].decode()
        if text.startswith(".text."):
            found[text.removeprefix(".text.")] = cubin[offset : offset + length]
    return found
