# SPDX-License-Identifier: Apache-2.0
"""Index segments: which chunk lies in which pack, as one upload stored them.

Also how tables refer to chunks. Format 2 is format 1 with further codecs, and
with the base behind each delta; format 3 is that with chunks that their writers
have named. A table is written in the first format that holds what it has.
"""

import re
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any, Final

from strongroom.errors import IntegrityError, PreconditionError, Reason
from strongroom_server.core.chunk import MAX_CHUNK_BYTES, ChunkRef
from strongroom_server.core.cobblestone import DecryptError
from strongroom_server.core.codecs import FIRST_CODECS, Codec
from strongroom_server.core.pack import MAX_PACK_BYTES
from strongroom_server.core.scope import MAX_EPOCH
from strongroom_server.core.sealing import ObjectKind, object_error
from strongroom_server.core.suites import BY_WRITER

FORMAT: Final = 1
#: With codecs beyond RAW and ZSTD, and with bases of deltas.
FORMAT_WITH_DELTAS: Final = 2
#: With suites by which writers name chunks.
FORMAT_BY_WRITERS: Final = 3
MAX_SEGMENT_BYTES: Final = 16 * 1024 * 1024
#: So that a segment stays below its limit.
MAX_CHUNKS: Final = 16_384
_HEX: Final = re.compile(r"[0-9a-f]{64}\Z")
_REF_FIELDS: Final = 8
_CODECS: Final = frozenset(Codec)
_FIELDS: Final = frozenset({"format", "packs", "chunks"})


def format_refs(refs: Iterable[ChunkRef]) -> dict[str, Any]:
    """Return chunk references with their packs told apart, ready for JSON.

    With them comes the number of the `format` that holds them.
    """
    packs: dict[tuple[str, str], int] = {}
    chunks = []
    number = FORMAT
    for ref in refs:
        fields = _format_ref(ref, packs)
        if ref.base is not None:
            fields.append(_format_ref(ref.base, packs))
        number = max(number, _needed(ref))
        chunks.append(fields)
    return {
        "format": number,
        "packs": [list(pack) for pack in packs],
        "chunks": chunks,
    }


def parse_refs(body: dict[str, Any]) -> tuple[ChunkRef, ...]:
    """Return the references that `format_refs` wrote.

    Raises:
        ValueError: They are malformed; callers name the object.
    """
    packs = parse_packs(body.get("packs"))
    known = codecs_of(body.get("format"))
    refs = tuple(
        parse_ref(item, packs, codecs=known) for item in _items(body.get("chunks"))
    )
    if format_of(refs) > body["format"]:
        raise ValueError(body["format"])
    return refs


def parse_packs(value: object) -> list[tuple[str, str]]:
    """Return the packs of a table, as name and version id.

    Raises:
        ValueError: They are malformed, or one is named twice.
    """
    packs = [_parse_pack(item) for item in _items(value)]
    if len(set(packs)) != len(packs):
        raise ValueError(value)
    return packs


def codecs_of(number: object) -> frozenset[Codec]:
    """Return the codecs that may stand in a table of a format."""
    return FIRST_CODECS if number == FORMAT else _CODECS


def format_of(refs: Iterable[ChunkRef]) -> int:
    """Return the format of a table that refers to these chunks and needs no more."""
    return max(map(_needed, refs), default=FORMAT)


def check_format(number: object, what: str, *, newest: int = FORMAT_BY_WRITERS) -> None:
    """Check that this release reads a table's format; `newest` is what it knows.

    Raises:
        ValueError: It is no format at all.
        PreconditionError: It is newer (FORMAT_UNSUPPORTED).
    """
    if type(number) is not int or number < FORMAT:
        raise ValueError(number)
    if number > newest:
        raise PreconditionError(
            f"{what} has format {number}; this release reads formats up to {newest}",
            reason=Reason.FORMAT_UNSUPPORTED,
            hint="Upgrade the server.",
            format=number,
        )


def parse_ref(
    item: object,
    packs: Sequence[tuple[str, str]],
    *,
    codecs: AbstractSet[int] = FIRST_CODECS,
) -> ChunkRef:
    """Return one reference of a list of packs; `codecs` are those it may have.

    Raises:
        ValueError: It is malformed.
    """
    fields = _items(item)
    if len(fields) == _REF_FIELDS:
        ref = _parse_whole(fields, packs, codecs)
        if ref.codec == Codec.DELTA:
            raise ValueError(fields)
        return ref
    if len(fields) != _REF_FIELDS + 1:
        raise ValueError(fields)
    base = parse_ref(fields[-1], packs, codecs=codecs - {Codec.DELTA})
    ref = _parse_whole(fields[:-1], packs, codecs)
    if ref.codec != Codec.DELTA or base.plain_bytes != ref.plain_bytes:
        raise ValueError(fields)
    return replace(ref, base=base)


def _needed(ref: ChunkRef) -> int:
    """Return the first format that holds a reference."""
    if ref.suite & BY_WRITER or (ref.base is not None and ref.base.suite & BY_WRITER):
        return FORMAT_BY_WRITERS
    return FORMAT if ref.codec in FIRST_CODECS else FORMAT_WITH_DELTAS


def _format_ref(ref: ChunkRef, packs: dict[tuple[str, str], int]) -> list[Any]:
    number = packs.setdefault((ref.pack, ref.pack_version), len(packs))
    return [
        ref.chunk_id.hex(),
        number,
        ref.offset_bytes,
        ref.stored_bytes,
        ref.plain_bytes,
        int(ref.codec),
        ref.epoch,
        ref.suite,
    ]


def _parse_whole(
    fields: list[Any], packs: Sequence[tuple[str, str]], codecs: AbstractSet[int]
) -> ChunkRef:
    if not isinstance(fields[0], str) or not _HEX.match(fields[0]):
        raise ValueError(fields)
    numbers = fields[1:]
    for number in numbers:  # not `all`: a version has millions of chunks
        if type(number) is not int or number < 0:
            raise ValueError(fields)
    pack, offset, stored, plain, codec, epoch, suite = numbers
    if (
        pack >= len(packs)
        or plain > MAX_CHUNK_BYTES
        or offset + stored > MAX_PACK_BYTES
        or codec not in codecs
        or epoch > MAX_EPOCH
    ):
        raise ValueError(fields)
    chunk_id = bytes.fromhex(fields[0])
    name, version = packs[pack]
    ref = ChunkRef(chunk_id, suite, codec, epoch, name, version, offset, stored, plain)
    _check_sizes(ref)
    return ref


def format_segment(refs: Iterable[ChunkRef]) -> dict[str, Any]:
    """Return the body of an index segment."""
    return format_refs(refs)


def parse_segment(body: dict[str, Any]) -> tuple[ChunkRef, ...]:
    """Return the chunks of an index segment.

    Raises:
        IntegrityError: It is malformed (RECORD_CORRUPT).
        PreconditionError: Its format is newer than this release
            (FORMAT_UNSUPPORTED).
    """
    try:
        check_format(body.get("format"), "an index segment")
        refs = parse_refs(body)
        if set(body) != _FIELDS or format_of(refs) != body["format"]:
            raise _malformed()
    except ValueError as error:
        raise _malformed() from error
    return refs


def _malformed() -> IntegrityError:
    return object_error(ObjectKind.INDEX)


def _parse_pack(item: object) -> tuple[str, str]:
    match item:
        case [str(pack), str(version)] if _HEX.match(pack):
            return pack, version
    raise ValueError(item)


def _check_sizes(ref: ChunkRef) -> None:
    try:
        encoded_bytes = ref.encoded_bytes
    except DecryptError as error:
        raise ValueError(ref.stored_bytes) from error
    if ref.codec == Codec.RAW and encoded_bytes != ref.plain_bytes:
        raise ValueError(ref.plain_bytes)


def _items(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(value)  # noqa: TRY004 -- stored bytes, not a caller's bug
    return value
