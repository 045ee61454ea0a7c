# SPDX-License-Identifier: Apache-2.0
"""Packs: stored objects that hold encrypted chunks, named by their own digest.

    header (64) || chunks || padding || directory || footer (8)

Chunks look like random bytes and have no clear boundaries. The directory, itself
encrypted, lists them, so that an index can be rebuilt from the packs alone;
readers do not need it, since the file table says where each chunk lies.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from strongroom.errors import IntegrityError, Reason
from strongroom_server.core import cobblestone
from strongroom_server.core.chunk import CHUNK_ID_BYTES, MAX_CHUNK_BYTES
from strongroom_server.core.codecs import Codec
from strongroom_server.core.derivation import DomainKeys
from strongroom_server.core.scope import Scope
from strongroom_server.core.suites import CONTROL_SUITE

#: magic, suite, format, store, project, domain, epoch, zero: 64 bytes
HEADER: Final = struct.Struct(">4sHH16s39ss")
MAGIC: Final = b"SRP1"
FORMAT: Final = 1
#: With the id of its base behind each chunk of the directory.
FORMAT_WITH_BASES: Final = 2
#: directory length, magic
FOOTER: Final = struct.Struct(">I4s")
FOOTER_MAGIC: Final = b"SRPE"
#: chunk id, offset, stored length, plain length, codec, zero: 48 bytes
ENTRY: Final = struct.Struct(">32sIIIB3s")
#: the same, and the base's chunk id, zero if it is no delta: 80 bytes
ENTRY_WITH_BASE: Final = struct.Struct(">32sIIIB3s32s")
MAX_ENTRIES: Final = 65_536
#: Plaintext of one pack, what encryption adds to it, and its directory.
MAX_PACK_BYTES: Final = MAX_CHUNK_BYTES * 2


@dataclass(frozen=True, slots=True)
class PackEntry:
    """One chunk in a pack's directory; `base_id` is empty if it is no delta."""

    chunk_id: bytes
    offset_bytes: int
    stored_bytes: int
    plain_bytes: int
    codec: int
    base_id: bytes = b""


@dataclass(frozen=True, slots=True)
class PackHeader:
    """The clear header of a pack."""

    suite: int
    scope: Scope
    format: int = FORMAT


def format_header(scope: Scope, suite: int, *, has_deltas: bool = False) -> bytes:
    """Return a pack's first 64 bytes."""
    number = FORMAT_WITH_BASES if has_deltas else FORMAT
    return HEADER.pack(MAGIC, suite, number, scope.store, scope.domain_header, b"\0")


def format_trailer(
    keys: DomainKeys, header: bytes, entries: Sequence[PackEntry], *, salt: bytes
) -> bytes:
    """Return a pack's directory and footer. `salt`: 24 random bytes.

    The header says whether the entries have their bases.
    """
    has_deltas = HEADER.unpack(header)[2] == FORMAT_WITH_BASES
    plaintext = b"".join(
        ENTRY.pack(
            entry.chunk_id,
            entry.offset_bytes,
            entry.stored_bytes,
            entry.plain_bytes,
            entry.codec,
            bytes(3),
        )
        + (entry.base_id.ljust(CHUNK_ID_BYTES, b"\0") if has_deltas else b"")
        for entry in entries
    )
    directory = cobblestone.encrypt(
        keys.object_key("pack"),
        plaintext,
        context=header + b"directory",
        salt=salt,
        segment_bytes=CONTROL_SUITE.segment_bytes,
    )
    return directory + FOOTER.pack(len(directory), FOOTER_MAGIC)


def padding_size(size_bytes: int) -> int:
    """Return how many bytes of padding a pack's body of this size gets (Padmé).

    A full single chunk needs none: all of them have the same size.

    Source:
        Nikitin et al., "Reducing Metadata Leakage from Encrypted Files",
        PETS 2019, section 4: at most 12 % more, leaks O(log log n) bits.
    """
    if size_bytes < 2:  # noqa: PLR2004 -- the logarithm needs two
        return 0
    exponent = size_bytes.bit_length() - 1
    low_bits = exponent - exponent.bit_length()
    if low_bits <= 0:
        return 0
    mask = (1 << low_bits) - 1
    return -size_bytes & mask


def parse_header(data: bytes, store: bytes) -> PackHeader:
    """Read a pack's first 64 bytes.

    Raises:
        IntegrityError: They are no pack header of this store (CHUNK_CORRUPT).
    """
    if len(data) < HEADER.size:
        raise pack_error("it is too short")
    magic, suite, version, found, domain, zero = HEADER.unpack_from(data)
    if magic != MAGIC or found != store or zero != b"\0":
        raise pack_error("its header is damaged")
    if version not in {FORMAT, FORMAT_WITH_BASES}:
        raise pack_error(f"its format {version} is unknown to this release")
    scope = Scope(store, domain[:18], domain[18:36], int.from_bytes(domain[36:], "big"))
    return PackHeader(suite, scope, version)


def parse_directory(keys: DomainKeys, data: bytes) -> tuple[PackEntry, ...]:
    """Return the chunks that a whole pack holds.

    Raises:
        IntegrityError: The pack is malformed (CHUNK_CORRUPT).
    """
    header = parse_header(data, keys.scope.store)
    if header.scope != keys.scope:
        raise pack_error("it belongs to another key domain")
    if len(data) < HEADER.size + FOOTER.size:
        raise pack_error("it is too short")
    length, magic = FOOTER.unpack_from(data, len(data) - FOOTER.size)
    end = len(data) - FOOTER.size
    start = end - length
    if magic != FOOTER_MAGIC or start < HEADER.size:
        raise pack_error("its footer is damaged")
    try:
        plaintext = cobblestone.decrypt(
            keys.object_key("pack"),
            memoryview(data)[start:end],
            context=data[: HEADER.size] + b"directory",
            segment_bytes=CONTROL_SUITE.segment_bytes,
        )
    except cobblestone.DecryptError as error:
        raise pack_error("its directory is damaged") from error
    row = ENTRY_WITH_BASE if header.format == FORMAT_WITH_BASES else ENTRY
    if len(plaintext) % row.size or len(plaintext) > MAX_ENTRIES * row.size:
        raise pack_error("its directory is damaged")
    return tuple(_parse_entry(fields, start) for fields in row.iter_unpack(plaintext))


def _parse_entry(fields: tuple[Any, ...], end: int) -> PackEntry:
    chunk_id, offset, stored, plain, codec, zero, *bases = fields
    base_id = bases[0] if codec == Codec.DELTA and bases else b""
    inside = HEADER.size <= offset and offset + stored <= end
    if not inside or zero != bytes(3) or (codec == Codec.DELTA) != bool(base_id):
        raise pack_error("its directory is damaged")
    if bases and not base_id and bases[0] != bytes(CHUNK_ID_BYTES):
        raise pack_error("its directory is damaged")
    return PackEntry(chunk_id, offset, stored, plain, codec, base_id)


def pack_error(problem: str) -> IntegrityError:
    """Return the error for a pack that is malformed."""
    return IntegrityError(
        f"a pack is damaged: {problem}",
        reason=Reason.CHUNK_CORRUPT,
        hint=(
            "With a copy of the store: strongroom verify --store --repair; with the "
            "files: strongroom repair VERSION --from DIRECTORY"
        ),
    )
