# SPDX-License-Identifier: Apache-2.0
"""How many fields an undecoded message has.

A field of two bytes becomes an object of forty, so 4 MiB of them would fill 80 MiB
of memory, for each request of each call. They are counted before they are decoded.
"""

from typing import Final

from strongroom.errors import InvalidArgumentError

#: More than any request may have: 1000 paths, or 1000 items with one field each,
#: or the longest message of a version, whose text is counted as if it were fields.
MAX_FIELDS: Final = 8192
#: Of requests whose texts and bytes are long, and whose nested messages are small:
#: no field of those is repeated.
FLAT: Final = 1
#: Of requests whose one nested message has lists: of texts, of numbers, of messages
#: without lists of messages. Long bytes in these are no fields, and not counted as any.
#: The first field is counted as in BATCHES: streams begin with it, and it has more.
COLUMNS: Final = 2
#: Of streamed requests: a request, its items, and what each item holds.
BATCHES: Final = 3

_MAX_VARINT_BYTES: Final = 10


def check_field_count(data: bytes, *, depth: int) -> None:
    """Check that a message is not made of too many fields.

    What is no message passes: decoding it says so better.

    Args:
        data: An undecoded message.
        depth: How many levels of messages are counted; 1 counts only its own fields.

    Raises:
        InvalidArgumentError: It has more than MAX_FIELDS (ARGUMENT_INVALID).
    """
    start_depth = BATCHES if depth == COLUMNS else depth
    if _count(data, 0, len(data), depth, start_depth) > MAX_FIELDS:
        message = f"the request has more than {MAX_FIELDS} fields"
        raise InvalidArgumentError(
            message, hint="Send fewer items at once: at most 1000 of them, or paths."
        )


def _count(
    data: bytes, position: int, end: int, depth: int, start_depth: int = 0
) -> int:
    """Count fields up to `end`; stops soon after there are too many.

    Fields with the number 1 are looked into as if `start_depth` were asked for.
    """
    count = 0
    while position < end and count <= MAX_FIELDS:
        count += 1
        tag, position = _varint(data, position, end)
        match tag & 7:
            case 0:
                _, position = _varint(data, position, end)
            case 1:
                position += 8
            case 2:
                size, position = _varint(data, position, end)
                levels = max(depth, start_depth) if tag >> 3 == 1 else depth
                if levels > 1:
                    inner = min(position + size, end)
                    count += _count(data, position, inner, levels - 1)
                position += size
            case 5:
                position += 4
            case _:
                continue  # a group's start or end; what it holds counts as ours
    return count


def _varint(data: bytes, position: int, end: int) -> tuple[int, int]:
    """Return a number and where it ends; a malformed one ends everything."""
    # Nearly all have one byte, and a push of small files has millions of them.
    if position < end and data[position] < 0x80:  # noqa: PLR2004 (as below)
        return data[position], position + 1
    value = 0
    for index, byte in enumerate(
        data[position : min(end, position + _MAX_VARINT_BYTES)]
    ):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:  # noqa: PLR2004 (the bit that says that more follows)
            return value, position + index + 1
    return 0, end
