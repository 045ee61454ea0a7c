# SPDX-License-Identifier: Apache-2.0
"""Repair records: where damaged chunks were stored anew, and which packs are damaged.

A file table never changes and pins the packs that it points into, so a chunk that
is stored anew needs a record that says where. The record has no say in whether the
bytes there are right: they authenticate as the chunk, or they do not.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from strongroom.errors import IntegrityError
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.index_segment import (
    check_format,
    format_of,
    format_refs,
    parse_refs,
)
from strongroom_server.core.sealing import ObjectKind, object_error

MAX_RECORD_BYTES: Final = 16 * 1024 * 1024
#: So that a record stays below its limit.
MAX_CHUNKS: Final = 16_384
MAX_PACKS: Final = 16_384
_FIELDS: Final = frozenset({"format", "packs", "chunks", "damaged", "mended"})
_PACK: Final = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True)
class RepairRecord:
    """One repair.

    Attributes:
        chunks: Where chunks lie from now on; the same chunk ids as before.
        damaged: Names of packs that are damaged: nobody shares their chunks.
        mended: Names of packs whose damaged chunks have all been stored anew.
    """

    chunks: tuple[ChunkRef, ...] = ()
    damaged: tuple[str, ...] = ()
    mended: tuple[str, ...] = ()


def format_record(record: RepairRecord) -> dict[str, Any]:
    """Return the body of a repair record."""
    return {
        **format_refs(record.chunks),
        "damaged": sorted(set(record.damaged)),
        "mended": sorted(set(record.mended)),
    }


def parse_record(body: dict[str, Any]) -> RepairRecord:
    """Return the repair record of a body.

    Raises:
        IntegrityError: It is malformed (RECORD_CORRUPT).
        PreconditionError: Its format is newer than this release
            (FORMAT_UNSUPPORTED).
    """
    try:
        check_format(body.get("format"), "a repair record")
        if set(body) != _FIELDS:
            raise _malformed()
        refs = parse_refs(body)
        if len(refs) > MAX_CHUNKS or format_of(refs) != body["format"]:
            raise _malformed()
        return RepairRecord(
            refs, _parse_packs(body["damaged"]), _parse_packs(body["mended"])
        )
    except ValueError as error:
        raise _malformed() from error


def split_record(record: RepairRecord) -> Sequence[RepairRecord]:
    """Return records of bounded size that say together what one says."""
    length = max(len(record.chunks), len(record.damaged), len(record.mended))
    return [
        RepairRecord(
            record.chunks[start : start + MAX_CHUNKS],
            record.damaged[start : start + MAX_PACKS],
            record.mended[start : start + MAX_PACKS],
        )
        for start in range(0, length, MAX_CHUNKS)
    ]


def _parse_packs(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(
        isinstance(item, str) and _PACK.match(item) for item in value
    ):
        raise ValueError(value)
    if len(value) > MAX_PACKS or value != sorted(set(value)):
        raise ValueError(value)
    return tuple(value)


def _malformed() -> IntegrityError:
    return object_error(ObjectKind.REPAIR)
