# SPDX-License-Identifier: Apache-2.0
"""Index segments: which chunk lies in which pack, as one upload stored them."""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from strongroom.errors import IntegrityError
from strongroom_server.core.chunk import MAX_CHUNK_BYTES, ChunkRef
from strongroom_server.core.cobblestone import DecryptError
from strongroom_server.core.codecs import Codec
from strongroom_server.core.pack import MAX_PACK_BYTES
from strongroom_server.core.scope import MAX_EPOCH
from strongroom_server.core.sealing import ObjectKind, object_error

FORMAT: Final = 1
MAX_SEGMENT_BYTES: Final = 16 * 1024 * 1024
#: So that a segment stays below its limit.
MAX_CHUNKS: Final = 16_384
_HEX: Final = re.compile(r"[0-9a-f]{64}\Z")
_REF_FIELDS: Final = 8


def format_refs(refs: Iterable[ChunkRef]) -> dict[str, Any]:
    """Return chunk references with their packs told apart, ready for JSON."""
    packs: dict[tuple[str, str], int] = {}
    chunks = []
    for ref in refs:
        number = packs.setdefault((ref.pack, ref.pack_version), len(packs))
        chunks.append(
            [
                ref.chunk_id.hex(),
                number,
                ref.offset_bytes,
                ref.stored_bytes,
                ref.plain_bytes,
                ref.codec,
                ref.epoch,
                ref.suite,
            ]
        )
    return {"packs": [list(pack) for pack in packs], "chunks": chunks}


def parse_refs(body: dict[str, Any]) -> tuple[ChunkRef, ...]:
    """Return the references that `format_refs` wrote.

    Raises:
        ValueError: They are malformed; callers name the object.
    """
    packs = [_parse_pack(item) for item in _items(body.get("packs"))]
    return tuple(parse_ref(item, packs) for item in _items(body.get("chunks")))


def parse_ref(item: object, packs: Sequence[tuple[str, str]]) -> ChunkRef:
    """Return one reference of a list of packs.

    Raises:
        ValueError: It is malformed.
    """
    fields = _items(item)
    if len(fields) != _REF_FIELDS or not isinstance(fields[0], str):
        raise ValueError(fields)
    numbers = fields[1:]
    if not _HEX.match(fields[0]) or not all(
        type(number) is int and number >= 0 for number in numbers
    ):
        raise ValueError(fields)
    pack, offset, stored, plain, codec, epoch, suite = numbers
    if (
        pack >= len(packs)
        or plain > MAX_CHUNK_BYTES
        or offset + stored > MAX_PACK_BYTES
        or codec not in {Codec.RAW, Codec.ZSTD}
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
    return {"format": FORMAT} | format_refs(refs)


def parse_segment(body: dict[str, Any]) -> tuple[ChunkRef, ...]:
    """Return the chunks of an index segment.

    Raises:
        IntegrityError: It is malformed (RECORD_CORRUPT).
    """
    try:
        if set(body) != {"format", "packs", "chunks"} or body["format"] != FORMAT:
            raise _malformed()
        return parse_refs(body)
    except ValueError as error:
        raise _malformed() from error


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
