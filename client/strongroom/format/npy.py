# SPDX-License-Identifier: Apache-2.0
"""Files of one array (.npy): where the header ends and what the elements are."""

import re
from collections.abc import Iterator
from typing import Final

from strongroom.format.parts import HEADER_LABEL, Cut, ElementKind, Part, cut_part
from strongroom.format.window import Window

MAGIC: Final = b"\x93NUMPY"
#: numpy itself refuses headers above 10,000 bytes unless told otherwise.
_MAX_HEADER_BYTES: Final = 1024 * 1024
#: Of each format version: how many bytes tell the header's length.
_LENGTH_BYTES: Final = {1: 2, 2: 4, 3: 4}
_DESCR: Final = re.compile(rb"'descr': '[<>|=]([a-zA-Z])([0-9]{1,2})(?:\[[^']*\])?'")
#: Of each kind of element: whether it is a float, and how many numbers it has.
_KINDS: Final = {
    "b": (False, 1), "i": (False, 1), "u": (False, 1), "f": (True, 1),
    "c": (True, 2), "m": (False, 1), "M": (False, 1),
}  # fmt: skip
_WIDTHS: Final = {1, 2, 4, 8}


def cut_npy(window: Window) -> Iterator[Cut | None]:
    """Cut behind the header, then every 16 MiB from the start of the data.

    Raises:
        ValueError: The file is malformed.
    """
    yield from window.wait(len(MAGIC) + 2)
    version = window.read(len(MAGIC), len(MAGIC) + 1)[0]
    if version not in _LENGTH_BYTES:
        message = f"version {version} is unknown"
        raise ValueError(message)
    text = len(MAGIC) + 2 + _LENGTH_BYTES[version]
    yield from window.wait(text)
    end = text + int.from_bytes(window.read(len(MAGIC) + 2, text), "little")
    if end > _MAX_HEADER_BYTES:
        message = "the header is too long"
        raise ValueError(message)
    yield from window.wait(end)
    element = parse_element(window.read(text, end))
    yield Cut(end, HEADER_LABEL)
    yield from cut_part(Part("", end, window.size_bytes, element))


def parse_element(header: bytes) -> ElementKind | None:
    """Return what a header says of the elements; None if they are no numbers."""
    found = _DESCR.search(header)
    if found is None or found[1].decode() not in _KINDS:
        return None
    is_float, numbers = _KINDS[found[1].decode()]
    width = int(found[2]) // numbers
    return ElementKind(width, is_float) if width in _WIDTHS else None
