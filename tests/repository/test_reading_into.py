# SPDX-License-Identifier: Apache-2.0
"""Chunks decrypted into memory that is there: the same bytes, and no more memory."""

import random
import resource

import pytest

from strongroom.errors import IntegrityError, Reason
from strongroom_server.core.chunk import ChunkRef, room_bytes
from strongroom_server.core.codec_choice import CodecChoice
from strongroom_server.core.codecs import Codec
from strongroom_server.core.suites import find_suite
from strongroom_server.repository.buffers import BufferPool
from tests.support.content import MIB, keys_of, load, refs_of, store, writer_of
from tests.support.numbers import weights
from tests.support.world import World

CONTENT = random.Random(6).randbytes(3 * MIB + 12_345)


def stored_chunk(world: World, content: bytes = CONTENT) -> ChunkRef:
    """Store a file of one raw chunk; return the chunk."""
    writer = writer_of(world, CodecChoice.RAW)
    [ref] = refs_of(world, load(world, store(writer, {"x": content})))
    assert ref.codec == Codec.RAW
    return ref


def read_into(world: World, ref: ChunkRef, offset: int, length: int) -> bytes:
    """Read a range in place; return it out of its room."""
    scope = keys_of(world).scope
    room = memoryview(bytearray(b"?" * room_bytes(ref, offset, length)))
    start = world.repository.chunks.read_range_into(scope, ref, offset, length, room)
    return bytes(room[start : start + length])


@pytest.mark.parametrize("size", [1, 3 * MIB, 3 * MIB + 12_345, 64 * 1024, 65 * 1024])
def test_every_range_comes_out_as_it_was_stored(world: World, size: int) -> None:
    content = CONTENT[:size]
    ref = stored_chunk(world, content)
    segment = find_suite(ref.suite).segment_bytes
    edges = {0, 1, segment - 1, segment, segment + 1, 2 * segment, size - 1, size}

    starts = sorted(edge for edge in edges if 0 <= edge < size)
    for start in starts:
        for end in sorted(edge for edge in edges if start < edge <= size):
            found = read_into(world, ref, start, end - start)
            assert found == content[start:end], (start, end)


def test_a_whole_raw_chunk_needs_no_more_room_than_its_plaintext(world: World) -> None:
    ref = stored_chunk(world)

    assert room_bytes(ref, 0, ref.plain_bytes) == ref.plain_bytes


@pytest.mark.parametrize("choice", [CodecChoice.COMPACT, CodecChoice.DELTA])
def test_encoded_chunks_are_decoded_into_the_room(
    world: World, choice: CodecChoice
) -> None:
    first, second = weights(2 * MIB), weights(2 * MIB, steps=1)
    manifest = load(world, store(writer_of(world, choice), {"m": first.tobytes()}))
    writer = writer_of(world, choice, parent=manifest)
    [ref] = refs_of(world, load(world, store(writer, {"m": second.tobytes()})))

    assert ref.codec != Codec.RAW
    for start, length in ((0, ref.plain_bytes), (12_345, 70_000)):
        found = read_into(world, ref, start, length)
        assert found == second.tobytes()[start : start + length]


@pytest.mark.parametrize("offset", [0, 2 * MIB])
def test_nothing_of_a_damaged_chunk_is_left_in_the_room(
    world: World, offset: int
) -> None:
    ref = stored_chunk(world)
    for blob, data in world.bucket.objects():
        if blob.key.endswith(ref.pack):
            changed = bytearray(data)
            changed[ref.offset_bytes + ref.stored_bytes - 5] ^= 1
            world.bucket.corrupt(blob.key, blob.version_id, bytes(changed))
    length = ref.plain_bytes - offset
    room = memoryview(bytearray(b"?" * room_bytes(ref, offset, length)))
    scope = keys_of(world).scope

    with pytest.raises(IntegrityError) as caught:
        world.repository.chunks.read_range_into(scope, ref, offset, length, room)

    assert caught.value.reason is Reason.CHUNK_CORRUPT
    assert not any(room)


def test_reading_in_place_takes_no_fresh_pages(world: World) -> None:
    ref = stored_chunk(world)
    scope = keys_of(world).scope
    room = memoryview(bytearray(b"?" * ref.plain_bytes))
    read = world.repository.chunks.read_range_into
    for _ in range(3):
        read(scope, ref, 0, ref.plain_bytes, room)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        read(scope, ref, 0, ref.plain_bytes, room)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    # One copy of the chunk alone is 770 pages, every time.
    pages = ref.plain_bytes // resource.getpagesize()
    assert faults < pages, f"{faults} page faults for 20 chunks of {pages} pages"


def test_a_pool_of_buffers_lends_the_same_memory_again_and_keeps_little() -> None:
    pool = BufferPool(kept_bytes=2 * MIB)
    with pool.lend(MIB) as first:
        first[:5] = b"first"
        with pool.lend(MIB) as second:
            assert bytes(second[:5]) != b"first"
    with pool.lend(1000) as again, pool.lend(1000) as other:
        assert len(again) == len(other) == 1000
        assert b"first" in {bytes(again[:5]), bytes(other[:5])}

    with pool.lend(3 * MIB):
        pass
    assert pool.kept_bytes <= 2 * MIB
