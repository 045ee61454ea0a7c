# SPDX-License-Identifier: Apache-2.0
"""Free text on a screen that decides something: it cannot look like the screen itself.

What others wrote stands in quotes, on lines that begin with a bar, no line longer than
a terminal is wide. What would not be seen, or not as what it is, is written out.
"""

import unicodedata
from collections.abc import Iterator
from typing import Final

#: Columns of quoted text in a line; with what stands before them, less than 80.
COLUMNS: Final = 64
BAR: Final = "| "
_WIDE: Final = frozenset("WFA")
#: Letters and marks that look like nothing; Python calls them printable.
_UNSEEN: Final = frozenset(
    {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0}
    | {*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)}
)


def quoted(text: str) -> str:
    r"""Return a text in quotes, on one line, so that no two texts look the same.

    Quotes and backslashes have a backslash before them; every blank behind a blank,
    and whatever cannot be seen or steers a terminal, is written as `\u{20}`.
    """
    parts, before = [], ""
    for char in text:
        seen = char.isprintable() and ord(char) not in _UNSEEN
        if char in '"\\':
            parts.append("\\" + char)
        elif not seen or (char == " " and before == " "):
            parts.append(f"\\u{{{ord(char):x}}}")
        else:
            parts.append(char)
        before = char
    return '"' + "".join(parts) + '"'


def barred(text: str) -> Iterator[str]:
    """Yield the lines of a text in quotes, each behind a bar and short enough."""
    line, columns = "", 0
    for char in quoted(text):
        width = columns_of(char)
        if columns + width > COLUMNS:
            yield BAR + line
            line, columns = "", 0
        line, columns = line + char, columns + width
    yield BAR + line


def columns_of(text: str) -> int:
    """Return how many columns of a terminal a text takes at most."""
    # Marks stand over the letter before; without a bound they would pile up.
    return sum(2 if unicodedata.east_asian_width(char) in _WIDE else 1 for char in text)
