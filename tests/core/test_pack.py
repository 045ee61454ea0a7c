# SPDX-License-Identifier: Apache-2.0
"""Packs: directories read back, padding hides sizes, damage is an error."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import IntegrityError, Reason
from strongroom_server.core import cobblestone
from strongroom_server.core.chunk import MAX_CHUNK_BYTES
from strongroom_server.core.codecs import Codec
from strongroom_server.core.pack import (
    ENTRY,
    ENTRY_WITH_BASE,
    FOOTER,
    FOOTER_MAGIC,
    HEADER,
    PackEntry,
    format_header,
    format_trailer,
    padding_size,
    parse_directory,
    parse_header,
)
from tests.support.damage import each_bit_flipped, each_cut_and_extension
from tests.support.properties import COSTLY, QUICK
from tests.support.samples import SALT, SCOPE, STORE, filled, keys_of

BODY = filled("body", 500)


def pack_of(entries: list[PackEntry], body: bytes = BODY) -> bytes:
    has_deltas = any(entry.base_id for entry in entries)
    header = format_header(SCOPE, 4, has_deltas=has_deltas)
    return header + body + format_trailer(keys_of(), header, entries, salt=SALT)


@st.composite
def directories(draw: st.DrawFn) -> list[PackEntry]:
    entries = []
    for number in range(draw(st.integers(0, 8))):
        offset = draw(st.integers(64, 64 + len(BODY)))
        stored = draw(st.integers(0, 64 + len(BODY) - offset))
        plain, codec = draw(st.integers(0, 2**32 - 1)), draw(st.integers(0, 5))
        base_id = filled(f"base {number}", 32) if codec == Codec.DELTA else b""
        chunk_id = filled(str(number), 32)
        entries.append(PackEntry(chunk_id, offset, stored, plain, codec, base_id))
    return entries


@COSTLY
@given(directories())
def test_a_directory_reads_back(entries: list[PackEntry]) -> None:
    data = pack_of(entries)

    assert parse_directory(keys_of(), data) == tuple(entries)
    assert parse_header(data, STORE).suite == 4


def test_no_flipped_bit_of_header_directory_or_footer_goes_unnoticed() -> None:
    data = pack_of([PackEntry(filled("chunk", 32), 64, 100, 28, 0)], b"")

    with pytest.raises(IntegrityError):
        parse_directory(keys_of(), data)
    data = pack_of([PackEntry(filled("chunk", 32), 64, 0, 0, 0)], b"")
    for damaged in each_bit_flipped(data):
        with pytest.raises(IntegrityError) as caught:
            parse_directory(keys_of(), damaged)
        assert caught.value.reason is Reason.CHUNK_CORRUPT


def test_a_pack_of_another_length_is_refused() -> None:
    for damaged in each_cut_and_extension(pack_of([], b"")):
        with pytest.raises(IntegrityError):
            parse_directory(keys_of(), damaged)


@COSTLY
@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_no_pack(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        parse_directory(keys_of(), data)
    with pytest.raises(IntegrityError):
        parse_header(data, STORE)


def sealed_directory(plaintext: bytes, *, has_deltas: bool = False) -> bytes:
    """A pack whose directory authenticates and holds whatever is given."""
    header = format_header(SCOPE, 4, has_deltas=has_deltas)
    directory = cobblestone.encrypt(
        keys_of().object_key("pack"),
        plaintext,
        context=header + b"directory",
        salt=SALT,
    )
    return header + BODY + directory + FOOTER.pack(len(directory), FOOTER_MAGIC)


ENTRY_ID = filled("chunk", 32)


@pytest.mark.parametrize(
    "plaintext",
    [
        b"x",
        ENTRY.pack(ENTRY_ID, 63, 1, 1, 0, bytes(3)),
        ENTRY.pack(ENTRY_ID, 64, len(BODY) + 1, 1, 0, bytes(3)),
        ENTRY.pack(ENTRY_ID, 2**32 - 1, 2**32 - 1, 1, 0, bytes(3)),
        ENTRY.pack(ENTRY_ID, 64, 1, 1, 0, b"\0\0\1"),
        ENTRY.pack(ENTRY_ID, 64, 1, 1, 0, bytes(3)) * 65_537,
    ],
)
def test_a_directory_that_points_outside_is_refused(plaintext: bytes) -> None:
    with pytest.raises(IntegrityError) as caught:
        parse_directory(keys_of(), sealed_directory(plaintext))

    assert caught.value.reason is Reason.CHUNK_CORRUPT


@pytest.mark.parametrize(
    ("codec", "base_id", "has_deltas"),
    [(Codec.DELTA, None, False), (Codec.RAW, ENTRY_ID, True), (4, ENTRY_ID, True)],
)
def test_a_delta_and_nothing_else_has_a_base_in_the_directory(
    codec: int, base_id: bytes | None, has_deltas: bool
) -> None:
    entry = ENTRY.pack(ENTRY_ID, 64, 1, 1, codec, bytes(3)) + (base_id or b"")

    with pytest.raises(IntegrityError):
        parse_directory(keys_of(), sealed_directory(entry, has_deltas=has_deltas))


def test_a_directory_is_as_long_as_its_format_says() -> None:
    short, long = bytes(ENTRY.size * 2), bytes(ENTRY_WITH_BASE.size)

    for plaintext, has_deltas in ((short, True), (long, False)):
        with pytest.raises(IntegrityError):
            parse_directory(
                keys_of(), sealed_directory(plaintext, has_deltas=has_deltas)
            )


@QUICK
@given(st.integers(0, 2 * MAX_CHUNK_BYTES))
def test_padding_costs_at_most_12_percent_and_leaves_few_sizes(size: int) -> None:
    padded = size + padding_size(size)

    assert 0 <= padding_size(size) <= 0.12 * size
    assert padding_size(padded) == 0
    if padded > 1:
        # Padmé: as many mantissa bits as the exponent has.
        exponent = padded.bit_length() - 1
        assert padded % (1 << max(0, exponent - exponent.bit_length())) == 0


def test_padding_is_monotonic_and_leaves_few_sizes() -> None:
    padded = [size + padding_size(size) for size in range(100_000)]

    assert padded == sorted(padded)
    assert len(set(padded)) < 200


def test_the_layout_has_the_documented_sizes() -> None:
    assert (HEADER.size, ENTRY.size, FOOTER.size) == (64, 48, 8)
    assert ENTRY_WITH_BASE.size == 80
    assert struct.calcsize(HEADER.format) == 64
