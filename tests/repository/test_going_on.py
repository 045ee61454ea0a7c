# SPDX-License-Identifier: Apache-2.0
"""Files that are stored already: adopted whole, or gone on with in the middle."""

from dataclasses import replace

import pytest

from strongroom.errors import IntegrityError, InvalidArgumentError, Reason
from strongroom_server.core import layout
from strongroom_server.repository.content_writer import ContentWriter
from tests.support.content import (
    MIB,
    entries,
    load,
    read,
    refs_of,
    remove_pack,
    send,
    store,
    writer_of,
)
from tests.support.damage import one_byte_changed
from tests.support.numbers import weights, weights_file
from tests.support.samples import filled
from tests.support.world import World


def test_adopted_files_are_as_if_they_had_been_sent(world: World) -> None:
    files = {"a": b"1" * 1000, "b": b"2" * 5000, "c": b"3"}
    sent = store(writer_of(world), files)
    first, second, third = entries(world, load(world, sent))

    writer = writer_of(world, remembers_entries=True)
    writer.adopt(first)
    send(writer, "b", files["b"])
    assert writer.may_adopt(third)
    writer.adopt(third)
    content = writer.finish()

    assert (content.digest, content.size_bytes) == (sent.digest, sent.size_bytes)
    assert (writer.received_bytes, writer.size_bytes) == (5000, 6001)
    assert [entry.path for entry in writer.take_entries()] == ["a", "b", "c"]
    assert read(world, load(world, content)) == files
    assert writer.packs_used >= {ref.pack for ref in first.chunks + third.chunks}
    assert second.chunks


def test_a_file_whose_pack_is_gone_is_not_adopted(world: World) -> None:
    [entry] = entries(world, load(world, store(writer_of(world), {"a": b"1" * 99})))
    remove_pack(world, entry.chunks[0].pack)
    writer = writer_of(world)

    assert not writer.may_adopt(entry)
    with pytest.raises(IntegrityError) as caught:
        writer.adopt(entry)
    assert caught.value.reason is Reason.CHUNK_MISSING
    assert writer.file_count == 0


def test_files_are_adopted_in_order_and_between_files_only(world: World) -> None:
    [entry] = entries(world, load(world, store(writer_of(world), {"a": b"1"})))
    writer = writer_of(world)
    writer.adopt(entry)

    with pytest.raises(InvalidArgumentError):
        writer.adopt(entry)
    writer.start_file("b", size_bytes=1, executable=False)
    with pytest.raises(InvalidArgumentError):
        writer.adopt(replace(entry, path="c"))
    writer.abort()


def test_entries_are_told_when_they_are_durable_and_once(world: World) -> None:
    writer = writer_of(world, remembers_entries=True)
    send(writer, "a", filled("a", 5 * MIB))
    send(writer, "b", b"small")
    assert "b" not in [entry.path for entry in writer.take_entries()]
    writer.send_off()
    writer.finish()

    rest = [entry.path for entry in writer.take_entries()]
    assert rest in (["b"], ["a", "b"])
    assert writer.take_entries() == []


@pytest.mark.parametrize("suffix", ["", ".safetensors"])
def test_a_file_goes_on_behind_its_durable_chunks(world: World, suffix: str) -> None:
    path = f"m{suffix}"
    tensors = {name: weights(3 * MIB, seed=ord(name)) for name in "abcdef"}
    data = weights_file(tensors)
    first = writer_of(world)
    first.start_file(path, size_bytes=len(data), executable=True)
    for offset in range(0, 32 * MIB, MIB):
        first.write(data[offset : offset + MIB], offset_bytes=offset)
    first.send_off()
    wait_until_durable(first)
    position = first.open_file_position()
    first.abort()
    assert position is not None
    assert position.chunks

    second = writer_of(world.reopened())
    offsets = list(second.resume_file(position))
    start = second.open_offset
    assert offsets[-1] == start == sum(ref.plain_bytes for ref in position.chunks)
    send(second, path, data, start=start)
    content = second.finish()

    assert second.received_bytes == len(data) - start
    manifest = load(world, content)
    assert read(world, manifest) == {path: data}
    assert tuple(refs_of(world, manifest))[: len(position.chunks)] == position.chunks
    whole = load(world, store(writer_of(world), {path: data}))
    assert [ref.plain_bytes for ref in refs_of(world, whole)] == [
        ref.plain_bytes for ref in refs_of(world, manifest)
    ]


def wait_until_durable(writer: ContentWriter) -> None:
    """Let what was sent off become durable."""
    writer._data_packs.finish()


@pytest.mark.parametrize("damage", ["gone", "flipped"])
def test_a_file_goes_on_before_a_chunk_that_is_damaged(
    world: World, damage: str
) -> None:
    data = filled("data", 40 * MIB)
    first = writer_of(world)
    first.start_file("m", size_bytes=len(data), executable=False)
    for offset in range(0, 33 * MIB, MIB):
        first.write(data[offset : offset + MIB], offset_bytes=offset)
    wait_until_durable(first)
    position = first.open_file_position()
    first.abort()
    assert position is not None
    key = layout.pack_key(position.chunks[1].pack)
    if damage == "gone":
        remove_pack(world, position.chunks[1].pack)
    else:
        [(item, stored)] = [
            found for found in world.bucket.objects() if found[0].key == key
        ]
        flipped = one_byte_changed(stored, 9_000_000)
        world.bucket.corrupt(key, item.version_id, flipped)

    second = writer_of(world)
    list(second.resume_file(position))
    assert second.open_offset == 16 * MIB
    send(second, "m", data, start=16 * MIB)

    fresh = world.reopened()
    if damage == "flipped":
        return  # the pack looks whole to who shares it: verification finds it
    assert read(fresh, load(fresh, second.finish())) == {"m": data}
