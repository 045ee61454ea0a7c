# SPDX-License-Identifier: Apache-2.0
"""Relocation records: which version of an object a new bucket has for a pinned one.

Manifests and packs are pinned by the version ids that the first bucket gave them. A
bucket that a store was restored into, or replicated to, gives others. The records
are neither secret nor signed: whoever reads by one checks what it reads.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from strongroom.errors import IntegrityError, Reason
from strongroom_server.core import canonical, layout
from strongroom_server.core.clear_fields import body_of, items_of

FORMAT: Final = 1
TYPE: Final = "strongroom.relocations"
MAX_RECORD_BYTES: Final = 8 * 1024 * 1024
#: So that a record stays far below its limit.
MAX_ROWS: Final = 10_000
_MAX_ROWS_BYTES: Final = 4 * 1024 * 1024
_MAX_VERSION_CHARS: Final = 1024
#: As in inventories.
_MAX_KNOWN: Final = 64
_FIELDS: Final = frozenset({"format", "rows", "type"})


@dataclass(frozen=True, slots=True)
class Relocation:
    """One object that lies in this bucket under another version id.

    Attributes:
        key: Of a pack or a manifest; nothing else is pinned.
        version_id: Of the object in this bucket.
        known_as: The version ids by which manifests and file tables may pin it.
    """

    key: str
    version_id: str
    known_as: tuple[str, ...]


def format_relocations(rows: Sequence[Relocation]) -> bytes:
    """Return the bytes of a record of at most `MAX_ROWS` rows."""
    listed = [[row.key, row.version_id, list(row.known_as)] for row in rows]
    return canonical.encode({"format": FORMAT, "type": TYPE, "rows": listed})


def parse_relocations(data: bytes) -> tuple[Relocation, ...]:
    """Return the rows of a record.

    Raises:
        IntegrityError: It is malformed (RECORD_CORRUPT).
        PreconditionError: Its format is newer than this release
            (FORMAT_UNSUPPORTED).
    """
    try:
        body = body_of(data, TYPE, _FIELDS, newest=FORMAT, max_bytes=MAX_RECORD_BYTES)
        rows = items_of(body["rows"])
        if len(rows) > MAX_ROWS:
            raise _malformed()
        return tuple(_parse_row(row) for row in rows)
    except ValueError as error:
        raise _malformed() from error


def split_relocations(rows: Iterable[Relocation]) -> Iterator[tuple[Relocation, ...]]:
    """Yield the rows in groups, each of which fits into a record."""
    group: list[Relocation] = []
    size_bytes = 0
    for row in rows:
        # Quotes, commas and brackets beside the text itself.
        own_bytes = 8 + len(row.key) + 2 * len(row.version_id)
        own_bytes += sum(2 * len(known) + 4 for known in row.known_as)
        if group and (
            len(group) == MAX_ROWS or size_bytes + own_bytes > _MAX_ROWS_BYTES
        ):
            yield tuple(group)
            group, size_bytes = [], 0
        group.append(row)
        size_bytes += own_bytes
    if group:
        yield tuple(group)


def _parse_row(row: Any) -> Relocation:  # noqa: ANN401
    match row:
        case [str(key), str(version_id), [*known]] if (
            layout.is_named_by_digest(key)
            and 0 < len(known) <= _MAX_KNOWN
            and all(_is_version(item) for item in (version_id, *known))
            and len({version_id, *known}) == len(known) + 1
        ):
            return Relocation(key, version_id, tuple(known))
    raise _malformed()


def _is_version(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _MAX_VERSION_CHARS


def _malformed() -> IntegrityError:
    return IntegrityError(
        "a relocation record is damaged",
        reason=Reason.RECORD_CORRUPT,
        hint="Run the restore that wrote it again: it adds what is missing.",
    )
