"""What of docs/guardian.md and docs/guardian-socket.md is made from the code.

    python tests/guardian_parts/pages.py

writes it anew, between the marks `<!-- name -->` and `<!-- /name -->`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from dreamvla_edge.runtime.guardian import message
from dreamvla_edge.runtime.guardian.message import COMMAND, REPORT, Limit, Order, State
from dreamvla_edge.runtime.guardian.states import TRANSITIONS

DOCS = Path(__file__).parents[2] / "docs"
SOURCE = inspect.getsource(message)


def drawing() -> str:
    """The states, one arrow for all events that lead from one to another."""
    arrows: dict[tuple[State, State], list[str]] = {}
    for (state, event), following in sorted(
        TRANSITIONS.items(), key=lambda row: (row[0][0], row[1], row[0][1].value)
    ):
        arrows.setdefault((state, following), []).append(event.value.replace(":=", "="))
    lines = ["stateDiagram-v2", "    [*] --> CONNECT"]
    lines += [f"    {a.name} --> {b.name}: {', '.join(e)}" for (a, b), e in arrows.items()]
    return "\n".join(["```mermaid", *lines, "```"])


def comments(of: str) -> dict[str, str]:
    """Name of a field or member -> the comment behind it, in a part of `message.py`."""
    part = re.split(r"\n\)\n|\n\n\n", SOURCE.split(f"\n{of}")[1])[0]
    found = re.findall(r'^ +\(?"?(\w+)"?(?:,| =)[^#\n]*# (.*)$', part, re.M)
    return dict(found)


def table(head: tuple[str, ...], rows: list[tuple[object, ...]]) -> str:
    """Markdown."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def fields(dtype: np.dtype, of: str) -> str:
    """Every field: where it is, what it holds, and what it means."""
    told, rows = comments(of), list[tuple[object, ...]]()
    for name in dtype.names or ():
        field, offset = dtype.fields[name][:2]  # type: ignore[index]
        base, count = field.base, int(np.prod(field.shape, initial=1))
        if base.names:
            kind = f"{count} × ({', '.join(_kind(base[n], n) for n in base.names)})"
        else:
            kind = _kind(field)
        rows.append((offset, f"`{name}`", kind, told.get(name, "")))
    rows.append((dtype.itemsize, "", "the end", ""))
    return table(("byte", "field", "type", "meaning"), rows)


def _kind(dtype: np.dtype, name: str = "") -> str:
    base = dtype.base
    count = int(np.prod(dtype.shape, initial=1))
    if base.kind == "S":
        kind = f"text of {base.itemsize} bytes"
    else:
        words = {"i": "int", "u": "uint", "f": "float"}
        kind = f"{words[base.kind]}{8 * base.itemsize}"
    return f"{f'{name} ' if name else ''}{f'{count} × ' if count > 1 else ''}{kind}"


def members(kind: type[Order] | type[State] | type[Limit]) -> str:
    """Every value of an enumeration."""
    told = comments(f"class {kind.__name__}(")
    rows: list[tuple[object, ...]] = [
        (one.value, f"`{one.name}`", *([told.get(one.name, "")] if told else [])) for one in kind
    ]
    return table(("value", "name", "meaning") if told else ("value", "name"), rows)


PARTS: Mapping[str, Mapping[str, Callable[[], str]]] = {
    "guardian.md": {"states": drawing},
    "guardian-socket.md": {
        "command": lambda: fields(COMMAND, "COMMAND = "),
        "orders": lambda: members(Order),
        "report": lambda: fields(REPORT, "REPORT = "),
        "states": lambda: members(State),
        "limits": lambda: members(Limit),
    },
}


def page(name: str) -> str:
    """The page as it should be."""
    text = (DOCS / name).read_text()
    for part, made in PARTS[name].items():
        begin, end = f"<!-- {part} -->\n", f"<!-- /{part} -->"
        before, rest = text.split(begin)
        text = f"{before}{begin}\n{made()}\n\n{end}{rest.split(end)[1]}"
    return text


if __name__ == "__main__":
    for name in PARTS:
        (DOCS / name).write_text(page(name))
