# SPDX-License-Identifier: Apache-2.0
"""Chunks: they read back whole and in ranges, and any damage is an error."""

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import IntegrityError, Reason
from strongroom_server.core import cobblestone, codecs
from strongroom_server.core.chunk import (
    ChunkRef,
    check_plaintext,
    decrypt_chunk,
    encrypt_chunk,
    open_chunk,
    segment_range,
)
from strongroom_server.core.cobblestone import PREFIX_BYTES, DecryptError
from strongroom_server.core.codecs import Codec
from strongroom_server.core.suites import SUITES
from tests.support.damage import (
    each_bit_flipped,
    each_cut_and_extension,
    one_bit_flipped,
    some_bits_flipped,
)
from tests.support.properties import COSTLY
from tests.support.samples import CHUNK_ID, SALT, filled, keys_of, raw_ref

SEGMENT = 16 * 1024


def id_of(plaintext: bytes, suite: int) -> bytes:
    """The id that a chunk with this plaintext has."""
    digest = SUITES[suite].digest(plaintext)
    algorithm = SUITES[suite].digest_algorithm
    writer = b"a writer" if SUITES[suite].by_writer else b""
    return keys_of().chunk_id(digest, len(plaintext), algorithm, writer=writer)


def base_of(plaintext: bytes, suite: int = 1) -> tuple[ChunkRef, memoryview]:
    """A chunk to which one with this plaintext may be a delta."""
    data = bytes(byte ^ (place % 3 == 0) for place, byte in enumerate(plaintext))
    ref = raw_ref(9, len(data), suite)
    return replace(ref, chunk_id=id_of(data, suite)), memoryview(data)


def stored_chunk(
    plaintext: bytes, codec: Codec = Codec.RAW, suite: int = 1
) -> tuple[ChunkRef, bytes]:
    base, base_data = None, None
    if codec is Codec.DELTA:
        base, base_data = base_of(plaintext, suite)
    encoded = codecs.encode(codec, plaintext, width=2, base=base_data)
    chunk_id = CHUNK_ID if base is None else id_of(plaintext, suite)
    size = cobblestone.encrypted_size(len(encoded), SUITES[suite].segment_bytes)
    buffer = bytearray(size)
    encrypt_chunk(
        keys_of(),
        SUITES[suite],
        codec,
        chunk_id,
        encoded,
        plain_bytes=len(plaintext),
        base_id=b"" if base is None else base.chunk_id,
        salt=SALT,
        buffer=memoryview(buffer),
    )
    ref = ChunkRef(
        chunk_id, suite, codec, 0, "ab" * 32, "v1", 64, size, len(plaintext), base
    )
    return ref, bytes(buffer)


def read_range(ref: ChunkRef, stored: bytes, offset: int, length: int) -> bytes:
    part = segment_range(ref, offset, length)
    decrypter = open_chunk(keys_of(), ref, stored[:PREFIX_BYTES])
    plaintext = bytearray(part.length_bytes)
    size = decrypter.segments_into(
        stored[part.offset_bytes :][: part.length_bytes],
        memoryview(plaintext),
        first_index=part.first_index,
        last=part.last,
    )
    return bytes(plaintext[:size])[part.skip_bytes :][:length]


@COSTLY
@given(
    st.sampled_from(sorted(SUITES)),
    st.sampled_from(Codec),
    st.sampled_from([0, 1, 15, 16, 17, SEGMENT - 1, SEGMENT, SEGMENT + 1, 3 * SEGMENT])
    | st.integers(0, 70_000),
)
def test_a_chunk_reads_back(suite: int, codec: Codec, size: int) -> None:
    plaintext = filled("plaintext", size)
    ref, stored = stored_chunk(plaintext, codec, suite)
    base = base_of(plaintext, suite)[1] if codec is Codec.DELTA else None

    assert bytes(decrypt_chunk(keys_of(), ref, memoryview(stored), base)) == plaintext


def delta() -> tuple[ChunkRef, memoryview, memoryview]:
    """A stored delta, its bytes, and the plaintext of its base."""
    plaintext = filled("plaintext", 5000)
    ref, stored = stored_chunk(plaintext, Codec.DELTA)
    return ref, memoryview(stored), base_of(plaintext)[1]


def test_a_delta_says_which_packs_it_is_read_from() -> None:
    ref, _, _ = delta()
    assert ref.base is not None

    assert ref.packs == (ref.pack, ref.base.pack)
    assert ref.base.packs == (ref.base.pack,)


@pytest.mark.parametrize(
    "change",
    [
        lambda ref: replace(ref, base=None),
        lambda ref: replace(ref, base=replace(ref.base, chunk_id=filled("x", 32))),
        lambda ref: replace(ref, codec=Codec.GROUPED),
        lambda ref: replace(ref, codec=Codec.GROUPED, base=None),
    ],
)
def test_a_delta_to_another_base_does_not_authenticate(
    change: Callable[[ChunkRef], ChunkRef],
) -> None:
    ref, stored, base = delta()
    other = change(ref)

    for plaintext in (base, None):
        with pytest.raises(IntegrityError) as caught:
            decrypt_chunk(keys_of(), other, stored, plaintext)
        assert caught.value.reason is Reason.CHUNK_CORRUPT


@pytest.mark.parametrize(
    "change", [lambda base: b"x" + base[1:], lambda base: base[:-1], lambda _: b""]
)
def test_a_delta_to_other_bytes_is_refused(change: Callable[[bytes], bytes]) -> None:
    ref, stored, base = delta()

    with pytest.raises(IntegrityError) as caught:
        decrypt_chunk(keys_of(), ref, stored, memoryview(change(bytes(base))))

    assert caught.value.reason is Reason.CHUNK_CORRUPT


def test_a_plaintext_of_another_chunk_does_not_have_its_id() -> None:
    plaintext = filled("plaintext", 100)
    ref = replace(raw_ref(plain_bytes=100, suite=1), chunk_id=id_of(plaintext, 1))

    check_plaintext(keys_of(), ref, memoryview(plaintext))
    for other in (plaintext[:-1], b"x" + plaintext[1:]):
        with pytest.raises(IntegrityError):
            check_plaintext(keys_of(), ref, memoryview(other))


EDGES = [0, 1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 2 * SEGMENT - 1, 2 * SEGMENT]


@pytest.mark.parametrize("size", [1, SEGMENT, SEGMENT + 1, 2 * SEGMENT, 40_000])
def test_every_range_around_a_segment_border_reads_the_same_bytes(size: int) -> None:
    plaintext = filled("plaintext", size)
    ref, stored = stored_chunk(plaintext)
    borders = sorted({min(edge, size) for edge in [*EDGES, size - 1, size]})

    for start, end in itertools.combinations(borders, 2):
        found = read_range(ref, stored, start, end - start)
        assert found == plaintext[start:end], (start, end)


@COSTLY
@given(st.data())
def test_any_range_reads_the_same_bytes(data: st.DataObject) -> None:
    plaintext = filled("plaintext", 3 * SEGMENT + 100)
    ref, stored = stored_chunk(plaintext)
    start = data.draw(st.integers(0, len(plaintext) - 1))
    length = data.draw(st.integers(1, len(plaintext) - start))

    assert read_range(ref, stored, start, length) == plaintext[start : start + length]


@pytest.mark.parametrize("codec", Codec)
def test_no_flipped_bit_goes_unnoticed(codec: Codec) -> None:
    ref, stored = stored_chunk(b"attack at dawn", codec)

    for damaged in each_bit_flipped(stored):
        with pytest.raises(IntegrityError) as caught:
            decrypt_chunk(keys_of(), ref, memoryview(damaged))
        assert caught.value.reason is Reason.CHUNK_CORRUPT


def test_no_flipped_bit_of_a_long_chunk_goes_unnoticed() -> None:
    ref, stored = stored_chunk(filled("plaintext", 2 * SEGMENT + 5))

    for damaged in some_bits_flipped(stored, 200):
        with pytest.raises(IntegrityError):
            decrypt_chunk(keys_of(), ref, memoryview(damaged))


def test_a_damaged_segment_does_not_keep_others_from_being_read() -> None:
    plaintext = filled("plaintext", 2 * SEGMENT)
    ref, stored = stored_chunk(plaintext)
    damaged = one_bit_flipped(stored, (PREFIX_BYTES + 5) * 8)

    assert read_range(ref, damaged, SEGMENT, 100) == plaintext[SEGMENT:][:100]
    with pytest.raises(DecryptError):
        read_range(ref, damaged, 0, 100)


def test_a_chunk_of_another_length_is_refused() -> None:
    ref, stored = stored_chunk(b"weights")

    for damaged in each_cut_and_extension(stored):
        for size in (ref.stored_bytes, len(damaged)):
            with pytest.raises(IntegrityError):
                decrypt_chunk(
                    keys_of(), replace(ref, stored_bytes=size), memoryview(damaged)
                )


def test_segments_that_change_places_are_refused() -> None:
    ref, stored = stored_chunk(filled("plaintext", 3 * SEGMENT))
    stride = SEGMENT + 16
    body = stored[PREFIX_BYTES:]
    swapped = body[stride : 2 * stride] + body[:stride] + body[2 * stride :]

    with pytest.raises(IntegrityError):
        decrypt_chunk(keys_of(), ref, memoryview(stored[:PREFIX_BYTES] + swapped))


def test_a_chunk_that_ends_at_a_segment_border_is_cut_short_noticeably() -> None:
    ref, stored = stored_chunk(filled("plaintext", 2 * SEGMENT))
    decrypter = open_chunk(keys_of(), ref, stored[:PREFIX_BYTES])
    first = stored[PREFIX_BYTES : PREFIX_BYTES + SEGMENT + 16]

    with pytest.raises(DecryptError):
        decrypter.segments_into(
            first, memoryview(bytearray(SEGMENT)), first_index=0, last=True
        )


def test_an_honest_chunk_with_a_dishonest_length_is_refused() -> None:
    ref, stored = stored_chunk(bytes(1000), Codec.ZSTD)

    with pytest.raises(IntegrityError):
        decrypt_chunk(keys_of(), replace(ref, plain_bytes=999), memoryview(stored))


def test_an_unknown_suite_is_an_error_of_ours() -> None:
    ref, stored = stored_chunk(b"weights")

    with pytest.raises(IntegrityError):
        open_chunk(keys_of(), replace(ref, suite=9), stored[:PREFIX_BYTES])


def test_a_chunk_error_names_the_pack_and_nothing_secret() -> None:
    ref = raw_ref()

    with pytest.raises(IntegrityError) as caught:
        decrypt_chunk(keys_of(), ref, memoryview(bytes(ref.stored_bytes)))

    assert caught.value.metadata["pack"] == ref.pack
    assert ref.chunk_id.hex() not in str(caught.value)
