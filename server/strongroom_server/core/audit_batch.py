# SPDX-License-Identifier: Apache-2.0
"""Batches: the objects in the bucket that put servers' audit lines into one order.

Batch `n` holds the lines that one server adds when the log has `before.size`
entries. Whoever creates the object decides which entries come next; the index of
an entry in the log follows from it and never changes. A batch names the tree
before it, so that the newest alone is enough to go on.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from strongroom.errors import IntegrityError
from strongroom_server.core.audit_failures import log_damaged
from strongroom_server.core.merkle import HASH_BYTES, Frontier, leaf_hash

FORMAT: Final = 1
MAX_LINES: Final = 1024
#: Bytes of the lines of a batch; a single line has at most 8 KiB.
MAX_LINE_BYTES: Final = 2**20
#: A line in a JSON string is at most twice as long, with its backslashes.
MAX_BODY_BYTES: Final = 4 * 2**20

_FIELDS: Final = {"format": int, "writer": str, "start": int, "size": int,
                  "frontier": list, "lines": list}  # fmt: skip
_WRITER: Final = re.compile(r"[0-9a-f]{8}\Z")


@dataclass(frozen=True, slots=True)
class AuditBatch:
    """Lines of one server, at their place in the log.

    Attributes:
        number: Of the batch, dense from 0.
        writer: The id of the server's own log, 8 hex digits.
        start: The first line's number in the server's own log.
        before: The tree to which the lines are added.
        lines: Of the server's own log, without their line feeds.
        after: The tree with the lines' entries.
    """

    number: int
    writer: str
    start: int
    before: Frontier
    lines: tuple[bytes, ...]
    after: Frontier = field(init=False, compare=False)

    def __post_init__(self) -> None:
        after = self.before.extended(leaf_hash(item) for item in self.entries)
        object.__setattr__(self, "after", after)

    @property
    def entries(self) -> list[bytes]:
        """The entries of the tree."""
        return [entry(self.writer, line) for line in self.lines]

    @property
    def end(self) -> int:
        """The number, in the server's own log, of the line after the last."""
        return self.start + len(self.lines)


def entry(writer: str, line: bytes) -> bytes:
    """Return the entry of a line: the writer's id, a space, the line."""
    return writer.encode() + b" " + line


def batch_body(batch: AuditBatch) -> dict[str, Any]:
    """Return what is stored of a batch; its number is its key."""
    return {
        "format": FORMAT,
        "writer": batch.writer,
        "start": batch.start,
        "size": batch.before.size,
        "frontier": [item.hex() for item in batch.before.hashes],
        "lines": [line.decode() for line in batch.lines],
    }


def parse_batch(number: int, body: dict[str, Any]) -> AuditBatch:
    """Read a batch's body.

    Raises:
        IntegrityError: It is none (AUDIT_CORRUPT).
    """
    try:
        if set(body) != set(_FIELDS) or body["format"] != FORMAT:
            raise batch_damaged(number)
        if any(type(body[name]) is not kind for name, kind in _FIELDS.items()):
            raise batch_damaged(number)
        hashes = tuple(_hash(item) for item in body["frontier"])
        lines = tuple(_line(item) for item in body["lines"])
        before = Frontier(body["size"], hashes)
    except (ValueError, TypeError) as error:
        raise batch_damaged(number) from error
    is_empty = not lines or len(lines) > MAX_LINES
    if is_empty or body["start"] < 0 or not _WRITER.match(body["writer"]):
        raise batch_damaged(number)
    return AuditBatch(number, body["writer"], body["start"], before, lines)


def how_many_fit(lines: Sequence[bytes]) -> int:
    """Return how many of the lines, the first ones, one batch takes."""
    size_bytes = 0
    for count, line in enumerate(lines[:MAX_LINES]):
        size_bytes += len(line)
        if count and size_bytes > MAX_LINE_BYTES:
            return count
    return min(len(lines), MAX_LINES)


def batch_damaged(number: int) -> IntegrityError:
    """Return the error for a batch that cannot be read."""
    return log_damaged(
        f"batch {number} of the audit log is damaged, or not of this store",
        number=number,
    )


def _hash(text: object) -> bytes:
    value = bytes.fromhex(str(text))
    if len(value) != HASH_BYTES or value.hex() != text:
        message = "a hash is not 64 hex digits"
        raise ValueError(message)
    return value


def _line(text: object) -> bytes:
    if not isinstance(text, str):
        message = "a line is no text"
        raise TypeError(message)
    return text.encode()
