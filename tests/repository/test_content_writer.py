# SPDX-License-Identifier: Apache-2.0
"""Writing content: codecs, deltas, adopted and resumed files, what is used."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace

import pytest

from strongroom.errors import IntegrityError, InvalidArgumentError, Reason
from strongroom.format.digest import path_order
from strongroom_server.core import layout
from strongroom_server.core.chunk import ChunkRef
from strongroom_server.core.codec_choice import CodecChoice
from strongroom_server.core.codecs import Codec
from strongroom_server.core.derivation import DomainKeys
from strongroom_server.core.filetable import FileEntry
from strongroom_server.core.history import Committed
from strongroom_server.core.manifest import Manifest
from strongroom_server.repository.content_writer import ContentWriter, StoredContent
from strongroom_server.repository.parents import ParentFiles
from strongroom_server.repository.sweeps import SweepView
from tests.support.numbers import weights, weights_file
from tests.support.samples import ARTIFACT_ID, committed, filled
from tests.support.world import ARTIFACT, World

MIB = 1024 * 1024


def keys_of(world: World) -> DomainKeys:
    """The keys of the world's only artifact."""
    if not world.keys("projects/"):
        world.push({"seed": b"of the project"})
    return world.repository.keyring.open(world.repository.artifact(ARTIFACT).scope)


def writer_of(
    world: World,
    choice: CodecChoice = CodecChoice.RAW,
    *,
    parent: Manifest | None = None,
    view: SweepView | None = None,
    remembers_entries: bool = False,
) -> ContentWriter:
    """A writer of a version in the world's artifact."""
    keys = keys_of(world)
    files = None
    if parent is not None:
        files = ParentFiles(world.repository, keys.scope, parent)
    return ContentWriter(
        world.repository,
        keys,
        ARTIFACT_ID,
        view=view or SweepView(),
        choice=choice,
        parent=files,
        remembers_entries=remembers_entries,
    )


def send(writer: ContentWriter, path: str, data: bytes, *, start: int = 0) -> None:
    """Send a file's bytes from an offset on, and end it."""
    if not start:
        writer.start_file(path, size_bytes=len(data), executable=False)
    for offset in range(start, len(data), MIB):
        block = data[offset : min(offset + MIB, len(data))]
        writer.write(block, offset_bytes=offset)
    writer.end_file("sha256:" + hashlib.sha256(data).hexdigest())


def store(writer: ContentWriter, files: Mapping[str, bytes]) -> StoredContent:
    """Write files as a version, and make them durable."""
    for path in sorted(files, key=path_order):
        send(writer, path, files[path])
    return writer.finish()


def load(world: World, content: StoredContent) -> Manifest:
    """The manifest of stored content, read from the store."""
    version: Committed = replace(
        committed(),
        digest=content.digest,
        manifest=content.manifest,
        manifest_version=content.manifest_version,
        file_count=content.file_count,
        size_bytes=content.size_bytes,
    )
    manifests = world.repository.manifests
    return manifests.load_stored(keys_of(world).scope, ARTIFACT_ID, version)


def entries(world: World, manifest: Manifest) -> list[FileEntry]:
    """The files of a manifest."""
    return list(world.repository.manifests.entries(keys_of(world).scope, manifest))


def read(world: World, manifest: Manifest) -> dict[str, bytes]:
    """The bytes of all files of a manifest."""
    scope, chunks = keys_of(world).scope, world.repository.chunks
    return {
        entry.path: b"".join(chunks.read(scope, ref) for ref in entry.chunks)
        for entry in entries(world, manifest)
    }


def refs_of(world: World, manifest: Manifest) -> list[ChunkRef]:
    """The chunks of all files of a manifest."""
    return [ref for entry in entries(world, manifest) for ref in entry.chunks]


def remove_pack(world: World, pack: str) -> None:
    """Delete a pack, as an operator's mistake does."""
    for item, _ in world.bucket.objects():
        if item.key == layout.pack_key(pack):
            world.bucket.delete_version(item.key, item.version_id)


WEIGHTS, STEPPED = weights(2 * MIB), weights(2 * MIB, steps=1)


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
@pytest.mark.parametrize("choice", CodecChoice)
def test_each_policy_stores_as_much_as_it_should_and_reads_back(
    world: World, choice: CodecChoice, suffix: str
) -> None:
    path = f"model{suffix}"
    first = {path: weights_file({"a": WEIGHTS, "b": WEIGHTS[::-1]})}
    second = {path: weights_file({"a": STEPPED, "b": STEPPED[::-1]})}
    size = len(first[path])

    parent = store(writer_of(world, choice), first)
    manifest = load(world, parent)
    child = store(writer_of(world, choice, parent=manifest), second)
    other = load(world, child)

    assert read(world, manifest) == first
    assert read(world, other) == second
    limits = {
        CodecChoice.RAW: (1.04, 1.04),
        CodecChoice.COMPACT: (0.69, 0.69),
        CodecChoice.DELTA: (0.69, 0.21),
    }
    assert parent.stored_bytes < limits[choice][0] * size + 8000
    assert child.stored_bytes < limits[choice][1] * size + 8000


def test_a_delta_is_never_made_to_a_delta(world: World) -> None:
    manifest = None
    for steps in range(4):
        files = {"m.safetensors": weights_file({"a": weights(MIB, steps=steps)})}
        writer = writer_of(world, CodecChoice.DELTA, parent=manifest)
        manifest = load(world, store(writer, files))
        assert read(world, manifest) == files
        for ref in refs_of(world, manifest):
            assert ref.base is None or ref.base.base is None

    assert manifest is not None
    assert Codec.DELTA in {ref.codec for ref in refs_of(world, manifest)}


def test_a_tensor_that_moves_in_the_file_still_finds_its_base(world: World) -> None:
    first = weights_file({"b": WEIGHTS, "c": WEIGHTS[::-1]})
    second = weights_file({"a": WEIGHTS[: MIB // 2], "b": STEPPED, "c": STEPPED[::-1]})
    manifest = load(world, store(writer_of(world), {"m.safetensors": first}))

    writer = writer_of(world, CodecChoice.DELTA, parent=manifest)
    other = load(world, store(writer, {"m.safetensors": second}))

    deltas = [ref for ref in refs_of(world, other) if ref.codec == Codec.DELTA]
    assert len(deltas) == 2
    assert read(world, other) == {"m.safetensors": second}


def test_a_delta_reads_back_in_ranges_as_well(world: World) -> None:
    manifest = load(world, store(writer_of(world), {"m": WEIGHTS.tobytes()}))
    writer = writer_of(world, CodecChoice.DELTA, parent=manifest)
    other = load(world, store(writer, {"m": STEPPED.tobytes()}))
    [ref] = refs_of(world, other)
    scope = keys_of(world).scope

    assert ref.codec == Codec.DELTA
    for start, length in ((0, 1), (MIB + 3, 70_000), (ref.plain_bytes - 5, 5)):
        found = world.repository.chunks.read_range(scope, ref, start, length)
        assert found == STEPPED.tobytes()[start : start + length]


def test_an_equal_chunk_is_shared_though_it_is_a_delta(world: World) -> None:
    manifest = load(world, store(writer_of(world), {"m": WEIGHTS.tobytes()}))
    writer = writer_of(world, CodecChoice.DELTA, parent=manifest)
    [first] = refs_of(world, load(world, store(writer, {"m": STEPPED.tobytes()})))

    for engine in (world, world.reopened()):
        keys = keys_of(engine)
        engine.repository.chunk_index.refresh(keys)
        writer = writer_of(engine)
        [second] = refs_of(
            engine, load(engine, store(writer, {"x": STEPPED.tobytes()}))
        )
        assert second == first
        assert writer.packs_used >= set(first.packs)


@pytest.mark.parametrize("gone", ["own", "base"])
def test_a_delta_is_not_shared_if_a_pack_of_it_is_gone_or_condemned(
    world: World, gone: str
) -> None:
    manifest = load(world, store(writer_of(world), {"m": WEIGHTS.tobytes()}))
    writer = writer_of(world, CodecChoice.DELTA, parent=manifest)
    [ref] = refs_of(world, load(world, store(writer, {"m": STEPPED.tobytes()})))
    assert ref.base is not None
    pack = ref.pack if gone == "own" else ref.base.pack
    view = SweepView(1, frozenset({bytes.fromhex(pack)}))

    again = writer_of(world, CodecChoice.DELTA, parent=manifest, view=view)
    files = {"m": STEPPED.tobytes()}
    fresh = load(world, store(again, files))
    assert writer.uses(view)
    assert not again.uses(view)
    assert pack not in {name for found in refs_of(world, fresh) for name in found.packs}

    remove_pack(world, pack)
    third = writer_of(world.reopened())
    assert not third.may_share(ref)


def test_a_damaged_parent_costs_bytes_and_nothing_else(world: World) -> None:
    manifest = load(world, store(writer_of(world), {"m": WEIGHTS.tobytes()}))
    [ref] = refs_of(world, manifest)
    remove_pack(world, ref.pack)

    writer = writer_of(world, CodecChoice.DELTA, parent=manifest)
    other = load(world, store(writer, {"m": STEPPED.tobytes()}))

    assert {found.codec for found in refs_of(world, other)} == {Codec.GROUPED}
    assert read(world, other) == {"m": STEPPED.tobytes()}


def test_text_is_compressed_and_noise_is_not(world: World) -> None:
    files = {"noise": filled("noise", 300_000), "text": b"a line of text\n" * 20_000}

    manifest = load(world, store(writer_of(world, CodecChoice.COMPACT), files))

    assert [ref.codec for ref in refs_of(world, manifest)] == [Codec.RAW, Codec.ZSTD]
    assert read(world, manifest) == files


def test_a_large_chunk_that_becomes_small_shares_a_pack(world: World) -> None:
    files = {name: bytes([number]) * 5 * MIB for number, name in enumerate("abc")}

    manifest = load(world, store(writer_of(world, CodecChoice.COMPACT), files))

    assert len({ref.pack for ref in refs_of(world, manifest)}) == 1
    assert read(world, manifest) == files


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
        flipped = stored[:9_000_000] + b"x" + stored[9_000_001:]
        world.bucket.corrupt(key, item.version_id, flipped)

    second = writer_of(world)
    list(second.resume_file(position))
    assert second.open_offset == 16 * MIB
    send(second, "m", data, start=16 * MIB)

    fresh = world.reopened()
    if damage == "flipped":
        return  # the pack looks whole to who shares it: verification finds it
    assert read(fresh, load(fresh, second.finish())) == {"m": data}


def test_memory_for_open_files_is_given_back(world: World) -> None:
    budget = world.repository.open_budget
    free = budget.free_bytes
    for end in ("finish", "abort", "open"):
        writer = writer_of(world, CodecChoice.COMPACT)
        send(writer, "a", filled(f"a {end}", 3 * MIB))
        send(writer, "b", filled(f"b {end}", 18 * MIB))
        if end == "finish":
            writer.finish()
        elif end == "open":
            writer.start_file("c", size_bytes=9 * MIB, executable=False)
            writer.write(bytes(MIB), offset_bytes=0)
        assert end == "finish" or budget.free_bytes < free
        writer.abort()
        assert budget.free_bytes == free
        assert world.repository.write_budget.free_bytes == free


def test_many_files_make_lists_and_one_change_costs_little(world: World) -> None:
    files = {f"folder/{number:06d}": b"%d" % number for number in range(20_000)}
    first = load(world, store(writer_of(world), files))
    changed = files | {"folder/012345": b"changed"}

    content = store(writer_of(world), changed)
    second = load(world, content)

    assert first.lists
    assert not first.pages
    shared = set(first.lists) & set(second.lists)
    assert len(shared) == len(first.lists) - 1
    assert content.stored_bytes < 100 * 1024
    found = {entry.path: entry.size_bytes for entry in entries(world, second)}
    assert found == {path: len(data) for path, data in changed.items()}
    scope = keys_of(world).scope
    manifests = world.repository.manifests
    for path in ("folder/000000", "folder/012345", "folder/019999"):
        [entry] = manifests.entries(scope, second, path=path)
        assert entry.path == path
        after = next(manifests.entries(scope, second, after=path), None)
        assert (after is None) == (path == "folder/019999")
    assert list(manifests.entries(scope, second, path="folder/02")) == []
    pages = list(manifests.pages(scope, second, stored=True))
    table = list(manifests.table_refs(scope, second))
    assert sum(page.file_count for page in pages) == 20_000
    assert len(table) == len(pages) + len(second.lists)
